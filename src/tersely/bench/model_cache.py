"""The model cache: what contenders are made from, and a folder that keeps what was made.

A folder is named by the digest of all that it came from: data, encoder, settings, versions and the
code itself, so that what an older tersely made is never taken for what this one would make.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tersely._io import describe_machine, resolve_device
from tersely.classifier import Classifier
from tersely.errors import DataError, OutputError, name_all
from tersely.reduction import preset
from tersely.text import Documents, LabelSpace
from tersely.text.labels import REGRESSION
from tersely.training import TrainingSettings

_RECORD = "bench.json"
_PARTS = (".safetensors", ".bin", ".json", ".txt", ".model")
_NOT_THE_MODEL = ("training.json", "evidence.json")  # what was found out about it


def default_cache() -> Path:
    """Return where contenders are kept unless told otherwise: the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tersely" / "bench"


@dataclass
class ModelCache:
    """What contenders are made from, and the folder where those that were made are kept.

    Attributes:
        space: the labels.
        train: labelled documents; None if nothing can be trained.
        encoder: the encoder to start from.
        dense: the directory or Hub name of a dense classifier; None to train one when needed.
        settings: how to train.
        options: `max_length`, `long`, `head`, `device` and `batch_tokens` of the classifiers.
        folder: where to keep what was made.
        tell: called with a line before something is made, and with what it took.
    """

    space: LabelSpace
    train: Documents | None = None
    encoder: str | None = None
    dense: str | None = None
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    options: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = field(default_factory=default_cache)
    tell: Callable[[str], None] = lambda line: None

    @property
    def loading(self) -> dict[str, Any]:
        """What `Classifier.from_pretrained` is told, besides the source."""
        names = ("max_length", "long", "device", "batch_tokens")
        return {name: self.options[name] for name in names if self.options.get(name) is not None}

    @property
    def device(self) -> str:
        """The device that contenders run on."""
        return str(resolve_device(self.options.get("device") or "auto"))

    def documents(self, what: str) -> Documents:
        """Return the training documents, if there are some of just the classes told apart."""
        if self.train is None:
            raise DataError(f"{what} has to be trained, and there are no training documents")
        if self.space.problem_type != REGRESSION:
            names = set(LabelSpace.infer(self.train.labels, self.space.problem_type).names)
            more, fewer = names - set(self.space.names), set(self.space.names) - names
            if more or fewer:
                raise DataError(
                    f"{what} has to be trained on the {len(self.space.names)} classes that are "
                    f"told apart, and the training documents {'hold' if more else 'lack'} "
                    f"{name_all(sorted(more or fewer))}; give others"
                )
        return self.train

    def dense_source(self) -> str:
        """Return the dense classifier that others are made of; it is trained if need be."""
        if self.dense is None:
            self.dense = str(self.trained("dense", {}, {})[0])
        return self.dense

    def trained(
        self, method: str, options: Mapping[str, Any], extra: Mapping[str, Any]
    ) -> tuple[Path, float]:
        """Return the folder of a classifier trained under a method, and the seconds that took.

        `extra` are further arguments of `Classifier`, such as `max_length` or `target_flops`.
        """
        documents = self.documents(method)
        if self.encoder is None:
            raise DataError(f"{method} has to be trained, and there is no encoder to start from")
        arguments = {k: v for k, v in {**self.options, **extra}.items() if v is not None}
        plan, settings = preset(method, **options).to_dict(), self.settings

        def make(folder: Path) -> None:
            classifier = Classifier(
                self.encoder, method=method, method_options=dict(options), **arguments
            )
            classifier.fit(documents, classes=self.space.names, validation=0, settings=settings)
            classifier.save(folder)

        facts = {"form": plan, "arguments": arguments, "settings": settings.to_dict()}
        return self.kept(f"training {method}", facts, make)

    def kept(
        self, what: str, facts: Mapping[str, Any], make: Callable[[Path], None], *, of: str = "data"
    ) -> tuple[Path, float]:
        """Return the folder of something made before, or made now, and the seconds that took.

        It is made in a folder of its own beside, so that two comparisons at once do not touch each
        other's; who ends first is kept.

        Args:
            what: what is made, for messages.
            facts: what it depends on besides data, encoder, labels and versions.
            make: makes it in the folder that it is given.
            of: `"data"` for what depends on encoder and training documents, `"dense"` for what is
                made of the dense classifier alone.
        """
        folder = self.folder / self._digest(facts, of)
        record = folder / _RECORD
        if not record.is_file():
            self.tell(what)
            shutil.rmtree(folder, ignore_errors=True)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                place = tempfile.TemporaryDirectory(prefix=".making-", dir=self.folder)
            except OSError as error:
                raise OutputError(
                    f"what is made cannot be kept in {self.folder}: {error.strerror}; name another "
                    "folder for the cache"
                ) from None
            with place as name:
                part = Path(name) / folder.name
                part.mkdir()
                started = time.perf_counter()
                make(part)
                seconds = time.perf_counter() - started
                (part / _RECORD).write_text(json.dumps({"what": what, "seconds": seconds}))
                size = sum(file.stat().st_size for file in part.rglob("*")) / 2**20
                if not record.is_file():  # another comparison may have put its own there since
                    os.rename(part, folder)
            self.tell(f"{what} took {seconds:.0f} s; {size:.0f} MiB are kept in {folder}")
        return folder, float(json.loads(record.read_text())["seconds"])

    def _digest(self, facts: Mapping[str, Any], of: str) -> str:
        versions = describe_machine()["versions"]
        known = {"facts": facts, "labels": self.space.names, "versions": versions, "of": of}
        digest = hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode())
        digest.update(code_fingerprint().encode())
        digest.update(_identity(self.dense if of == "dense" else self.encoder).encode())
        if of == "data" and self.train is not None:
            for row in zip(self.train.texts, self.train.labels, strict=True):
                digest.update(repr(row).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:16]


@functools.cache
def code_fingerprint(package: Path = Path(__file__).parents[1]) -> str:
    """Return the digest of all of tersely's source files: other code may train otherwise."""
    return _digest_of(package, sorted(package.rglob("*.py")))


def _identity(source: str | None) -> str:
    """Return what tells one model from another: a digest of a directory's files, or a Hub name."""
    if source is None or not Path(source).is_dir():
        return str(source)
    files = sorted(each for each in Path(source).glob("*.*") if each.suffix in _PARTS)
    return _digest_of(Path(source), [each for each in files if each.name not in _NOT_THE_MODEL])


def _digest_of(folder: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").digest()
        digest.update(str(file.relative_to(folder)).encode() + found)
    return digest.hexdigest()
