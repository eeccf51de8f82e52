"""8-bit weights for the matrix products of a graph, with ONNX Runtime's own quantizer.

Weights get a scale for each output channel; activations are measured as they come. Weights keep to
7 of the 8 bits: on processors without 8-bit dot products (VNNI), two full products of 8 bits
overflow the 16 bits that they are added up in, and a file should give the same labels everywhere.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from tersely.errors import require

__all__ = ["quantize_graph"]


def quantize_graph(file: Path) -> None:
    """Quantise the constant matrices of a graph, in place."""
    quantization = require("onnxruntime.quantization", "onnx")
    full = file.with_suffix(".full.onnx")
    file.rename(full)
    with _quiet():
        quantization.quantize_dynamic(
            full,
            file,
            per_channel=True,
            reduce_range=True,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm"],
        )
    full.unlink()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Its advice to run a preprocessor first: the exporter has done what that would do."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
