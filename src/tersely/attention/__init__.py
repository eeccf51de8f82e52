"""Packed attention: every document of a row over its own keys, and the importance scores."""

from tersely.attention.packing import Band, Connections, KeySet, Packing, ScoreRequest
from tersely.attention.register import NAME, packed_attention

__all__ = ["NAME", "Band", "Connections", "KeySet", "Packing", "ScoreRequest", "packed_attention"]
