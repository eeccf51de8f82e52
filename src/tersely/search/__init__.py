"""Which stages with which thresholds are a fast cascade, and what other documents prove of it."""

# ruff: noqa: F401 - these are the room's public names.
from tersely.search.find import Found, draw_documents, find_cascade, prove_cascade
from tersely.search.recalibrate import recalibrate
from tersely.search.stages import StageRunner, fitted, plan_stages
