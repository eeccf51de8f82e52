"""Data sets of the Hugging Face Hub, by name, through the `datasets` library."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from tersely.errors import DataError, MissingExtraError, close_match, name_all, require

__all__ = ["looks_like_hub_name", "read_hub"]

# `name` or `owner/name`, then optionally `:split` or `:configuration:split`. A dot is allowed
# only before a digit, as in a version, so that a mistyped file name is not asked of the Hub.
_NAME = re.compile(r"[\w-]+(/[\w-]+(\.\d[\w-]*)*)?(:[\w.-]+){0,2}")


def looks_like_hub_name(source: str) -> bool:
    """Say whether a source that is no file could be a data set's name.

    Example:
        >>> looks_like_hub_name("stanfordnlp/imdb:test"), looks_like_hub_name("reviews.csv")
        (True, False)
    """
    return _NAME.fullmatch(source) is not None


def read_hub(source: str, split: str | None = None) -> pa.Table:
    """Read one split of a Hub data set, with class numbers turned into class names.

    Args:
        source: `name`, `owner/name`, `name:split` or `name:configuration:split`.
        split: the split, if the source does not end with it; needless if there is only one.

    Raises:
        DataError: if there is no such data set or split, or the Hub cannot be reached.
        MissingExtraError: if the `datasets` library is not installed.
    """
    name, *rest = source.split(":")
    if rest and split is not None and rest[-1] != split:
        raise DataError(f"one split is needed, and {source!r} names another than {split!r}")
    split = rest[-1] if rest else split
    configuration = rest[0] if len(rest) > 1 else None
    try:
        library = require("datasets", "hub")
    except MissingExtraError as error:
        raise MissingExtraError(
            f"{name} is no file or folder here, and to look for it on the Hub {error}"
        ) from error
    data = _load(library, name, configuration)
    if split not in data:
        if split is not None or len(data) != 1:
            raise DataError(
                f"a split of {name} must be chosen among {name_all(data)}, and {split!r} was "
                f"given{close_match(split or '', data)}; add it as {name}:{next(iter(data))}"
            )
        split = next(iter(data))
    dataset = data[split]
    return _name_classes(library, dataset.with_format("arrow")[:], dataset.features)


def _load(library: Any, name: str, configuration: str | None) -> Any:
    try:
        return library.load_dataset(name, configuration)
    except FileNotFoundError as error:
        raise DataError(
            f"{name} is no file or folder here, and the Hub has no data set of this name that "
            "can be read; check the spelling"
        ) from error
    except ConnectionError as error:
        raise DataError(
            f"{name} is no file or folder here, and the Hub could not be reached to look for a "
            f"data set of this name ({error}); check the spelling or the connection"
        ) from error
    # A data set's own loading code and the libraries below it raise whatever they like.
    except Exception as error:
        raise DataError(
            f"the Hub data set {name} could not be loaded: {' '.join(str(error).split())}; a "
            f"configuration is chosen as {name}:configuration:split"
        ) from error


def _name_classes(library: Any, table: pa.Table, features: Any) -> pa.Table:
    for position, name in enumerate(table.column_names):
        feature = features[name]
        item = getattr(feature, "feature", None)
        if isinstance(feature, library.ClassLabel):
            names = [_class_name(feature, value) for value in table.column(name).to_pylist()]
        elif isinstance(item, library.ClassLabel):
            names = [
                None if values is None else [_class_name(item, value) for value in values]
                for values in table.column(name).to_pylist()
            ]
        else:
            continue
        table = table.set_column(position, name, pa.array(names))
    return table


def _class_name(feature: Any, value: int | None) -> str | None:
    # Data sets without public labels hold -1 in place of the class.
    return None if value is None or value < 0 else feature.int2str(value)
