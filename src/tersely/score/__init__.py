"""Millions of documents, on every core or a cluster, and no row lost or repeated by a kill."""

from __future__ import annotations

from tersely.score.predictor import Predictor
from tersely.score.run import Summary, score
from tersely.score.workers import Progress

__all__ = ["Predictor", "Progress", "Summary", "score"]
