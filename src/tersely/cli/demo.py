"""`tersely demo`: train, measure and compare on this machine, with nothing to bring along."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.console import Console

from tersely.cli import options as o
from tersely.cli.messages import print_json
from tersely.cli.outputs import check_directory

__all__ = ["demo"]


def demo(
    out: Annotated[
        Path,
        o.option("--out", "Directory of the models.", o.OUTPUT, metavar="DIR"),
    ] = Path("tersely-demo"),
    seed: o.Seed = 0,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    debug: o.Debug = False,
) -> None:
    """Train, measure and compare on this machine, with data it already has."""
    check_directory(out, overwrite=overwrite)
    from tersely.demo.run import run_demo

    # With --json, standard output holds the record alone.
    record = run_demo(out, seed=seed, console=Console(stderr=json))
    if json:
        print_json(record)
