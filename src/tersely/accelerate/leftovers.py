"""What is left of an older model where the answer is to keep the original.

An evidence that says "keep" beside a model of another run would be read as that model's. So the
files that `Classifier.save` writes go, and everything else stays.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tersely.card import NAME, is_foreign
from tersely.export import is_export
from tersely.modeling import TerselyConfig

__all__ = ["remove_older_model"]

_FILES = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "training.json",
)


def remove_older_model(folder: Path, tokenizer: Any = None) -> list[str]:
    """Remove the files of a model that tersely saved in a folder, and its card if that is ours.

    Args:
        folder: where a model may be.
        tokenizer: one whose further files, such as a vocabulary, may be there.

    Returns:
        The names of what was removed; none if no model of tersely's is there, or an export.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "config.json").write_text('{"model_type": "tersely"}')
        ...     _ = Path(folder, "notes.txt").write_text("mine")
        ...     remove_older_model(Path(folder))
        ['config.json']
    """
    try:
        kind = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return []
    if kind != TerselyConfig.model_type or is_export(folder):
        return []
    vocabulary = getattr(tokenizer, "vocab_files_names", {}).values()
    found = {file for name in (*_FILES, *vocabulary) for file in folder.glob(name)}
    if (folder / NAME).is_file() and not is_foreign(folder / NAME):
        found.add(folder / NAME)
    for file in found:
        file.unlink()
    return sorted(file.name for file in found)
