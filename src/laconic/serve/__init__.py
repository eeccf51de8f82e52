"""A server of one classifier over HTTP, with text-embeddings-inference's `/predict`."""

from laconic.serve.batcher import Batcher
from laconic.serve.service import Limits, Service

__all__ = ["Batcher", "Limits", "Service"]
