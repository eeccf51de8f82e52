"""`tersely explain`: what a trained model did with a document, or with the words of many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import typer

from tersely.cli import options as o
from tersely.cli.messages import count, print_json, print_table, progress, say, stdout_console
from tersely.cli.settings import is_given, spelled, verb
from tersely.errors import DataError

if TYPE_CHECKING:
    from tersely.classifier import Classifier
    from tersely.text import Documents

_OF_ONE = ("row", "html", "against")
_OF_MANY = ("minimum", "top", "label_column", "label_separator", "batch_tokens")


@dataclass(frozen=True)
class One:
    """What is told of one document.

    Attributes:
        row: Which document of DATA, counted from 1. [the only one]
        against: A second trained model as it is, shown beside the first.
        html: Write the document as one HTML page with a slider over the blocks.
    """

    panel: ClassVar = "One document"
    row: o.MaybeCount = None
    against: o.Model = None
    html: o.Page = None


@dataclass(frozen=True)
class Survey:
    """What is told of the words of many documents.

    Attributes:
        words: Show the words of all documents that stay and that leave, by class.
        minimum: With --words: how often a word has to occur in a class.
        top: With --words: how many words to name for each class and end.
    """

    panel: ClassVar = "Many documents"
    words: bool = False
    minimum: o.Count = 5
    top: o.Count = 10

    def run(self, classifier: Classifier, documents: Documents, *, as_json: bool) -> None:
        """Read the documents, and print what became of their words."""
        from tersely.explain import survey_documents
        from tersely.explain.terminal import render_survey

        with progress("reading", len(documents)) as bar:
            survey = survey_documents(
                classifier,
                documents,
                minimum=self.minimum,
                top=self.top,
                progress=bar.advance,
            )
        if as_json:
            print_json(survey.to_dict())
        else:
            print_table(render_survey(survey))


@verb
def explain(
    ctx: typer.Context,
    model: o.TrainedModel,
    data: o.UnlabelledData = "-",
    *,
    one: One,
    survey: Survey,
    reading: o.LabelledReading,
    loading: o.Loading,
    budget: o.Budget,
    json: o.Json = False,
) -> None:
    """Show how far each word of a document got, and what was decided.

    DATA is a text file, a data file with --row, or standard input. With
    --words, all documents of DATA are read, and the words that stay longest
    and leave first are listed for each class.
    """
    for name in _OF_ONE if survey.words else _OF_MANY:
        if is_given(ctx, name) and survey.words:
            raise typer.BadParameter(f"{spelled(name)} is for one document, --words for all")
        if is_given(ctx, name):
            raise typer.BadParameter(f"{spelled(name)} is about many documents; give --words")
    classifier = loading.load(model)
    problem_type = classifier.label_space.problem_type
    documents = reading.read(data, "optional" if survey.words else "ignore", problem_type)
    if survey.words:
        say(o.describe(documents))
        survey.run(budget.of(classifier, documents), documents, as_json=json)
        return
    documents = _the_one(documents, one.row)
    models = [budget.of(classifier, documents)]
    if one.against is not None:
        if models[0] is not classifier:
            option = "--budget" if budget.keep is None else "--keep"
            say(f"{option} is for {classifier.source}; {one.against} runs as it was trained")
        models.append(loading.load(one.against))
    from tersely.explain import explain_document, write_html
    from tersely.explain.terminal import render_many

    pair = None if documents.pairs is None else documents.pairs[0]
    explanations = [explain_document(each, documents.texts[0], pair) for each in models]
    if one.html is not None:
        say(f"{write_html(explanations, one.html)} holds the page")
    if json:
        records = [each.to_dict() for each in explanations]
        print_json(records[0] if one.against is None else records)
    elif one.html is None:
        print_table(render_many(explanations, stdout_console()))


def _the_one(documents: Documents, row: int | None) -> Documents:
    """Return the document that was asked for."""
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
