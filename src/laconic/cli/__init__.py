"""The command line: it parses, calls the library, and prints; it decides nothing itself.

One file holds one verb. Data goes to standard output, messages and progress to standard error.
"""

from __future__ import annotations

from typing import Annotated

import typer

from laconic.allocator import keep_freed_memory
from laconic.cli.accelerate import accelerate
from laconic.cli.bench import BenchCommand, bench
from laconic.cli.demo import demo
from laconic.cli.evaluate import evaluate
from laconic.cli.explain import explain
from laconic.cli.export import export
from laconic.cli.group import LaconicGroup
from laconic.cli.info import info
from laconic.cli.methods import methods
from laconic.cli.predict import predict
from laconic.cli.score import score
from laconic.cli.serve import serve
from laconic.cli.train import train

__all__ = ["app", "main"]

app = typer.Typer(
    name="laconic",
    cls=LaconicGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from laconic import __version__

        typer.echo(f"laconic {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted. "
    "Data goes to standard output, messages and progress to standard error."
)
def laconic(
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
        "laconic train reviews.csv --out model/",
        "laconic train reviews.csv --out model/ --method focus-pf --method-option keep=0.8",
        "laconic train reviews.csv --out model/ --config train.yaml --resume",
    )
)(train)
app.command(epilog=_example("laconic evaluate model/ test.csv"))(evaluate)
app.command(
    epilog=_example(
        "laconic predict model/ new.csv --out labels.csv",
        "echo 'one document' | laconic predict model/",
    )
)(predict)
app.command(
    epilog=_example(
        "laconic explain model/ letter.txt",
        "laconic explain model/ test.csv --row 12 --against dense-model/ --html page.html",
        "laconic explain model/ test.csv --words",
    )
)(explain)
app.command(
    epilog=_example(
        "laconic score model/ 'in/*.parquet' out/ --id-column id",
        "laconic score model/ in/ out/ --workers 4 --probabilities",
    )
)(score)
app.command(
    cls=BenchCommand,
    epilog=_example(
        "laconic bench test.csv --models model/ dense-model/",
        "laconic bench test.csv --train train.csv --contenders dense focus-pfc pipeline sorted "
        "onnx tfidf --report report.html",
    ),
)(bench)
app.command(
    epilog=_example(
        "laconic accelerate my-classifier/ texts.csv --out faster/",
        "laconic accelerate my-classifier/ texts.csv --out faster/ --max-disagreement 1%",
    )
)(accelerate)
app.command(
    epilog=_example(
        "laconic export model/ --out onnx-model/ --check documents.csv",
        "laconic export model/ --out int8-model/ --int8 --check documents.csv",
    )
)(export)
app.command(epilog=_example("laconic serve model/ --port 3000"))(serve)
app.command(epilog=_example("laconic demo --out laconic-demo"))(demo)
app.command(epilog=_example("laconic methods"))(methods)
app.command(epilog=_example("laconic info model/"))(info)


def main() -> None:
    """Run the command line; the entry point `laconic`."""
    keep_freed_memory()
    app(prog_name="laconic")
