"""`tersely evaluate`: how good a trained model is on labelled documents."""

from __future__ import annotations

import typer
from rich.table import Table

from tersely.cli import options as o
from tersely.cli.messages import print_json, print_table, progress_bar, say
from tersely.cli.reading import describe, read
from tersely.cli.trained import at_budget, load_trained

__all__ = ["evaluate"]


def evaluate(
    ctx: typer.Context,
    model: o.TrainedModel,
    data: o.LabelledData,
    text_column: o.TextColumn = None,
    text_pair_column: o.TextPairColumn = None,
    label_column: o.LabelColumn = None,
    label_separator: o.LabelSeparator = None,
    split: o.Split = None,
    max_length: o.ModelMaxLength = None,
    long: o.ModelLongPolicy = None,
    keep: o.Keep = None,
    budget: o.Budget = None,
    json: o.Json = False,
    batch_tokens: o.BatchTokens = None,
    device: o.Device = "auto",
    config: o.Config = None,
    debug: o.Debug = False,
) -> None:
    """Measure a trained model on labelled documents."""
    classifier = load_trained(ctx)
    problem_type = classifier.label_space.problem_type
    documents = read(ctx, data, labels="required", problem_type=problem_type)
    say(describe(documents))
    classifier = at_budget(ctx, classifier, documents)
    with progress_bar("evaluating", len(documents)) as progress:
        metrics = classifier.evaluate(documents, progress=progress)
    if json:
        record = {"model": model, "data": data, "documents": len(documents), "metrics": metrics}
        print_json(record)
        return
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}")
    print_table(table)
