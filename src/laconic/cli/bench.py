"""`laconic bench`: models on the same documents, in one process, taking turns."""

from __future__ import annotations

import contextlib
import json as json_library
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from laconic.classifier import Classifier
from laconic.cli import options as o
from laconic.cli.messages import print_json, print_table, say, stage_bar
from laconic.cli.reading import describe, read
from laconic.data import Documents
from laconic.errors import DataError, ModelError

if TYPE_CHECKING:
    from laconic.bench import StockContender

__all__ = ["BenchCommand", "bench"]

_MODELS = "--models"


class BenchCommand(TyperCommand):
    """Lets `--models` take all values up to the next option, as argparse's `nargs="+"` does."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Repeat `--models` before each of its values, which is what click understands."""
        return super().parse_args(ctx, list(_repeated(args)))


def _repeated(args: Sequence[str]) -> Iterator[str]:
    place = 0
    while place < len(args):
        yield args[place]
        place += 1
        if args[place - 1] != _MODELS:
            continue
        first = True
        while place < len(args) and not args[place].startswith("-"):
            if not first:
                yield _MODELS
            yield args[place]
            first = False
            place += 1


def bench(
    ctx: typer.Context,
    data: o.LabelledData,
    *,
    text_column: o.TextColumn = None,
    label_column: o.LabelColumn = None,
    label_separator: o.LabelSeparator = None,
    split: o.Split = None,
    limit: o.Limit = None,
    models: Annotated[
        list[str],
        typer.Option(
            _MODELS,
            help="Trained models, one or more; DATA goes before them.",
            metavar="MODEL ...",
            rich_help_panel=o.MODEL,
        ),
    ],
    max_length: o.ModelMaxLength = None,
    long: o.ModelLongPolicy = None,
    rounds: o.Rounds = 5,
    latency_documents: o.LatencyDocuments = 64,
    baseline: o.Baseline = None,
    stock: o.Stock = False,
    no_memory: o.NoMemory = False,
    threads: o.Threads = None,
    seed: o.SampleSeed = 0,
    json: o.Json = False,
    batch_tokens: o.BatchTokens = 4096,
    device: o.Device = "auto",
    config: o.Config = None,
    debug: o.Debug = False,
) -> None:
    """Compare models on the same documents: quality, speed, latency, memory, multiply-adds."""
    from laconic import bench as room

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    names = _names(models)
    loading = {
        "device": device,
        "batch_tokens": batch_tokens,
        "max_length": max_length,
        "long": None if long is None else str(long),
    }
    sources = [{"source": model, **loading} for model in models]
    classifiers = [Classifier.from_pretrained(**source) for source in sources]
    _check_labels(names, classifiers)
    space = classifiers[0].label_space
    documents = _documents(ctx, data, space.problem_type, limit)
    labels = documents.labels
    contenders: list[Any] = [
        room.PackedContender(*pair, source=source)
        for *pair, source in zip(classifiers, names, sources, strict=True)
    ]
    with contextlib.ExitStack() as stack:
        if stock:
            contenders += _stock(names, classifiers, stack)
        progress = stack.enter_context(stage_bar())
        report = room.bench(
            contenders,
            documents.texts,
            None if labels is None else space.encode(labels, unseen="skip"),
            problem_type=space.problem_type,
            rounds=rounds,
            baseline=_baseline(baseline, models, names),
            latency_documents=latency_documents,
            memory=not no_memory,
            seed=seed,
            progress=progress,
        )
    if json:
        print_json(json_library.loads(report.to_json()))
    else:
        print_table(room.render(report))


def _names(models: Sequence[str]) -> list[str]:
    """Directory names; whole paths where those are not unique."""
    names = [Path(model).resolve().name for model in models]
    return names if len(set(names)) == len(names) else list(models)


def _baseline(baseline: str | None, models: Sequence[str], names: Sequence[str]) -> str | None:
    """The baseline's name, which may also be given as its path."""
    return dict(zip(models, names, strict=True)).get(baseline, baseline)


def _check_labels(names: Sequence[str], classifiers: Sequence[Classifier]) -> None:
    first = classifiers[0].label_space
    for name, classifier in zip(names, classifiers, strict=True):
        if classifier.label_space != first:
            raise ModelError(
                f"models must tell the same labels apart to be compared, and {name} differs from "
                f"{names[0]}; train both on the same data"
            )


def _documents(ctx: typer.Context, data: str, problem_type: str, limit: int | None) -> Documents:
    documents = read(ctx, data, labels="optional", problem_type=problem_type)
    if documents.pairs is not None:
        raise DataError(
            f"bench runs on single texts, and {documents.source} holds text pairs; name one of "
            "the columns with --text-column"
        )
    if limit is not None:
        documents = documents.select(range(min(limit, len(documents))))
    say(describe(documents))
    return documents


def _stock(
    names: Sequence[str], classifiers: Sequence[Classifier], stack: contextlib.ExitStack
) -> list[StockContender]:
    """The first dense model as plain transformers run it, in both of the usual orders."""
    from laconic.bench import StockContender
    from laconic.model.loading import dense_checkpoint

    for name, classifier in zip(names, classifiers, strict=True):
        # An export has no weights to make a stock model of.
        if classifier.model is None or not classifier.plan.is_dense:
            continue
        if classifier.model_config.head != "family":
            continue
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="laconic-"))
        dense_checkpoint(classifier.model).save_pretrained(folder)
        classifier.tokenizer.save_pretrained(folder)
        options = {"max_length": classifier.limit, "device": str(classifier.device)}
        return [
            StockContender(folder, name=f"stock {name}, {order}", order=order, **options)
            for order in ("arrival", "sorted")
        ]
    raise ModelError(
        "--stock needs a dense model with its family's head among --models, and there is none; "
        "train one with --method dense --head family"
    )
