"""Training and fitting what takes part, all on the same documents, and keeping it.

A model is kept in a folder named by the digest of all that it came from: the documents, the
encoder, the method, the settings and the versions. What is there is not trained again; how long it
took stands beside it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tersely.classifier import Classifier
from tersely.errors import DataError, OutputError
from tersely.text import Documents, LabelSpace
from tersely.text.labels import MULTI_LABEL, REGRESSION
from tersely.training import TrainingSettings

__all__ = ["Workshop", "default_cache"]

_RECORD = "bench.json"
_CACHE = 2  # raised when what was kept before is not what would be made now
_NAMED = 5  # classes spelled out in a message
_WEIGHTS = (".safetensors", ".bin", ".json", ".txt", ".model")
_RECORDS = ("training.json", "evidence.json")  # what was found out about a model is no part of it


def default_cache() -> Path:
    """Where contenders are kept unless told otherwise: the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tersely" / "bench"


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
            DataError: if there are none, or their classes are not those that are told apart.
        """
        if self.train is None:
            raise DataError(f"{what} has to be trained; name the documents with --train")
        if self.space.problem_type != REGRESSION:
            found = set(LabelSpace.infer(self.train.labels, self.space.problem_type).names)
            unknown, missing = found - set(self.space.names), set(self.space.names) - found
            if unknown or missing:
                told = " and ".join(
                    f"{said} {_some(names)}"
                    for said, names in (("hold", unknown), ("lack", missing))
                    if names
                )
                raise DataError(
                    f"{what} has to be trained on the {len(self.space.names)} classes that are "
                    f"told apart, and the documents of --train {told}; give others"
                )
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
            classifier.fit(self._ordered(documents), validation=0, settings=self.settings)
            # By name again, and in the order of the space, whatever order `fit` gives to names.
            config = classifier.model_config
            config.id2label, config.label2id = self.space.id2label, self.space.label2id
            classifier.save(folder)

        return self.kept(f"training {method}", about | {"settings": self.settings.to_dict()}, make)

    def _ordered(self, documents: Documents) -> Documents:
        """The documents, their labels such that `fit` puts them in the order of the space.

        `fit` sorts names; where the space has another order, labels are called by their numbers.
        """
        problem = self.space.problem_type
        if LabelSpace.infer(documents.labels, problem).names == self.space.names:
            return documents
        number = {name: str(place) for name, place in self.space.label2id.items()}
        several = problem == MULTI_LABEL
        labels = [
            [number[name] for name in label] if several else number[label]
            for label in documents.labels
        ]
        return replace(documents, labels=labels)

    def kept(
        self, what: str, about: Mapping[str, Any], make: Callable[[Path], None]
    ) -> tuple[Path, float]:
        """The folder of something made before, or made now, and the seconds that making took.

        It is made in a folder of its own beside, so that two comparisons at once do not touch each
        other's; who ends first is kept.

        Raises:
            OutputError: if the cache cannot be written.
        """
        folder = self.cache / self._digest(about)
        record = folder / _RECORD
        if not record.is_file():
            self.tell(f"{what} (kept in {folder})")
            shutil.rmtree(folder, ignore_errors=True)
            with _making(self.cache) as place:
                part = place / folder.name
                part.mkdir()
                started = time.perf_counter()
                make(part)
                seconds = time.perf_counter() - started
                (part / _RECORD).write_text(json.dumps({"what": what, "seconds": seconds}))
                _settle(part, folder)
        return folder, float(json.loads(record.read_text())["seconds"])

    def _digest(self, about: Mapping[str, Any]) -> str:
        digest = hashlib.sha256()
        libraries = ("torch", "transformers")
        versions = {name: version(name) for name in libraries} | {"tersely": _tersely_version()}
        facts = {"about": about, "labels": self.space.names, "versions": versions, "cache": _CACHE}
        digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
        for source in (self.encoder, self.dense if about.get("of") == "dense" else None):
            digest.update(_identity(source).encode())
        if self.train is not None and about.get("of") != "dense":
            for text, label in zip(self.train.texts, self.train.labels, strict=True):
                digest.update(repr((text, label)).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:16]


@contextlib.contextmanager
def _making(cache: Path) -> Iterator[Path]:
    """A folder in the cache that is gone afterwards."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        place = tempfile.TemporaryDirectory(prefix=".making-", dir=cache)
    except OSError as error:
        raise OutputError(
            f"what is trained cannot be kept in {cache}: {error.strerror}; name another folder "
            "with --cache"
        ) from None
    with place as name:
        yield Path(name)


def _settle(part: Path, folder: Path) -> None:
    """Put a folder in its place, unless another comparison has put its own there since."""
    try:
        os.rename(part, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _some(names: set[str]) -> str:
    """A few of the names."""
    told = ", ".join(map(repr, sorted(names)[:_NAMED]))
    return told + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _tersely_version() -> str:
    from tersely import __version__

    return __version__


def _identity(source: str | None) -> str:
    """What tells one model from another: a digest of a directory's files, or a Hub name.

    Weights, configuration and tokenizer, whatever its family calls its files.
    """
    if source is None or not Path(source).is_dir():
        return str(source)
    digest = hashlib.sha256()
    for file in sorted(Path(source).iterdir()):
        if file.suffix in _WEIGHTS and file.name not in _RECORDS and file.is_file():
            digest.update(file.name.encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
