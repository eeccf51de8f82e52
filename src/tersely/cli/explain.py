"""`tersely explain`: what a trained model did with a document, or with the words of many."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tersely.classifier import Classifier
from tersely.cli import options as o
from tersely.cli.messages import count, print_json, print_table, progress_bar, say, stdout_console
from tersely.cli.reading import describe, is_given, read
from tersely.cli.trained import at_budget, load_trained, loading_options
from tersely.errors import DataError
from tersely.explain import Survey, explain_document, survey_documents, write_html
from tersely.explain.survey import ClassWords
from tersely.text import Documents

__all__ = ["explain"]

_OF_ONE = ("row", "html", "against")
_OF_MANY = ("plot", "minimum", "top", "label_column", "label_separator", "batch_tokens")


def explain(
    ctx: typer.Context,
    model: o.TrainedModel,
    data: o.UnlabelledData = "-",
    row: Annotated[
        int | None,
        o.option(
            "--row",
            "Which document of DATA, counted from 1.",
            o.DATA,
            metavar="N",
            min=1,
            show_default="the only one",
        ),
    ] = None,
    words: Annotated[
        bool,
        o.flag("--words", "All documents: the words that stay and that leave, by class.", o.DATA),
    ] = False,
    minimum: Annotated[
        int,
        o.option(
            "--minimum",
            "With --words: how often a word has to occur in a class.",
            o.DATA,
            metavar="N",
            min=1,
        ),
    ] = 5,
    top: Annotated[
        int,
        o.option(
            "--top", "With --words: words named for each class and end.", o.DATA, metavar="N", min=1
        ),
    ] = 10,
    against: Annotated[
        str | None,
        o.option(
            "--against",
            "A second trained model as it is, shown beside the first.",
            o.MODEL,
            metavar="MODEL",
        ),
    ] = None,
    text_column: o.TextColumn = None,
    text_pair_column: o.TextPairColumn = None,
    label_column: o.LabelColumn = None,
    label_separator: o.LabelSeparator = None,
    split: o.Split = None,
    max_length: o.ModelMaxLength = None,
    long: o.ModelLongPolicy = None,
    keep: o.Keep = None,
    budget: o.Budget = None,
    html: Annotated[
        Path | None,
        o.option(
            "--html",
            "Write the document as one HTML page with a slider over the blocks.",
            o.OUTPUT,
            metavar="FILE.html",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        o.option(
            "--plot",
            "With --words: write the tokens of each block as a plot.",
            o.OUTPUT,
            metavar="FILE.png",
        ),
    ] = None,
    json: o.Json = False,
    batch_tokens: o.BatchTokens = None,
    device: o.Device = "auto",
    config: o.Config = None,
    debug: o.Debug = False,
) -> None:
    """Show how far each word of a document got, and what was decided.

    DATA is a text file, a data file with --row, or standard input. With
    --words, all documents of DATA are read, and the words that stay longest
    and leave first are listed for each class.
    """
    _check_usage(ctx, words)
    classifier = load_trained(ctx)
    if data == "-" and sys.stdin.isatty():
        say("reading one document from standard input; end it with Ctrl-D")
    problem_type = classifier.label_space.problem_type
    labels = "optional" if words else "ignore"
    documents = read(ctx, data, labels=labels, problem_type=problem_type)
    if words:
        say(describe(documents))
        _survey(at_budget(ctx, classifier, documents), documents, minimum, top, plot, as_json=json)
        return
    documents = _the_one(documents, row)
    models = [at_budget(ctx, classifier, documents)]
    if against is not None:
        if keep is not None or budget is not None:
            option = "--budget" if keep is None else "--keep"
            say(f"{option} is for {classifier.source}; {against} runs as it was trained")
        models.append(Classifier.from_pretrained(against, **loading_options(ctx.params)))
    pair = None if documents.pairs is None else documents.pairs[0]
    explanations = [explain_document(each, documents.texts[0], pair) for each in models]
    if html is not None:
        say(f"{write_html(explanations, html)} holds the page")
    if json:
        records = [each.to_dict() for each in explanations]
        print_json(records[0] if against is None else records)
    elif html is None:
        from tersely.explain.terminal import render_many

        print_table(render_many(explanations, stdout_console()))


def _check_usage(ctx: typer.Context, words: bool) -> None:
    """Refuse options that say nothing together, before anything is read."""
    for name in _OF_MANY if not words else _OF_ONE:
        if not is_given(ctx, name):
            continue
        option = f"--{name.replace('_', '-')}"
        if words:
            raise typer.BadParameter(f"{option} is for one document, and --words for all of them")
        raise typer.BadParameter(f"{option} is about many documents; give --words with it")


def _the_one(documents: Documents, row: int | None) -> Documents:
    """The document that was asked for."""
    if not len(documents):
        raise DataError(f"{documents.source} holds no document to explain; give one")
    if row is None and len(documents) > 1:
        raise DataError(
            f"{documents.source} holds {count(len(documents), 'document')}, and one is explained; "
            "choose it with --row N, or look at all of them with --words"
        )
    if row is not None and row > len(documents):
        raise DataError(
            f"--row must be at most {len(documents):,}, the documents of {documents.source}, "
            f"got {row:,}"
        )
    return documents.select([(row or 1) - 1])


def _survey(
    classifier: Classifier,
    documents: Documents,
    minimum: int,
    top: int,
    plot: Path | None,
    *,
    as_json: bool,
) -> None:
    with progress_bar("reading", len(documents)) as progress:
        survey = survey_documents(
            classifier, documents, minimum=minimum, top=top, progress=progress
        )
    if plot is not None:
        from tersely.explain.plot import write_plot

        say(f"{write_plot(survey, plot)} holds the plot")
    if as_json:
        print_json(survey.to_dict())
    else:
        print_table(_tables(survey))


def _tables(survey: Survey) -> RenderableType:
    parts: list[RenderableType] = [_blocks(survey)]
    if not survey.removes:
        parts.append(Text("\nthis model takes no token away: every word that is read gets through"))
        return Group(*parts)
    which = "of the data" if survey.by == "label" else "as predicted"
    parts.append(
        Text(
            f"\nWords by class ({which}) that were read at least {survey.minimum} times: the share "
            "of the blocks that saw them (mean of occurrences and heads), and how often they occur."
        )
    )
    for each in survey.classes:
        parts += [Text(""), _words(each)]
    return Group(*parts)


def _blocks(survey: Survey) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("block", "tokens in", "keys", "tokens on", "keys, of read", "on, of read"):
        table.add_column(name, justify="right")
    for block in survey.blocks:
        name = f"{block.layer + 1}" + (" combines" if block.kind == "combine" else "")
        figures = [f"{value:,.1f}" for value in (block.entered, block.keys, block.left)]
        shares = [f"{value / max(survey.tokens, 1e-9):.1%}" for value in (block.keys, block.left)]
        table.add_row(name, *figures, *shares)
    return table


def _words(words: ClassWords) -> Table:
    title = Text(
        f"{words.label}: {count(words.documents, 'document')}, all words {words.stayed:.1%}", "bold"
    )
    table = Table(box=None, title=title, title_justify="left", padding=(0, 2, 0, 0))
    for name in ("stays longest", "", "", "leaves first", "", ""):
        table.add_column(name, justify="left" if name else "right")
    for most, least in zip(words.most, words.least, strict=True):
        cells = []
        for each in (most, least):
            cells += [Text(each.word), f"{each.stayed:.1%}", f"{each.count:,}"]
        table.add_row(*cells)
    if not words.most:
        table.add_row("no word occurs often enough")
    return table
