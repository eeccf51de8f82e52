"""`tersely predict`: what a trained model says."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tersely.cli import options as o
from tersely.cli.messages import count, print_json, say
from tersely.cli.settings import verb


@verb
def predict(
    model: o.TrainedModel,
    data: o.UnlabelledData = "-",
    *,
    reading: o.Texts,
    loading: o.Loading,
    budget: o.Budget,
    out: Annotated[Path | None, {"metavar": "FILE"}] = None,
    probabilities: bool = False,
    overwrite: o.Overwrite = False,
    json: bool = False,
) -> None:
    """Label documents, or one document from standard input.

    Every input column is kept. 'label' and 'score', its probability, are
    added; both are lists for multi-label models. A regression model adds
    'prediction' instead. A cascade also adds 'stage', which answered, and
    'confidence', by how much its label led. With --max-error, 'review' is true
    for documents that people should look at.

    Options:
        out: The file to write: .csv, .tsv, .jsonl or .parquet. [JSON Lines on standard output]
        probabilities: Add a column per class.
        json: Print JSON for one document from standard input, too.

    Examples:
        tersely predict model/ new.csv --out labels.csv
        echo 'one document' | tersely predict model/
    """
    if out is not None and json:
        raise typer.BadParameter("--json is for standard output; name a .jsonl file with --out")
    from tersely.score.predictor import prediction_columns
    from tersely.text import check_output

    if out is not None:
        check_output(out, overwrite=overwrite)
    classifier = loading.load(model)
    documents = reading.read(data)
    classifier = budget.of(classifier, documents)
    _, forward = o.answer(classifier, documents, "predicting")
    apart = classifier.set_apart(forward)
    columns = prediction_columns(classifier, forward.logits, apart, every=probabilities)
    if forward.stages is not None:
        names = [stage.name for stage in classifier.model_config.cascade_stages().stages]
        columns["stage"] = [names[number] for number in forward.stages]
        columns["confidence"] = forward.confidence.astype(float).round(4).tolist()
    if apart is not None:
        say(classifier.review.sentence(int(apart.sum()), len(documents)))
    if data == "-" and out is None:
        one = {name: values[0] for name, values in columns.items()}
        if json:
            print_json(one)
        else:
            _print_one(one, classifier.label_space.names, every=probabilities)
        return
    o.write_rows(out, documents.table, columns, overwrite=overwrite)
    if out is not None:
        say(f"{out} holds {count(len(documents), 'labelled document')}")


def _print_one(columns: dict[str, Any], classes: tuple[str, ...], *, every: bool) -> None:
    """Print what was decided of one document, a line a label: those decided for, or every one."""
    if "prediction" in columns:
        typer.echo(f"{columns['prediction']:.4f}")
        return
    label, score = columns["label"], columns["score"]
    lines = zip(label, score, strict=True) if isinstance(label, list) else [(label, score)]
    if every:
        shares = [(name, columns[f"probability_{name}"]) for name in classes]
        lines = sorted(shares, key=lambda pair: -pair[1])
    for label, score in lines:
        typer.echo(f"{label}\t{score:.4f}")
