"""A server of one classifier over HTTP, with text-embeddings-inference's `/predict`."""

from tersely.serve.budgets import Budgets
from tersely.serve.service import Limits, Service

__all__ = ["Budgets", "Limits", "Service"]
