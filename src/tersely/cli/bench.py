"""`tersely bench`: contenders on the same documents, in one process, taking turns."""

from __future__ import annotations

import json as json_library
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from tersely.cli import options as o
from tersely.cli.messages import command_line, count, print_json, print_table, say, stage_bar
from tersely.cli.reading import describe, is_given, read, read_single_texts
from tersely.cli.trained import loading_options
from tersely.errors import DataError
from tersely.text import Documents, LabelSpace
from tersely.training import TrainingSettings

if TYPE_CHECKING:
    from tersely.bench import BenchReport, ModelCache, PackedContender

__all__ = ["BenchCommand", "bench"]

_SETTINGS = TrainingSettings()
_SEVERAL = ("--models", "--contenders")
_OF_TRAINING = ("encoder", "epochs", "learning_rate")


class BenchCommand(TyperCommand):
    """Lets options take all values up to the next option, as argparse's `nargs="+"` does."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Repeat the option before each of its values, which is what click understands."""
        return super().parse_args(ctx, list(_repeated(args)))


def _repeated(args: Sequence[str]) -> Iterator[str]:
    place = 0
    while place < len(args):
        option = args[place]
        yield option
        place += 1
        if option not in _SEVERAL:
            continue
        first = True
        while place < len(args) and not args[place].startswith("-"):
            if not first:
                yield option
            yield args[place]
            first = False
            place += 1


def bench(
    ctx: typer.Context,
    data: o.LabelledData,
    *,
    train: o.BenchTraining = None,
    text_column: o.TextColumn = None,
    label_column: o.LabelColumn = None,
    label_separator: o.LabelSeparator = None,
    problem_type: o.Problem = None,
    split: o.Split = None,
    limit: o.Limit = None,
    models: Annotated[
        list[str] | None,
        o.option(
            "--models",
            "Trained models, one or more; DATA goes before them.",
            o.MODEL,
            metavar="MODEL ...",
        ),
    ] = None,
    contenders: Annotated[
        list[str] | None,
        o.option(
            "--contenders",
            "What else to compare: pipeline, sorted, onnx, onnx-int8, tfidf, static, a method, "
            "or module:Class; options behind a colon.",
            o.MODEL,
            metavar="NAME ...",
        ),
    ] = None,
    encoder: o.BenchEncoder = None,
    max_length: o.ModelMaxLength = None,
    long: o.ModelLongPolicy = None,
    keep: o.Keeps = None,
    budget: o.Budgets = None,
    epochs: o.Epochs = _SETTINGS.epochs,
    learning_rate: o.LearningRate = None,
    cache: o.Cache = None,
    rounds: o.Rounds = 5,
    timed: o.Timed = None,
    latency_documents: o.LatencyDocuments = 64,
    baseline: o.Baseline = None,
    stock: o.Stock = False,
    no_memory: o.NoMemory = False,
    threads: o.Threads = None,
    seed: o.SampleSeed = 0,
    report: o.ReportFile = None,
    plots: o.PlotsDirectory = None,
    json: o.Json = False,
    batch_tokens: o.BatchTokens = None,
    device: o.Device = "auto",
    config: o.Config = None,
    debug: o.Debug = False,
) -> None:
    """Compare contenders: quality, speed, latency, memory, MACs.

    With --train, contenders that have to be trained or fitted are, on the
    same documents, and kept for the next time.
    """
    from tersely import bench as room

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    wanted = [*(contenders or []), *(["pipeline", "sorted"] if stock else [])]
    if not wanted and not models:
        raise typer.BadParameter("name contenders with --models or --contenders, or both")
    _check_usage(ctx, wanted)
    for out in (report, plots):
        _check_place(out)
    # Loaded first: they say whether a cell holds one label, several, or a number.
    given, training = room.load_models(models or [], loading_options(ctx.params)), None
    if train is not None:
        problem = problem_type or (given[0].classifier.label_space.problem_type if given else None)
        training = read(ctx, train, labels="required", problem_type=problem)
        say(f"training documents: {describe(training)}")
    made_from = _cache(ctx, given, models or [], training)
    space = made_from.space
    made, skipped = room.make_contenders(wanted, made_from)
    documents = read_single_texts(ctx, data, labels="optional", problem_type=space.problem_type)
    entered = [*given, *made]
    entered += room.at_budgets(entered, documents.texts, keep or (), budget or ())
    paths = {str(path): each.name for path, each in zip(models or [], given, strict=True)}
    with stage_bar() as progress:
        result = room.bench(
            entered,
            documents.texts,
            _labels(documents, space),
            problem_type=space.problem_type,
            rounds=rounds,
            timed=timed,
            baseline=paths.get(baseline, baseline),
            latency_documents=latency_documents,
            memory=not no_memory,
            seed=seed,
            progress=progress,
        )
    result = replace(result, command=command_line(), skipped=skipped)
    _write(result, report, plots)
    if json:
        print_json(json_library.loads(result.to_json()))
    else:
        print_table(room.render(result))


def _cache(
    ctx: typer.Context,
    given: list[PackedContender],
    models: Sequence[str],
    training: Documents | None,
) -> ModelCache:
    """What contenders are made from: the models, the documents of --train, the encoder."""
    from tersely.bench import ModelCache, default_cache
    from tersely.defaults import default_model

    values = ctx.params
    if given:
        space = given[0].classifier.label_space
    elif training is not None:
        problem = values["problem_type"]
        space = LabelSpace.infer(training.labels, problem and str(problem))
    else:
        raise DataError(
            "nothing tells the labels; name a trained model with --models or documents with --train"
        )
    # An export holds no model of torch that others could be made of.
    dense = [
        model
        for model, each in zip(models, given, strict=True)
        if each.classifier.plan.is_dense and each.classifier.model is not None
    ]
    encoder = values["encoder"]
    if encoder is None and training is not None and not dense:
        encoder, note = default_model()
        if note is not None:
            say(note)
    return ModelCache(
        space=space,
        train=training,
        encoder=encoder,
        dense=str(dense[0]) if dense else None,
        settings=TrainingSettings(
            epochs=values["epochs"], learning_rate=values["learning_rate"], seed=values["seed"]
        ),
        options=loading_options(values),
        folder=values["cache"] or default_cache(),
        tell=say,
    )


def _check_usage(ctx: typer.Context, wanted: Sequence[str]) -> None:
    """Refuse options of a training that does not take place."""
    for name in _OF_TRAINING:
        if ctx.params["train"] is None and is_given(ctx, name):
            option = f"--{name.replace('_', '-')}"
            raise typer.BadParameter(f"{option} is about training; give --train with it")
    # What is made of a given model, such as its export, is kept as well.
    if not wanted and is_given(ctx, "cache"):
        raise typer.BadParameter("--cache is for --contenders, and none is named")


def _labels(documents: Documents, space: LabelSpace) -> Any:
    labels = documents.labels
    return None if labels is None else space.encode(labels, unseen="skip")


def _check_place(out: Path | None) -> None:
    """Say before long work that a report has no place to go."""
    if out is not None and not out.absolute().parent.is_dir():
        raise typer.BadParameter(f"{out.parent} is not a directory; make it first")


def _write(result: BenchReport, report: Path | None, plots: Path | None) -> None:
    if report is None and plots is None:
        return
    from tersely.bench import write_plots, write_report

    if report is not None:
        say(f"{write_report(result, report)} holds the report")
    if plots is not None:
        say(f"{plots} holds {count(len(write_plots(result, plots)), 'plot')}")
