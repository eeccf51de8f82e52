"""`tersely bench`: contenders on the same documents, in one process, taking turns."""

from __future__ import annotations

import json as json_library
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from tersely.cli import options as o
from tersely.cli.messages import command_line, count, print_json, print_table, progress, say
from tersely.cli.settings import MACHINE, Rare, is_given, spelled, verb
from tersely.errors import DataError
from tersely.training.settings import TrainingSettings

if TYPE_CHECKING:
    from tersely.bench import ModelCache, PackedContender
    from tersely.text import Documents


@dataclass(frozen=True)
class Contest:
    """Who takes part.

    Attributes:
        models: Trained models, one or more; DATA goes before them.
        contenders: What else to compare: pipeline, sorted, onnx, onnx-int8, tfidf, static, a
            method, or module:Class; options behind a colon.
        stock: Add pipeline and sorted: the dense model as transformers run it.
    """

    panel: ClassVar = "Model"
    models: Annotated[tuple[str, ...], {"metavar": "MODEL ..."}] = ()
    contenders: Annotated[tuple[str, ...], {"metavar": "NAME ..."}] = ()
    stock: bool = False

    @property
    def names(self) -> list[str]:
        """The contenders, those of `--stock` included."""
        return [*self.contenders, *(["pipeline", "sorted"] if self.stock else [])]


@dataclass(frozen=True)
class Budgets:
    """At which budgets the models also run.

    Attributes:
        keep: Also run models at this share of tokens to keep; repeatable.
        budget: Also run models at this target, MACs ÷ those without any removal; repeatable.
    """

    panel: ClassVar = "Method"
    keep: Annotated[tuple[float, ...], {"metavar": "X"}] = ()
    budget: Annotated[tuple[float, ...], {"metavar": "R"}] = ()


@dataclass(frozen=True)
class Training:
    """What contenders are trained on and from.

    Attributes:
        train: Documents to train contenders on, as DATA. [nothing is trained]
        encoder: The encoder that contenders are trained from: a Hub name or a directory. [as in
            train]
        cache: The directory where trained contenders are kept. [the user's cache]
    """

    train: o.Data = None
    encoder: o.Name = None
    cache: Rare[o.Directory] = None


@dataclass(frozen=True)
class Clock:
    """How the contenders are measured.

    Attributes:
        rounds: How many turns each contender takes.
        baseline: The contender that ratios refer to. [the first]
        timed: How many documents a round of the clock has; quality is judged on all. [all]
        latency_documents: How many documents are also run alone.
        memory: Measure memory as well.
    """

    panel: ClassVar = "Measurement"
    rounds: o.Count = 5
    baseline: o.Name = None
    timed: Rare[o.MaybeCount] = None
    latency_documents: Rare[Annotated[int, {"min": 0}]] = 64
    memory: Rare[bool] = True


@dataclass(frozen=True)
class Report:
    """What is written besides the table.

    Attributes:
        report: Write a report as one HTML file.
        plots: Write the report's plots as PNG files.
    """

    panel: ClassVar = MACHINE
    report: o.Page = None
    plots: o.Directory = None


@verb
def bench(
    ctx: typer.Context,
    data: o.LabelledData,
    *,
    reading: o.Labelled,
    sample: o.Sample,
    contest: Contest,
    loading: o.Loading,
    budgets: Budgets,
    training: Training,
    settings: Annotated[TrainingSettings, ("epochs", "learning_rate")],
    clock: Clock,
    report: Report,
    json: o.Json = False,
) -> None:
    """Compare contenders: quality, speed, latency, memory, MACs.

    With --train, contenders that have to be trained or fitted are, on the
    same documents, and kept for the next time.
    """
    _check_usage(ctx, contest, training, report)
    from tersely import bench as room

    # Loaded first: they say whether a cell holds one label, several, or a number.
    given, learnt = room.load_models(contest.models, loading.options()), None
    if training.train is not None:
        problem = given[0].classifier.label_space.problem_type if given else None
        learnt = reading.read(training.train, problem_type=problem)
        say(f"training documents: {o.describe(learnt)}")
    made_from = _cache(
        contest, given, learnt, reading, training, loading, replace(settings, seed=sample.seed)
    )
    made, skipped = room.make_contenders(contest.names, made_from)
    problem = made_from.space.problem_type
    documents = sample.single_texts(reading.read(data, "optional", problem), "bench")
    entered = [*given, *made]
    entered += room.at_budgets(entered, documents.texts, budgets.keep, budgets.budget)
    paths = {path: each.name for path, each in zip(contest.models, given, strict=True)}
    labels = documents.labels
    with progress() as bar:
        result = room.bench(
            entered,
            documents.texts,
            None if labels is None else made_from.space.encode(labels, unseen="skip"),
            problem_type=problem,
            rounds=clock.rounds,
            timed=clock.timed,
            baseline=paths.get(clock.baseline, clock.baseline),
            latency_documents=clock.latency_documents,
            memory=clock.memory,
            seed=sample.seed,
            progress=bar.update,
        )
    result = replace(result, command=command_line(), skipped=skipped)
    if report.report is not None:
        say(f"{room.write_report(result, report.report)} holds the report")
    if report.plots is not None:
        plots = room.write_plots(result, report.plots)
        say(f"{report.plots} holds {count(len(plots), 'plot')}")
    if json:
        print_json(json_library.loads(result.to_json()))
    else:
        print_table(room.render(result))


def _check_usage(ctx: typer.Context, contest: Contest, training: Training, report: Report) -> None:
    """Refuse what cannot be meant, before long work."""
    if not contest.names and not contest.models:
        raise typer.BadParameter("name contenders with --models or --contenders, or both")
    for name in ("encoder", "epochs", "learning_rate"):
        if training.train is None and is_given(ctx, name):
            raise typer.BadParameter(f"{spelled(name)} is about training; give --train with it")
    for out in (report.report, report.plots):
        if out is not None and not out.absolute().parent.is_dir():
            raise typer.BadParameter(f"{out.parent} is not a directory; make it first")


def _cache(
    contest: Contest,
    given: list[PackedContender],
    learnt: Documents | None,
    reading: o.Labelled,
    training: Training,
    loading: o.Loading,
    settings: TrainingSettings,
) -> ModelCache:
    """Return what contenders are made from: the models, the documents of --train, the encoder."""
    from tersely.bench import ModelCache, default_cache
    from tersely.defaults import default_model
    from tersely.text import LabelSpace

    if given:
        space = given[0].classifier.label_space
    elif learnt is not None:
        space = LabelSpace.infer(learnt.labels, reading.problem_type)
    else:
        raise DataError(
            "nothing tells the labels; name a trained model with --models or documents with --train"
        )
    # An export holds no model of torch that others could be made of.
    classifiers = zip(contest.models, (each.classifier for each in given), strict=True)
    dense = [name for name, each in classifiers if each.plan.is_dense and each.model is not None]
    encoder = training.encoder
    if encoder is None and learnt is not None and not dense:
        encoder, note = default_model()
        if note is not None:
            say(note)
    # Not the threads: what was trained with so many is as good for others.
    options = {name: value for name, value in loading.options().items() if name != "threads"}
    return ModelCache(
        space=space,
        train=learnt,
        encoder=encoder,
        dense=dense[0] if dense else None,
        settings=settings,
        options=options,
        folder=training.cache or default_cache(),
        tell=say,
    )
