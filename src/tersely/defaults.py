"""The encoder to start from where none was named: BERT, or the demonstration's when offline."""

from __future__ import annotations

from huggingface_hub import constants, file_exists, try_to_load_from_cache

from tersely.classifier import DEFAULT_MODEL
from tersely.demo.encoder import demo_encoder, demo_encoder_available

__all__ = ["default_model"]

_WEIGHTS = "model.safetensors"


def default_model() -> tuple[str, str | None]:
    """Choose the encoder to start from where the user named none.

    Returns:
        The model's name or directory, and one sentence if it is not `DEFAULT_MODEL`: that one can
        neither be found in the cache nor be downloaded, and the demonstration's encoder is
        installed.
    """
    if not demo_encoder_available() or _can_be_had(DEFAULT_MODEL):
        return DEFAULT_MODEL, None
    return str(demo_encoder()), (
        f"{DEFAULT_MODEL} is not in the cache and the Hub cannot be reached, so training starts "
        "from the demonstration's encoder all-MiniLM-L6-v2; choose another with --model"
    )


def _can_be_had(name: str) -> bool:
    if isinstance(try_to_load_from_cache(name, _WEIGHTS), str):
        return True
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        return file_exists(name, _WEIGHTS)
    # Without a network the client raises whatever the HTTP library below it raises, and which one
    # that is has changed; a proxy's refusal is no different to us: the model cannot be had.
    except Exception:
        return False
