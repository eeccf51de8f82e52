"""Models in a row over one checkpoint: as data, as a run, and the search for their thresholds."""

# ruff: noqa: F401 - these are the room's public names.
from tersely.cascade.path import POINTS, Path, find_path, marks
from tersely.cascade.run import Answers, confidence, run_cascade, to_log_probabilities, to_logits
from tersely.cascade.stages import LINEAR, PLAN, REFERENCE, Cascade, Review, Stage
