"""`tersely bench`: contenders on the same documents, in one process, taking turns."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from tersely.cli import options as o
from tersely.cli.messages import command_line, print_json, progress, say, stdout
from tersely.cli.settings import Rare, verb
from tersely.errors import DataError


@verb
def bench(
    data: o.LabelledData,
    *,
    models: Annotated[tuple[str, ...], {"metavar": "MODEL ..."}] = (),
    contenders: Annotated[tuple[str, ...], {"metavar": "NAME ..."}] = (),
    keep: Annotated[tuple[float, ...], {"metavar": "X"}] = (),
    budget: Annotated[tuple[float, ...], {"metavar": "R"}] = (),
    train: o.Data = None,
    rounds: o.Count = 5,
    baseline: o.Name = None,
    timed: Rare[o.MaybeCount] = None,
    latency_documents: Rare[Annotated[int, {"min": 0}]] = 64,
    memory: Rare[bool] = True,
    report: o.Page = None,
    reading: o.Columns,
    sample: o.Sample,
    loading: o.Answering,
    json: o.Json = False,
) -> None:
    """Compare contenders: quality, speed, latency, memory, MACs.

    Options:
        models: One or more trained models; DATA comes before them.
        contenders: What else to compare: pipeline, sorted, onnx, onnx-int8, tfidf, a method on the
            dense model, or module:Class; options follow a colon.
        keep: Also run models with this share of tokens; repeatable.
        budget: Also run models with this share of the MACs without token removal; repeatable.
        train: Documents to fit tfidf and your own classes on. [nothing is fitted]
        rounds: The number of turns each contender takes.
        baseline: The contender that ratios refer to. [the first]
        timed: The number of documents timed per round; quality is measured on all. [all]
        latency_documents: The number of documents that are also run alone.
        memory: Measure memory too.
        report: Write a report as one HTML file.

    Examples:
        tersely bench test.csv --models model/ dense-model/
        tersely bench test.csv --models dense/ --contenders pipeline topk --report report.html
    """
    if not contenders and not models:
        raise typer.BadParameter("name contenders with --models or --contenders, or both")
    if report is not None and not report.absolute().parent.is_dir():
        raise typer.BadParameter(f"{report.parent} is not a directory; create it first")
    from tersely import bench as room
    from tersely.text import LabelSpace

    # Loaded first: they say whether a cell holds one label, several, or a number.
    given, learnt = room.load_models(models, vars(loading)), None
    space = given[0].classifier.label_space if given else None
    if train is not None:
        learnt = reading.read(train, "required", space and space.problem_type)
        say(f"training documents: {o.describe(learnt)}")
        space = space or LabelSpace.infer(learnt.labels, reading.problem_type)
    if space is None:
        raise DataError(
            "the labels are unknown; name a trained model with --models or documents with --train"
        )
    # An export holds no model of torch that others could be made of.
    loaded = zip(models, (each.classifier for each in given), strict=True)
    dense = [name for name, each in loaded if each.plan.is_dense and each.model is not None]
    documents = sample.single_texts(reading.read(data, "optional", space.problem_type), "bench")
    labels = documents.labels
    paths = {path: each.name for path, each in zip(models, given, strict=True)}
    with TemporaryDirectory(prefix="tersely-bench-") as folder:
        original = dense[0] if dense else None
        sources = room.Sources(space, Path(folder), original, learnt, vars(loading))
        made, skipped = room.make_contenders(contenders, sources)
        for name, reason in skipped.items():
            say(f"{name} is skipped: {reason}")
        entered = [*given, *made]
        if learnt is not None:
            room.tell_duplicates(entered, learnt, documents)
        entered += room.at_budgets(entered, documents.texts, keep, budget)
        encoded = None if labels is None else space.encode(labels, unseen="skip")
        how = {"problem_type": space.problem_type, "baseline": paths.get(baseline, baseline)}
        how |= {"latency_documents": latency_documents, "memory": memory, "seed": sample.seed}
        how |= {"rounds": rounds, "timed": timed}
        with progress() as bar:
            how["progress"] = bar.show
            result = room.bench(entered, documents.texts, encoded, **how)
    result = replace(result, command=command_line(), skipped=skipped)
    if report is not None:
        pictures = [(name, Path(path, "speed.svg")) for path, name in paths.items()]
        say(f"{room.write_report(result, report, pictures)} holds the report")
    if json:
        print_json(result.to_dict())
    else:
        stdout.print(room.render(result))
