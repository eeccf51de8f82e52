"""What a run is: model, options and inputs, by fingerprint, so that no other run continues it.

The manifest is written before any work. A part that is finished names the manifest's fingerprint in
its own metadata, so that whatever else lies in the folder is never taken for a result.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tersely.errors import ScoringError
from tersely.modeling.loading import load_classifier, load_tokenizer
from tersely.score.shards import Input

__all__ = ["MANIFEST", "fingerprint", "fingerprint_model", "make_manifest", "settle", "write_json"]

MANIFEST = "_manifest.json"
_FORMAT = 1


def fingerprint(record: Any) -> str:
    """SHA-256 of what JSON can write, the same for any order of keys."""
    text = json.dumps(record, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def fingerprint_model(source: str) -> str:
    """SHA-256 of a model's weights, configuration and tokenizer, wherever it lies.

    Raises:
        ModelError: if the model cannot be read.
    """
    model, tokenizer = load_classifier(source), load_tokenizer(source, {})
    digest = hashlib.sha256()
    # The path that it was read from, and by which version, is no part of what it is.
    config = model.config.to_dict()
    for name in ("transformers_version", "_name_or_path"):
        config.pop(name, None)
    text = json.dumps(config, sort_keys=True, default=str)
    for part in (text, tokenizer.backend_tokenizer.to_str()):
        digest.update(part.encode("utf-8", "surrogatepass"))
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        # As bytes, because numpy does not know bfloat16.
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else b"")
    return digest.hexdigest()


def make_manifest(
    version: str, model: str, options: Mapping[str, Any], inputs: Sequence[Input]
) -> dict[str, Any]:
    """Describe a run.

    Args:
        version: tersely's.
        model: the model's fingerprint.
        options: whatever changes the rows that are written.
        inputs: the files.
    """
    files = {
        file.name: {"rows": file.rows, "bytes": file.bytes, "footer": file.footer}
        for file in inputs
    }
    record = {
        "format": _FORMAT,
        "tersely": version,
        "model": model,
        "options": dict(options),
        "inputs": files,
    }
    return record | {"fingerprint": fingerprint(record)}


def settle(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Begin a run in a folder, or make sure that the run begun there is this one.

    Returns:
        Whether the run was begun before.

    Raises:
        ScoringError: if another run was begun there; the message says what differs.
    """
    path = folder / MANIFEST
    if not path.exists():
        write_json(path, manifest)
        return False
    try:
        begun = json.loads(path.read_text("utf-8"))
        same = begun["fingerprint"] == manifest["fingerprint"]
        changes = [] if same else _differences(begun, manifest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScoringError(
            f"{path} cannot be read as the manifest of a run ({error}); name another output "
            "folder, or begin anew with --overwrite"
        ) from error
    if not same:
        raise ScoringError(
            f"the run begun in {folder} cannot go on, because {'; '.join(changes)}; undo that, "
            "name another output folder, or begin anew with --overwrite"
        )
    return True


def _differences(begun: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    changes = []
    if begun["format"] != now["format"] or begun["tersely"] != now["tersely"]:
        changes.append(f"it was begun by tersely {begun['tersely']}, and this is {now['tersely']}")
    if begun["model"] != now["model"]:
        changes.append("the model is another one (its weights, configuration or tokenizer)")
    names = sorted(begun["options"].keys() | now["options"].keys())
    for name in names:
        before, after = begun["options"].get(name), now["options"].get(name)
        if before != after:
            changes.append(f"{name} was {json.dumps(before)} and is {json.dumps(after)}")
    before, after = begun["inputs"], now["inputs"]
    for what, files in (
        ("changed", [name for name in before if name in after and before[name] != after[name]]),
        ("is gone", [name for name in before if name not in after]),
        ("is new", [name for name in after if name not in before]),
    ):
        if files:
            more = f" (and {len(files) - 1:,} more)" if len(files) > 1 else ""
            changes.append(f"the input {files[0]}{more} {what}")
    return changes


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all, even where the power goes."""
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=1, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
