"""`tersely score`: labels for millions of rows of Parquet files, a part at a time."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from tersely.cli import options as o
from tersely.cli.messages import count, print_json, progress, say
from tersely.cli.settings import Rare, verb

_INPUTS = "Parquet files, folders or quoted patterns; last, the output folder."


@verb
def score(
    model: o.TrainedModel,
    inputs: Annotated[list[str], o.argument("INPUTS... OUT", _INPUTS)],
    *,
    reading: o.Texts,
    id_column: Annotated[tuple[str, ...], {"metavar": "COLUMN"}] = (),
    probabilities: bool = False,
    audit: o.Share = 0.0,
    loading: o.Loading,
    budget: Annotated[o.Budget, ("keep",)],
    workers: o.MaybeCount = None,
    ray: Annotated[str | None, {"metavar": "ADDRESS"}] = None,
    shard_rows: Rare[int] = 10_000,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
) -> None:
    """Label millions of rows of Parquet files, on all cores.

    To continue an interrupted run, give the same command again; no row is lost
    or repeated. Rows without text are set aside in OUT/_bad.

    Options:
        id_column: A column to keep; repeatable.
        probabilities: Add a column per class.
        audit: The random share of rows whose early answers are checked by the cascade's reference,
            such as 1%. [none]
        workers: The number of processes, each with a copy of the model and a share of the threads.
            [one per core, or one on a GPU]
        ray: Run on a Ray cluster: its address, auto, or local. [processes on this machine]
        shard_rows: Maximum rows per part; a run that is killed repeats unfinished parts.

    Examples:
        tersely score model/ 'in/*.parquet' out/ --id-column id
        tersely score model/ in/ out/ --workers 4 --probabilities
    """
    if len(inputs) < 2:
        raise typer.BadParameter("name the inputs, and then the output folder", param_hint="OUT")
    from tersely.score import score as run

    *sources, out = inputs
    with progress("scoring") as bar:
        how = {"text_column": reading.text_column, "text_pair_column": reading.text_pair_column}
        how |= {"id_columns": id_column, "probabilities": probabilities, "keep": budget.keep}
        how |= {"audit": audit, "workers": workers, "shard_rows": shard_rows, "ray": ray}
        how |= {"overwrite": overwrite, "progress": functools.partial(bar.show, "scoring")}
        summary = run(model, sources, out, **how, **vars(loading))
    before = f", {count(summary.resumed, 'row')} of them by earlier runs" if summary.resumed else ""
    rows, parts = summary.rows - summary.bad, count(summary.shards, "part")
    say(f"{Path(out)} holds {count(rows, 'labelled row')} in {parts}{before}")
    if summary.review is not None:
        say(summary.review)
    if summary.audit is not None and not summary.audit.warns:  # else it was warned of
        say(summary.audit.sentence())
    if json:
        print_json(vars(summary) | {"audit": summary.audit and summary.audit.report()})
