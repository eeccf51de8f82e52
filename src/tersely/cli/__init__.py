"""The command line: it parses, calls the library, and prints; it decides nothing itself.

One file holds one verb, and imports the library inside its function: the version, the help and the
errors of usage need neither torch nor transformers.
"""

from typing import Annotated

import typer

from tersely.cli.accelerate import accelerate
from tersely.cli.bench import bench
from tersely.cli.evaluate import evaluate
from tersely.cli.explain import explain
from tersely.cli.export import export
from tersely.cli.info import info, methods
from tersely.cli.messages import TerselyGroup, write_what_can_be_encoded
from tersely.cli.predict import predict
from tersely.cli.recalibrate import recalibrate
from tersely.cli.score import score
from tersely.cli.serve import serve
from tersely.cli.settings import Verb
from tersely.cli.suggest import suggest
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


_VERSION = {"help": "Print the version.", "callback": _print_version, "is_eager": True}


@app.callback(
    epilog="Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted. "
    "Data goes to standard output, messages and progress to standard error."
)
def tersely(version: Annotated[bool, typer.Option("--version", **_VERSION)] = False) -> None:
    """Document classifiers that read only the tokens that matter."""


_VERBS = train, evaluate, predict, explain, suggest, score, bench, accelerate, recalibrate, export
for verb in (*_VERBS, serve, methods, info):
    app.command(cls=Verb, epilog="\n\n".join(["Examples:", *verb.examples]))(verb)


def main() -> None:
    """Run the command line; the entry point `tersely`."""
    write_what_can_be_encoded()
    app(prog_name="tersely")
