"""`tersely explain`: what a trained model did with a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tersely.cli import options as o
from tersely.cli.messages import count, print_json, say, stdout
from tersely.cli.settings import verb
from tersely.errors import DataError

if TYPE_CHECKING:
    from tersely.text import Documents


@verb
def explain(
    model: o.TrainedModel,
    data: o.UnlabelledData = "-",
    *,
    row: o.MaybeCount = None,
    html: o.Page = None,
    reading: o.Judged,
    loading: o.Answering,
    budget: o.Budget,
    json: o.Json = False,
) -> None:
    """Show how far each word of a document got, and the prediction.

    DATA is a text file, a data file with --row, or standard input.

    Options:
        row: The number of the document in DATA, counted from 1. [the only one]
        html: Write an HTML page with a slider over the blocks.

    Examples:
        tersely explain model/ letter.txt
        tersely explain model/ test.csv --row 12 --html page.html
    """
    from tersely import explain as room
    from tersely.explain import show

    classifier = loading.load(model)
    documents = _the_one(_read(reading, data, classifier.label_space.problem_type), row)
    pair = None if documents.pairs is None else documents.pairs[0]
    known = (documents.labels or [None])[0]
    told = room.explain_document(budget.of(classifier, documents), documents.texts[0], pair, known)
    if html is not None:
        say(f"{room.write_html(told, html)} holds the page")
    if json:
        print_json(told.to_dict())
    elif html is None:
        stdout.print(show.render(told, stdout))


def _read(reading: o.Columns, data: str, problem_type: str) -> Documents:
    """Read documents; of a label that is only shown, a column in disorder is no concern."""
    try:
        return reading.read(data, "optional", problem_type)
    except DataError:
        if reading.label_column is not None:
            raise
        return reading.read(data, "ignore", problem_type)


def _the_one(documents: Documents, row: int | None) -> Documents:
    """Return the document that was asked for."""
    there = f"{documents.source} holds {count(len(documents), 'document')}"
    if row is None and len(documents) > 1:
        raise DataError(f"{there}; choose the one to explain with --row N")
    number = row or 1
    if number > len(documents):
        raise DataError(f"{there}, so --row must be at most {len(documents):,}, got {number:,}")
    return documents.select([number - 1])
