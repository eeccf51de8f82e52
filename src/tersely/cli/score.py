"""`tersely score`: labels for millions of rows of Parquet files, a part at a time."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from tersely.cli import options as o
from tersely.cli.messages import count, print_json, rate_bar, say
from tersely.score import Progress
from tersely.score import score as run_score

__all__ = ["score"]

_SECONDS_BETWEEN_LINES = 30

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUTS... OUT",
        help="Parquet files, folders of them or quoted patterns, and last the folder to write.",
        show_default=False,
    ),
]
IdColumns = Annotated[
    list[str] | None,
    o.option("--id-column", "A column to keep; repeatable.", o.DATA, metavar="COLUMN"),
]
Workers = Annotated[
    int | None,
    o.option(
        "--workers",
        "Processes, each with a copy of the model and a share of the cores.",
        o.OUTPUT,
        metavar="N",
        min=1,
        show_default="one a core, or one on a GPU",
    ),
]
ShardRows = Annotated[
    int,
    o.option(
        "--shard-rows",
        "Most rows of a part; a run that is killed repeats the parts it was at.",
        o.OUTPUT,
        metavar="N",
        min=1,
    ),
]

Ray = Annotated[
    str | None,
    o.option(
        "--ray",
        "Do it on a Ray cluster: its address, auto, or local.",
        o.OUTPUT,
        metavar="ADDRESS",
        show_default="processes of this machine",
    ),
]


def score(
    model: o.TrainedModel,
    inputs: Inputs,
    text_column: o.TextColumn = None,
    text_pair_column: o.TextPairColumn = None,
    id_columns: IdColumns = None,
    max_length: o.ModelMaxLength = None,
    long: o.ModelLongPolicy = None,
    keep: o.Keep = None,
    probabilities: o.Probabilities = False,
    workers: Workers = None,
    shard_rows: ShardRows = 10_000,
    ray: Ray = None,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    batch_tokens: o.BatchTokens = None,
    device: o.Device = "auto",
    config: o.Config = None,
    debug: o.Debug = False,
) -> None:
    """Label millions of rows of Parquet files, on all cores.

    A run that was interrupted goes on when the same command is given again;
    no row is lost or repeated. Rows without text are set aside in OUT/_bad.
    """
    if len(inputs) < 2:
        raise typer.BadParameter("name the inputs, and last the folder to write", param_hint="OUT")
    *sources, out = inputs
    with _reporting() as progress:
        summary = run_score(
            model,
            sources,
            out,
            text_column=text_column,
            text_pair_column=text_pair_column,
            id_columns=id_columns or [],
            probabilities=probabilities,
            keep=keep,
            max_length=max_length,
            long=None if long is None else str(long),
            batch_tokens=batch_tokens,
            device=device,
            workers=workers,
            shard_rows=shard_rows,
            overwrite=overwrite,
            ray=ray,
            progress=progress,
        )
    before = f", {count(summary.resumed, 'row')} of them by earlier runs" if summary.resumed else ""
    say(
        f"{Path(out)} holds {count(summary.rows - summary.bad, 'labelled row')} in "
        f"{count(summary.shards, 'part')}{before}"
    )
    if json:
        print_json(vars(summary))


@contextlib.contextmanager
def _reporting() -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal; elsewhere a line every half minute."""
    if sys.stderr.isatty():
        with rate_bar("scoring") as update:
            yield lambda now: update(now.rows, now.total, _spell(now))
        return
    last = time.monotonic()

    def tell(now: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            say(f"{now.rows:,} of {count(now.total, 'row')}, {_spell(now)}")

    yield tell


def _spell(now: Progress) -> str:
    if now.rate is None or now.seconds_left is None:
        return ""
    minutes, seconds = divmod(round(now.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    left = f"{hours}:{minutes:02}:{seconds:02}"
    return f"{now.rate:,.1f} rows/s, {left} left"
