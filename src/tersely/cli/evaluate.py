"""`tersely evaluate`: how good a trained model is on labelled documents."""

from __future__ import annotations

from tersely.cli import options as o
from tersely.cli.messages import plain_table, print_json, print_table, progress, say
from tersely.cli.settings import verb


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
