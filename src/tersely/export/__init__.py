"""Models as ONNX graphs in which tokens are really removed, and what runs them."""

from tersely.export.check import Check, compare_logits, made_up_texts
from tersely.export.directory import (
    EXPORT_FILE,
    Original,
    choose_backend,
    export_model,
    files_of_export,
    is_export,
    load_export,
)
from tersely.export.runner import OnnxRunner

__all__ = [
    "EXPORT_FILE",
    "Check",
    "OnnxRunner",
    "Original",
    "choose_backend",
    "compare_logits",
    "export_model",
    "files_of_export",
    "is_export",
    "load_export",
    "made_up_texts",
]
