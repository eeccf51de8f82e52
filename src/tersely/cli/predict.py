"""`tersely predict`: labels next to the input's columns, or the label of one document."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import typer

from tersely.classifier import Classifier
from tersely.cli import options as o
from tersely.cli.messages import count, print_json, progress_bar, say
from tersely.cli.outputs import write_standard_output
from tersely.cli.reading import read
from tersely.cli.trained import at_budget, load_trained
from tersely.score.columns import DIGITS, prediction_columns
from tersely.text import Documents, check_output, write_table

__all__ = ["predict"]


def predict(
    ctx: typer.Context,
    model: o.TrainedModel,
    data: o.UnlabelledData = "-",
    text_column: o.TextColumn = None,
    text_pair_column: o.TextPairColumn = None,
    split: o.Split = None,
    max_length: o.ModelMaxLength = None,
    long: o.ModelLongPolicy = None,
    keep: o.Keep = None,
    budget: o.Budget = None,
    out: o.OutFile = None,
    probabilities: o.Probabilities = False,
    overwrite: o.Overwrite = False,
    json: o.JsonLines = False,
    batch_tokens: o.BatchTokens = None,
    device: o.Device = "auto",
    config: o.Config = None,
    debug: o.Debug = False,
) -> None:
    """Label documents, or the one on standard input.

    Every input column is kept. 'label' and 'score', its probability, are
    added; for several labels both are lists. A regression model adds
    'prediction' instead.
    """
    if out is not None:
        if json:
            raise typer.BadParameter(
                "--json is for standard output, and the suffix of --out says the format; leave out "
                "--json, or name a .jsonl file"
            )
        check_output(out, overwrite=overwrite)
    classifier = load_trained(ctx)
    if data == "-" and sys.stdin.isatty():
        say("reading one document from standard input; end it with Ctrl-D")
    documents = read(ctx, data, labels="ignore")
    classifier = at_budget(ctx, classifier, documents)
    with progress_bar("predicting", len(documents)) as progress:
        logits = classifier.logits(documents.texts, documents.pairs, progress)
    if data == "-" and out is None:
        _print_one(classifier, logits, every=probabilities, as_json=json)
        return
    columns = prediction_columns(classifier, logits, every=probabilities)
    if out is None:
        write_standard_output(data, documents.table, columns, json_lines=json)
    else:
        _write(out, documents, columns, overwrite)


def _print_one(classifier: Classifier, logits: np.ndarray, *, every: bool, as_json: bool) -> None:
    """Print label and score of one document, a line a label: those decided for, or every one."""
    columns = {name: values[0] for name, values in prediction_columns(classifier, logits).items()}
    scores: dict[str, float] = {}
    if every or (as_json and "label" in columns):
        shares = classifier.probabilities(logits)[0].astype(np.float64).round(DIGITS).tolist()
        scores = dict(zip(classifier.classes_, shares, strict=True))
    if as_json:
        print_json(columns | ({"scores": scores} if scores else {}))
    elif every:
        for label, score in sorted(scores.items(), key=lambda pair: -pair[1]):
            typer.echo(f"{label}\t{score:.4f}")
    elif "prediction" in columns:
        typer.echo(f"{columns['prediction']:.4f}")
    elif isinstance(columns["label"], list):
        for label, score in zip(columns["label"], columns["score"], strict=True):
            typer.echo(f"{label}\t{score:.4f}")
    else:
        typer.echo(f"{columns['label']}\t{columns['score']:.4f}")


def _write(out: Path, documents: Documents, columns: dict[str, Any], overwrite: bool) -> None:
    write_table(out, documents.table, columns, overwrite=overwrite)
    say(f"{out} holds {count(len(documents), 'labelled document')}")
