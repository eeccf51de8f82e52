"""From the options of the panel "Data" to documents, and what was guessed in one line."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import typer

from tersely.cli.messages import count, say
from tersely.errors import DataError
from tersely.text import Documents, LabelSpace, read_documents

__all__ = ["describe", "drawn", "is_given", "read", "read_single_texts"]

_OPTIONS = ("text_column", "text_pair_column", "label_column", "label_separator", "split")
_NAMED = 6  # labels spelled out in a message


def is_given(ctx: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line or in a configuration file."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def read(
    ctx: typer.Context,
    source: str,
    *,
    labels: Literal["required", "optional", "ignore"],
    problem_type: str | None = None,
) -> Documents:
    """Read documents with those of the reading options that the verb has."""
    given: dict[str, Any] = {name: ctx.params[name] for name in _OPTIONS if name in ctx.params}
    if problem_type is not None:
        given["problem_type"] = str(problem_type)
    return read_documents(source, labels=labels, **given)


def read_single_texts(
    ctx: typer.Context,
    source: str,
    *,
    labels: Literal["required", "optional", "ignore"],
    problem_type: str | None = None,
) -> Documents:
    """Read documents for a verb without text pairs, `--limit` of them by its seed; says which.

    Raises:
        DataError: if two columns of texts were found.
    """
    documents = read(ctx, source, labels=labels, problem_type=problem_type)
    if documents.pairs is not None:
        raise DataError(
            f"{ctx.info_name} runs on single texts, and {documents.source} holds text pairs; name "
            "one of the columns with --text-column"
        )
    chosen = drawn(documents, ctx.params["limit"], ctx.params["seed"])
    more = f", drawn from {len(documents):,}" if len(chosen) < len(documents) else ""
    say(describe(chosen) + more)
    return chosen


def drawn(documents: Documents, limit: int | None, seed: int = 0) -> Documents:
    """As many of them as `--limit` asks for, drawn by a seed and in their order; all by default.

    Not the first: files are often sorted by class, and these would be of a few classes only.
    """
    if limit is None or limit >= len(documents):
        return documents
    numbers = np.random.default_rng(seed).permutation(len(documents))[:limit]
    return documents.select(sorted(numbers.tolist()))


def describe(documents: Documents, space: LabelSpace | None = None) -> str:
    """Say what the documents are and which columns were taken."""
    columns = f"texts in {documents.text_column!r}"
    if documents.pair_column is not None:
        columns += f" and {documents.pair_column!r}"
    if documents.label_column is not None:
        columns += f", labels in {documents.label_column!r}"
    line = f"{count(len(documents), 'document')} from {documents.source}: {columns}"
    if space is None:
        return line
    if space.problem_type == "regression":
        return f"{line}; regression"
    names = ", ".join(space.names[:_NAMED]) + (", …" if len(space.names) > _NAMED else "")
    return f"{line}; {space.problem_type}, {len(space.names)} labels: {names}"
