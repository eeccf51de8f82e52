"""From the options of the panel "Data" to documents, and what was guessed in one line."""

from __future__ import annotations

from typing import Any, Literal

import typer

from laconic.cli.messages import count, say
from laconic.data import Documents, LabelSpace, read_documents
from laconic.errors import DataError

__all__ = ["describe", "first", "read", "read_single_texts"]

_OPTIONS = ("text_column", "text_pair_column", "label_column", "label_separator", "split")
_NAMED = 6  # labels spelled out in a message


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
    """Read documents for a verb that knows no text pairs, the first `--limit` of them; says which.

    Raises:
        DataError: if two columns of texts were found.
    """
    documents = read(ctx, source, labels=labels, problem_type=problem_type)
    if documents.pairs is not None:
        raise DataError(
            f"{ctx.info_name} runs on single texts, and {documents.source} holds text pairs; name "
            "one of the columns with --text-column"
        )
    documents = first(documents, ctx.params["limit"])
    say(describe(documents))
    return documents


def first(documents: Documents, limit: int | None) -> Documents:
    """The first of them, as `--limit` asks for; all where it does not."""
    if limit is None:
        return documents
    return documents.select(range(min(limit, len(documents))))


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
