"""The command line: it parses, calls the library, and prints; it decides nothing itself.

One file holds one verb, and imports the library inside its function: the version, the help and the
errors of usage need neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from tersely.cli.accelerate import accelerate
from tersely.cli.bench import bench
from tersely.cli.explain import explain
from tersely.cli.export import export
from tersely.cli.info import info, methods
from tersely.cli.messages import TerselyGroup, write_what_can_be_encoded
from tersely.cli.predict import evaluate, predict
from tersely.cli.score import score
from tersely.cli.serve import serve
from tersely.cli.settings import Verb
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


def _add(verb: Callable[..., Any], *examples: str) -> None:
    """Add a verb, with examples and the settings of `--set` at the end of its help."""
    lines = ["Examples:" if len(examples) > 1 else "Example:", *examples]
    rare = [each.describe().replace("[", r"\[") for each in verb.settings if not each.common]
    if rare:
        lines += ["", "Settings for --set and --config:", *rare]
    app.command(cls=Verb, epilog="\n\n".join(lines))(verb)


_add(
    train,
    "tersely train reviews.csv --out model/",
    "tersely train reviews.csv --out model/ --method focus-pf --method-option keep=0.8",
    "tersely train reviews.csv --out model/ --config train.yaml --resume",
)
_add(evaluate, "tersely evaluate model/ test.csv")
_add(
    predict,
    "tersely predict model/ new.csv --out labels.csv",
    "echo 'one document' | tersely predict model/",
)
_add(
    explain,
    "tersely explain model/ letter.txt",
    "tersely explain model/ test.csv --row 12 --against dense-model/ --html page.html",
    "tersely explain model/ test.csv --words",
)
_add(
    score,
    "tersely score model/ 'in/*.parquet' out/ --id-column id",
    "tersely score model/ in/ out/ --workers 4 --probabilities",
)
_add(
    bench,
    "tersely bench test.csv --models model/ dense-model/",
    "tersely bench test.csv --train train.csv --contenders dense focus-pfc pipeline sorted "
    "onnx tfidf --report report.html",
)
_add(
    accelerate,
    "tersely accelerate my-classifier/ texts.csv --out faster/",
    "tersely accelerate my-classifier/ texts.csv --out faster/ --max-disagreement 1%",
)
_add(
    export,
    "tersely export model/ --out onnx-model/ --check documents.csv",
    "tersely export model/ --out int8-model/ --int8 --check documents.csv",
)
_add(serve, "tersely serve model/ --port 3000")
_add(methods, "tersely methods")
_add(info, "tersely info model/")


def main() -> None:
    """Run the command line; the entry point `tersely`."""
    write_what_can_be_encoded()
    app(prog_name="tersely")
