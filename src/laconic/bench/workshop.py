"""Training and fitting what takes part, all on the same documents, and keeping it.

A model is kept in a folder named by the digest of all that it came from: the documents, the
encoder, the method, the settings and the versions. What is there is not trained again; how long it
took stands beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..classifier import Classifier
from ..data import Documents, LabelSpace
from ..errors import DataError
from ..training import TrainingSettings

__all__ = ["Workshop", "default_cache"]

_RECORD = "bench.json"


def default_cache() -> Path:
    """Where contenders are kept unless told otherwise: the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "laconic" / "bench"


@dataclass
class Workshop:
    """What contenders are made from.

    Attributes:
        space: the labels.
        train: labelled documents; None if nothing can be trained.
        encoder: the encoder to start from.
        dense: the directory or Hub name of a dense classifier; None to train one when needed.
        settings: how to train.
        options: `max_length`, `long`, `head`, `device` and `batch_tokens` of the classifiers.
        cache: folder of what was made.
        tell: called with a line before something is trained.
    """

    space: LabelSpace
    train: Documents | None = None
    encoder: str | None = None
    dense: str | None = None
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    options: Mapping[str, Any] = field(default_factory=dict)
    cache: Path = field(default_factory=default_cache)
    tell: Callable[[str], None] = lambda line: None

    @property
    def loading(self) -> dict[str, Any]:
        """What `Classifier.from_pretrained` is told, besides the source."""
        names = ("max_length", "long", "device", "batch_tokens")
        return {name: self.options[name] for name in names if self.options.get(name) is not None}

    def documents(self, what: str) -> Documents:
        """The training documents.

        Raises:
            DataError: if there are none.
        """
        if self.train is None:
            raise DataError(f"{what} has to be trained; name the documents with --train")
        return self.train

    def dense_source(self) -> str:
        """The dense classifier that others are made of or compared with; trained if need be."""
        if self.dense is None:
            self.dense = str(self.trained("dense", {}, {})[0])
        return self.dense

    def trained(
        self, method: str, options: Mapping[str, Any], extra: Mapping[str, Any]
    ) -> tuple[Path, float]:
        """A classifier trained under a method: its folder, and the seconds that training took.

        Args:
            method: a preset.
            options: its options.
            extra: further arguments of `Classifier`, such as `max_length` or `target_flops`.
        """
        documents = self.documents(method)
        if self.encoder is None:
            raise DataError(f"{method} has to be trained; name an encoder with --encoder")
        arguments = {k: v for k, v in {**self.options, **extra}.items() if v is not None}
        about = {"method": method, "options": dict(options), "arguments": arguments}

        def make(folder: Path) -> None:
            classifier = Classifier(
                self.encoder, method=method, method_options=dict(options), **arguments
            )
            classifier.fit(documents, validation=0, settings=self.settings)
            classifier.save(folder)

        return self.kept(f"training {method}", about | {"settings": self.settings.to_dict()}, make)

    def kept(
        self, what: str, about: Mapping[str, Any], make: Callable[[Path], None]
    ) -> tuple[Path, float]:
        """The folder of something made before, or made now, and the seconds that making took."""
        folder = self.cache / self._digest(about)
        record = folder / _RECORD
        if not record.is_file():
            self.tell(f"{what} (kept in {folder})")
            part = folder.with_name(folder.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            started = time.perf_counter()
            make(part)
            seconds = time.perf_counter() - started
            (part / _RECORD).write_text(json.dumps({"what": what, "seconds": seconds}))
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(part, folder)
        return folder, float(json.loads(record.read_text())["seconds"])

    def _digest(self, about: Mapping[str, Any]) -> str:
        digest = hashlib.sha256()
        libraries = ("torch", "transformers")
        versions = {name: version(name) for name in libraries} | {"laconic": _laconic_version()}
        facts = {"about": about, "labels": self.space.names, "versions": versions}
        digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
        for source in (self.encoder, self.dense if about.get("of") == "dense" else None):
            digest.update(_identity(source).encode())
        if self.train is not None and about.get("of") != "dense":
            for text, label in zip(self.train.texts, self.train.labels, strict=True):
                digest.update(repr((text, label)).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:16]


def _laconic_version() -> str:
    from .. import __version__

    return __version__


def _identity(source: str | None) -> str:
    """What tells one model from another: a digest of a directory's weights, or a Hub name."""
    if source is None or not Path(source).is_dir():
        return str(source)
    digest = hashlib.sha256()
    for file in sorted(Path(source).iterdir()):
        if file.suffix in (".safetensors", ".bin") or file.name in ("config.json",):
            digest.update(file.name.encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
