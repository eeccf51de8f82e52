"""`tersely bench`: contenders on the same documents, in one process, taking turns."""

from __future__ import annotations

import json as json_library
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from tersely.cli import options as o
from tersely.cli.messages import command_line, count, print_json, progress, say, show, stdout
from tersely.cli.settings import Rare, is_given, spelled, verb
from tersely.errors import DataError
from tersely.training.settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Collection


@verb
def bench(
    ctx: typer.Context,
    data: o.LabelledData,
    *,
    models: Annotated[tuple[str, ...], {"metavar": "MODEL ..."}] = (),
    contenders: Annotated[tuple[str, ...], {"metavar": "NAME ..."}] = (),
    stock: bool = False,
    keep: Annotated[tuple[float, ...], {"metavar": "X"}] = (),
    budget: Annotated[tuple[float, ...], {"metavar": "R"}] = (),
    train: o.Data = None,
    encoder: o.Name = None,
    cache: Rare[o.Directory] = None,
    rounds: o.Count = 5,
    baseline: o.Name = None,
    timed: Rare[o.MaybeCount] = None,
    latency_documents: Rare[Annotated[int, {"min": 0}]] = 64,
    memory: Rare[bool] = True,
    report: o.Page = None,
    plots: o.Directory = None,
    reading: o.Columns,
    sample: o.Sample,
    loading: o.Loading,
    settings: Annotated[TrainingSettings, ("epochs", "learning_rate")],
    json: o.Json = False,
) -> None:
    """Compare contenders: quality, speed, latency, memory, MACs.

    With --train, contenders that have to be trained or fitted are, on the
    same documents, and kept for the next time.

    Options:
        models: Trained models, one or more; DATA goes before them.
        contenders: What else to compare: pipeline, sorted, onnx, onnx-int8, tfidf, static, a
            method, or module:Class; options behind a colon.
        stock: Add pipeline and sorted: the dense model as transformers run it.
        keep: Also run models at this share of tokens to keep; repeatable.
        budget: Also run models at this target, MACs ÷ those without any removal; repeatable.
        train: Documents to train contenders on, as DATA. [nothing is trained]
        encoder: The encoder that contenders are trained from: a Hub name or a directory. [as in
            train]
        cache: The directory where trained contenders are kept. [the user's cache]
        rounds: How many turns each contender takes.
        baseline: The contender that ratios refer to. [the first]
        timed: How many documents a round of the clock has; quality is judged on all. [all]
        latency_documents: How many documents are also run alone.
        memory: Measure memory as well.
        report: Write a report as one HTML file.
        plots: Write the report's plots as PNG files.

    Examples:
        tersely bench test.csv --models model/ dense-model/
        tersely bench test.csv --train train.csv --contenders dense topk tfidf --report report.html
    """
    names = [*contenders, *(["pipeline", "sorted"] if stock else [])]
    _check_usage(ctx, names or models)
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
            "nothing tells the labels; name a trained model with --models or documents with --train"
        )
    # An export holds no model of torch that others could be made of.
    loaded = zip(models, (each.classifier for each in given), strict=True)
    dense = [name for name, each in loaded if each.plan.is_dense and each.model is not None]
    if encoder is None and learnt is not None and not dense:
        encoder = o.default_encoder()
    made_from = room.ModelCache(
        space=space,
        train=learnt,
        encoder=encoder,
        dense=dense[0] if dense else None,
        settings=replace(settings, seed=sample.seed),
        # Not the threads: what was trained with so many is as good for others.
        options={name: value for name, value in vars(loading).items() if name != "threads"},
        folder=cache or room.default_cache(),
        tell=say,
    )
    made, skipped = room.make_contenders(names, made_from)
    documents = sample.single_texts(reading.read(data, "optional", space.problem_type), "bench")
    entered = [*given, *made]
    entered += room.at_budgets(entered, documents.texts, keep, budget)
    paths = {path: each.name for path, each in zip(models, given, strict=True)}
    labels = documents.labels
    with progress() as bar:
        result = room.bench(
            entered,
            documents.texts,
            None if labels is None else space.encode(labels, unseen="skip"),
            problem_type=space.problem_type,
            rounds=rounds,
            timed=timed,
            baseline=paths.get(baseline, baseline),
            latency_documents=latency_documents,
            memory=memory,
            seed=sample.seed,
            progress=lambda what, done, total: show(bar, done, total, what),
        )
    result = replace(result, command=command_line(), skipped=skipped)
    if report is not None:
        say(f"{room.write_report(result, report)} holds the report")
    if plots is not None:
        say(f"{plots} holds {count(len(room.write_plots(result, plots)), 'plot')}")
    if json:
        print_json(json_library.loads(result.to_json()))
    else:
        stdout.print(room.render(result))


def _check_usage(ctx: typer.Context, contenders: Collection[str]) -> None:
    """Refuse what cannot be meant, before long work."""
    if not contenders:
        raise typer.BadParameter("name contenders with --models or --contenders, or both")
    for name in ("encoder", "epochs", "learning_rate"):
        if ctx.params["train"] is None and is_given(ctx, name):
            raise typer.BadParameter(f"{spelled(name)} is about training; give --train with it")
    for out in filter(None, (ctx.params["report"], ctx.params["plots"])):
        if not out.absolute().parent.is_dir():
            raise typer.BadParameter(f"{out.parent} is not a directory; make it first")
