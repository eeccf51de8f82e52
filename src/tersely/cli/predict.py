"""`tersely predict` and `tersely evaluate`: what a trained model says, and how good it is."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tersely.cli import options as o
from tersely.cli.messages import count, plain_table, print_json, print_table, progress, say
from tersely.cli.settings import verb

if TYPE_CHECKING:
    import numpy as np

    from tersely.classifier import Classifier


@verb
def predict(
    model: o.TrainedModel,
    data: o.UnlabelledData = "-",
    *,
    reading: o.Reading,
    loading: o.Loading,
    budget: o.Budget,
    out: Annotated[Path | None, {"metavar": "FILE"}] = None,
    probabilities: bool = False,
    overwrite: o.Overwrite = False,
    json: bool = False,
) -> None:
    """Label documents, or the one on standard input.

    Every input column is kept. 'label' and 'score', its probability, are
    added; for several labels both are lists. A regression model adds
    'prediction' instead.

    Options:
        out: The file to write: .csv, .tsv, .jsonl or .parquet. [standard output]
        probabilities: Add a column for each class.
        json: Print JSON Lines on standard output, whatever the input.
    """
    if out is not None and json:
        raise typer.BadParameter(
            "--json is for standard output, and the suffix of --out says the format; leave out "
            "--json, or name a .jsonl file"
        )
    from tersely.score.predictor import prediction_columns
    from tersely.text import check_output, write_table

    if out is not None:
        check_output(out, overwrite=overwrite)
    classifier = loading.load(model)
    documents = reading.read(data)
    classifier = budget.of(classifier, documents)
    with progress("predicting", len(documents)) as bar:
        encoded = classifier.encode(documents.texts, documents.pairs)
        logits = classifier.forward(encoded, bar.advance).logits
    if data == "-" and out is None:
        _print_one(classifier, logits, every=probabilities, as_json=json)
        return
    columns = prediction_columns(classifier, logits, every=probabilities)
    if out is not None:
        write_table(out, documents.table, columns, overwrite=overwrite)
        say(f"{out} holds {count(len(documents), 'labelled document')}")
        return
    # In the input's own format; what is no table becomes JSON Lines.
    plain = _suffix(data) in (".csv", ".tsv") and not json
    with tempfile.TemporaryDirectory(prefix="tersely-") as folder:
        name = f"table{_suffix(data) if plain else '.jsonl'}"
        with write_table(Path(folder, name), documents.table, columns).open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _suffix(source: str) -> str:
    """Return the suffix that says a file's format: that in front of the compression's."""
    parts = [part for part in Path(source.lower()).suffixes if part not in (".gz", ".zst")]
    return parts[-1] if parts else ""


def _print_one(classifier: Classifier, logits: np.ndarray, *, every: bool, as_json: bool) -> None:
    """Print label and score of one document, a line a label: those decided for, or every one."""
    from tersely.score.predictor import DIGITS, prediction_columns

    columns = {name: values[0] for name, values in prediction_columns(classifier, logits).items()}
    scores: dict[str, float] = {}
    if every or (as_json and "label" in columns):
        shares = classifier.probabilities(logits)[0].astype("float64").round(DIGITS).tolist()
        scores = dict(zip(classifier.classes_, shares, strict=True))
    if as_json:
        print_json(columns | ({"scores": scores} if scores else {}))
        return
    if "prediction" in columns:
        typer.echo(f"{columns['prediction']:.4f}")
        return
    lines = [(columns["label"], columns["score"])]
    if every:
        lines = sorted(scores.items(), key=lambda pair: -pair[1])
    elif isinstance(columns["label"], list):
        lines = list(zip(columns["label"], columns["score"], strict=True))
    for label, score in lines:
        typer.echo(f"{label}\t{score:.4f}")


@verb
def evaluate(
    model: o.TrainedModel,
    data: o.LabelledData,
    *,
    reading: o.LabelledReading,
    loading: o.Loading,
    budget: o.Budget,
    json: o.Json = False,
) -> None:
    """Measure a trained model on labelled documents."""
    classifier = loading.load(model)
    documents = reading.read(data, "required", classifier.label_space.problem_type)
    say(o.describe(documents))
    classifier = budget.of(classifier, documents)
    with progress("evaluating", len(documents)) as bar:
        metrics = classifier.evaluate(documents, progress=bar.advance).metrics
    if json:
        record = {"model": model, "data": data, "documents": len(documents), "metrics": metrics}
        print_json(record)
        return
    table = plain_table("metric", "value", numbers=1)
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}")
    print_table(table)
