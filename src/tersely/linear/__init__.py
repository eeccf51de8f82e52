"""A linear model on word pieces, beside the encoder: fitted in seconds, in use nearly free."""

# ruff: noqa: F401 - these are the room's public names.
from tersely.linear.calibration import calibrate, fit_stacking
from tersely.linear.features import PieceFeatures
from tersely.linear.fit import Candidate, LinearFit, fit_linear
from tersely.linear.stage import LinearForm, LinearStage, buckets_within
