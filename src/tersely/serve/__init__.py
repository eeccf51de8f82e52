"""A server of one classifier over HTTP, with text-embeddings-inference's `/predict`."""

from tersely.serve.batcher import Batcher
from tersely.serve.budgets import Budgets
from tersely.serve.service import Limits, Service

__all__ = ["Batcher", "Budgets", "Limits", "Service"]
