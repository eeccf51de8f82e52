"""A server of one classifier over HTTP, with text-embeddings-inference's `/predict`."""

from laconic.serve.batcher import Batcher
from laconic.serve.budgets import Budgets
from laconic.serve.service import Limits, Service

__all__ = ["Batcher", "Budgets", "Limits", "Service"]
