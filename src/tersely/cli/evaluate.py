"""`tersely evaluate`: how good a trained model is, class by class, and where it errs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.table import Table
from rich.text import Text

from tersely._io import plain_table, written_whole
from tersely.cli import options as o
from tersely.cli.messages import count, print_json, progress, say, stdout
from tersely.cli.settings import verb
from tersely.errors import DataError, OutputError

if TYPE_CHECKING:
    from tersely.card import Evaluation
    from tersely.text.metrics import ClassReport

_CONFUSIONS = 10  # as many are printed; --json has all


@verb
def evaluate(
    model: o.TrainedModel,
    data: o.LabelledData,
    *,
    reading: o.Judged,
    loading: o.Loading,
    budget: o.Budget,
    errors: Annotated[Path | None, {"metavar": "FILE"}] = None,
    save_plots: Annotated[Path | None, {"metavar": "FOLDER"}] = None,
    train: o.Data = None,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
) -> None:
    """Measure a trained model on labelled documents.

    It prints a verdict, metrics by class, the largest confusions, and the
    error rate if only the most confident documents are answered.

    Options:
        errors: Write the misclassified documents, the most confident first: .csv, .tsv, .jsonl or
            .parquet.
        save_plots: Save plots to FOLDER: the confusion matrix, and the error rate by coverage.
        train: The training documents: rows that nearly duplicate one are named.

    Examples:
        tersely evaluate model/ test.csv
        tersely evaluate model/ test.csv --errors wrong.csv --train reviews.csv
    """
    from tersely.text import check_output

    if errors is not None:
        check_output(errors, overwrite=overwrite)
    if save_plots is not None and save_plots.exists() and not overwrite:
        raise OutputError(f"the folder {save_plots} exists; name another, or give --overwrite")
    classifier = loading.load(model)
    documents = reading.read(data, "required", classifier.label_space.problem_type)
    if classifier.label_space.problem_type == "regression" and (errors or save_plots):
        raise DataError("errors and plots show classes, and a regression has none; leave them out")
    say(o.describe(documents))
    classifier = budget.of(classifier, documents)
    known = None if train is None else reading.read(train)
    with progress("evaluating") as bar:
        found = classifier.evaluate(documents, progress=bar.show, train=known)
    _say_notes(found, classifier, len(documents))
    if errors is not None:
        _write_errors(errors, classifier, documents, found, overwrite=overwrite)
    if save_plots is not None:
        _write_plots(save_plots, found)
    if json:
        record = {"model": model, "data": data, "documents": len(documents)}
        record |= {"metrics": found.metrics, "verdict": found.verdict}
        report = {} if found.classes is None else dataclasses.asdict(found.classes)
        print_json(record | {name: report[name] for name in report if name != "wrong"})
        return
    stdout.print(found.verdict, "", markup=False, sep="\n")
    if found.classes is not None:
        stdout.print(_class_table(found.classes), "", sep="\n")
    table = plain_table("metric", ">value")
    for name, value in found.metrics.items():
        table.add_row(name, f"{value:.4f}")
    stdout.print(table)
    if found.classes is not None:
        _print_mistakes(found.classes)


def _say_notes(found: Evaluation, classifier: Any, documents: int) -> None:
    if found.classes is not None and found.classes.never_predicted:
        names = ", ".join(map(repr, found.classes.never_predicted))
        say(f"never predicted, although the documents contain them: {names}", "warning")
    if found.apart is not None:
        wrong, apart = (~found.apart[found.classes.wrong]).sum(), int(found.apart.sum())
        said = classifier.review.sentence(apart, documents)
        say(f"{said}; here {wrong:,} of {documents - apart:,}")


def _write_errors(
    path: Path, classifier: Any, documents: Any, found: Evaluation, *, overwrite: bool
) -> None:
    from tersely.score.predictor import prediction_columns
    from tersely.text import write_table

    wrong = found.classes.wrong
    columns = prediction_columns(classifier, found.logits[wrong])
    columns = {"predicted": columns["label"], "score": columns["score"]}
    write_table(path, documents.select(wrong).table, columns, overwrite=overwrite)
    say(f"{path} holds {count(len(wrong), 'misclassified document')}, the most confident first")


def _write_plots(folder: Path, found: Evaluation) -> None:
    from tersely.bench import draw_classes

    plots = draw_classes(found.classes)
    with written_whole(folder, "plots", replaces=("confusions.svg", "coverage.svg")) as part:
        for name, plot in plots.items():
            (part / f"{name}.svg").write_text(plot, encoding="utf-8")
    say(f"{folder} holds {' and '.join(f'{name}.svg' for name in plots)}")


def _class_table(report: ClassReport) -> Table:
    table = plain_table("class", ">precision", ">recall", ">F1", ">documents")
    means = {f"{name} average": row for name, row in report.averages.items()}
    for name, row in (report.classes | means).items():
        figures = (f"{row[key]:.3f}" for key in ("precision", "recall", "f1"))
        table.add_row(Text(name), *figures, f"{row['support']:,}")
    return table


def _print_mistakes(report: ClassReport) -> None:
    if report.confusions:
        table = plain_table("wanted", "predicted", ">documents")
        for wanted, predicted, times in report.confusions[:_CONFUSIONS]:
            table.add_row(Text(wanted), Text(predicted), f"{times:,}")
        stdout.print("", table, sep="\n")
    table = plain_table(">answered", ">confidence from", ">error")
    for row in report.coverage:
        least = f"{row['confidence']:.3f}"
        table.add_row(f"{row['coverage']:.0%}", least, f"{row['error']:.1%}")
    stdout.print("", table, sep="\n")
