"""Millions of documents, on every core or a cluster, and no row lost or repeated by a kill."""

from tersely.score.predictor import Predictor
from tersely.score.run import Summary, score

__all__ = ["Predictor", "Summary", "score"]
