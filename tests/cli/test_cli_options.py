"""Where options come from: the settings' dataclasses, `--set`, a file, and modules of one's own."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest
import typer
from cli_documents import rows, write_csv
from typer.testing import CliRunner

from tersely.cli import messages
from tersely.cli.settings import Rare, Verb, verb
from tersely.cli.train import method_options

LIGHT = [
    ["--version"],
    ["--help"],
    ["train", "--help"],
    ["bench", "--help"],
    ["nonsense"],
    ["train"],
    ["train", "data.csv", "--out", "x", "--epocs", "3"],
    ["train", "data.csv", "--out", "x", "--epochs", "many"],
    ["train", "data.csv", "--out", "x", "--set", "wormup=1"],
    ["train", "data.csv", "--out", "x", "--long", "tail"],
]
DRIVER = """
import json, sys
from tersely.cli import app
codes = []
for arguments in json.loads(sys.argv[1]):
    try:
        app(arguments, prog_name="tersely")
    except SystemExit as error:
        codes.append(error.code)
heavy = [name for name in ("torch", "transformers", "pyarrow", "sklearn") if name in sys.modules]
print(json.dumps([codes, heavy]))
"""


def test_help_and_usage_errors_import_no_library(environment):
    """Review: `--version` took seconds, because the command line imported torch for its choices."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(LIGHT)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    codes, heavy = json.loads(done.stdout.splitlines()[-1])
    assert codes == [0] * 4 + [2] * 6 and heavy == []


@dataclass(frozen=True)
class Loop:
    """How long.

    Attributes:
        epochs: How often. [thrice]
        rate: How fast,
            and no faster.
        loud: Whether to shout.
        names: Whom to tell; repeatable.
        extra: Anything else.
    """

    panel: ClassVar = "Loop"
    epochs: float = 3.0
    rate: Rare[Annotated[int | None, {"min": 1}]] = None
    loud: Rare[bool] = True
    names: tuple[str, ...] = ()
    extra: Rare[dict[str, object]] = None


@pytest.fixture(scope="module")
def spin():
    app = typer.Typer()
    told = []

    @verb
    def command(data: str, *, loop: Loop) -> None:
        """Spin."""
        told.append(loop)

    app.command(cls=Verb)(command)

    def run(*arguments):
        told.clear()
        result = CliRunner().invoke(app, ["data", *arguments])
        return result.exit_code, told[0] if told else result.output

    return run


def test_a_dataclass_becomes_options(spin):
    assert spin() == (0, Loop(extra={}))
    given = ["--epochs", "2", "--names", "a", "--names", "b", "--set", "rate=4"]
    given += ["--set", "loud=false", "--set=extra.x=1e-3", "--set", "extra.y=yes please"]
    expected = Loop(2.0, 4, False, ("a", "b"), {"x": "1e-3", "y": "yes please"})
    code, loop = spin(*given)
    assert code == 0 and loop.extra.pop("x") in ("1e-3", 0.001) and expected.extra.pop("x")
    assert loop == expected


def test_a_file_says_the_same_and_what_is_typed_wins(spin, tmp_path):
    file = tmp_path / "loop.yaml"
    file.write_text("epochs: 7\nrate: 4\nloud: no\nnames: [a, no]\nextra: {x: 010}\n")
    code, loop = spin("--config", str(file), "--epochs", "2")
    assert code == 0 and (loop.epochs, loop.rate, loop.loud) == (2.0, 4, False)
    # YAML would make false and 8 of these.
    assert loop.names == ("a", "no")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("rat=4", "did you mean 'rate'"),
        ("rate", "NAME=VALUE"),
        ("rate=many", "--rate"),
        ("rate=0", "greater than or equal to 1"),
        ("loud=maybe", "true or false"),
    ],
)
def test_set_and_file_refuse_the_same(spin, tmp_path, given, said):
    code, output = spin("--set", given)
    assert code == 2 and said in " ".join(output.replace("│", " ").split())
    if "=" in given:
        file = tmp_path / "loop.yaml"
        file.write_text(given.replace("=", ": "))
        assert spin("--config", str(file))[0] == 2


def test_options_of_a_method_have_the_types_of_their_defaults():
    assert method_options("focus-c", ("combine_at=7/12", "tokens=4")) == {
        "combine_at": 7 / 12,
        "tokens": 4,
    }
    assert method_options("topk", ("linear=true",)) == {"linear": True}
    for wrong in ("linear=perhaps", "keep=much", "keep=1/0"):
        with pytest.raises(typer.BadParameter):
            method_options("topk", (wrong,))


OWN = """
from tersely.reduction import ColumnMean, DropTokens, Plan, Ratio, Step, register_preset

@register_preset("mine-alone")
def mine(keep: float = 0.5) -> Plan:
    "Keep some."
    return Plan("mine-alone", [Step(DropTokens(), 1, ColumnMean(), Ratio(keep=keep, least=1))])
"""


def test_a_method_of_ones_own_is_known_with_import(encoder, reviews, environment, tmp_path):
    """Journeys: a scorer of one's own was unknown to the command line."""
    (tmp_path / "own_methods.py").write_text(OWN)
    (tmp_path / "in").mkdir()
    import pyarrow as pa
    import pyarrow.parquet as parquet

    parquet.write_table(
        pa.table({"text": [text for text, _ in rows(4)]}), tmp_path / "in/a.parquet"
    )
    taken = ["--import", str(tmp_path / "own_methods.py"), "--device", "cpu"]
    out = str(tmp_path / "model")
    train = ["train", str(reviews), "--out", out, "--model", str(encoder), "--method", "mine-alone"]
    score = ["score", out, str(tmp_path / "in"), str(tmp_path / "out"), "--workers", "1"]
    for words in ([*train, "--epochs", "1", "--batch-tokens", "256"], score):
        done = subprocess.run(
            [sys.executable, "-m", "tersely", *words, *taken, "--threads", "1"],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert "with mine-alone" in done.stderr or "holds 4 labelled rows" in done.stderr


def test_a_result_survives_a_terminal_that_cannot_encode_it(monkeypatch):
    """F11: under cp1252 a comparison ended with a traceback instead of its table."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    messages.write_what_can_be_encoded()
    table = messages.plain_table("time")
    table.add_row("×2 ≤ 3 模")
    messages.print_table(table)
    messages.say("≥ done")
    messages.print_json({"label": "模型"})
    stream.flush()
    told = raw.getvalue().decode("cp1252")
    assert "×2 ? 3 ?" in told and "? done" in told
    assert json.loads(told.splitlines()[-1]) == {"label": "模型"}


def test_the_librarys_arguments_are_spelled_as_options(run, reviews, tmp_path):
    """Review: errors of the library spoke of flags; now the command line spells its arguments."""
    data = write_csv(tmp_path / "columns.csv", [("a", "b")] * 3, header=("words", "answer"))
    result = run("train", data, "--out", tmp_path / "out")
    assert result.exit_code == 1 and "--text-column" in result.stderr


def test_a_name_that_is_almost_a_method_is_guessed(run, reviews, tmp_path):
    """Journeys: `top-k` got 23 names and no "did you mean"."""
    result = run("train", reviews, "--out", tmp_path / "out", "--method", "top-k")
    assert result.exit_code == 1 and "did you mean 'topk'" in result.stderr
