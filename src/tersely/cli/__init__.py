"""The command line: it parses, calls the library, and prints; it decides nothing itself.

One file holds one verb. Data goes to standard output, messages and progress to standard error.
"""

from __future__ import annotations

from typing import Annotated

import typer

from tersely._io import keep_freed_memory
from tersely.cli.accelerate import accelerate
from tersely.cli.bench import BenchCommand, bench
from tersely.cli.evaluate import evaluate
from tersely.cli.explain import explain
from tersely.cli.export import export
from tersely.cli.group import TerselyGroup
from tersely.cli.info import info
from tersely.cli.methods import methods
from tersely.cli.predict import predict
from tersely.cli.score import score
from tersely.cli.serve import serve
from tersely.cli.train import train

__all__ = ["app", "main"]

app = typer.Typer(
    name="tersely",
    cls=TerselyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from tersely import __version__

        typer.echo(f"tersely {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted. "
    "Data goes to standard output, messages and progress to standard error."
)
def tersely(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Document classifiers that read only the tokens that matter."""


def _example(*lines: str) -> str:
    """An epilog with one command a line; a single newline would be joined."""
    return "\n\n".join(["Examples:" if len(lines) > 1 else "Example:", *lines])


app.command(
    epilog=_example(
        "tersely train reviews.csv --out model/",
        "tersely train reviews.csv --out model/ --method focus-pf --method-option keep=0.8",
        "tersely train reviews.csv --out model/ --config train.yaml --resume",
    )
)(train)
app.command(epilog=_example("tersely evaluate model/ test.csv"))(evaluate)
app.command(
    epilog=_example(
        "tersely predict model/ new.csv --out labels.csv",
        "echo 'one document' | tersely predict model/",
    )
)(predict)
app.command(
    epilog=_example(
        "tersely explain model/ letter.txt",
        "tersely explain model/ test.csv --row 12 --against dense-model/ --html page.html",
        "tersely explain model/ test.csv --words",
    )
)(explain)
app.command(
    epilog=_example(
        "tersely score model/ 'in/*.parquet' out/ --id-column id",
        "tersely score model/ in/ out/ --workers 4 --probabilities",
    )
)(score)
app.command(
    cls=BenchCommand,
    epilog=_example(
        "tersely bench test.csv --models model/ dense-model/",
        "tersely bench test.csv --train train.csv --contenders dense focus-pfc pipeline sorted "
        "onnx tfidf --report report.html",
    ),
)(bench)
app.command(
    epilog=_example(
        "tersely accelerate my-classifier/ texts.csv --out faster/",
        "tersely accelerate my-classifier/ texts.csv --out faster/ --max-disagreement 1%",
    )
)(accelerate)
app.command(
    epilog=_example(
        "tersely export model/ --out onnx-model/ --check documents.csv",
        "tersely export model/ --out int8-model/ --int8 --check documents.csv",
    )
)(export)
app.command(epilog=_example("tersely serve model/ --port 3000"))(serve)
app.command(epilog=_example("tersely methods"))(methods)
app.command(epilog=_example("tersely info model/"))(info)


def main() -> None:
    """Run the command line; the entry point `tersely`."""
    keep_freed_memory()
    app(prog_name="tersely")
