"""Where options come from: the settings' dataclasses, and modules of one's own."""

import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from commands import rows
from tersely.cli import app, messages
from tersely.cli.options import Sample
from tersely.cli.settings import Rare, Verb, verb
from tersely.text import Documents

LIGHT = [
    ["--version"],
    ["--help"],
    ["train", "--help"],
    ["bench", "--help"],
    ["nonsense"],
    ["train"],
]
WRONG = ("--epocs 3", "--epochs many", "--wormup 1", "--long tail")
LIGHT += [["train", "data.csv", "--out", "x", *wrong.split()] for wrong in WRONG]
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
    names: Annotated[tuple[str, ...], {"metavar": "NAME ..."}] = ()
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
    given = "--epochs 2 --names a b --names c --rate 4 --no-loud"
    given += " --extra x=7 --extra y=true --extra z=010"
    assert spin(*given.split()) == (
        0,
        Loop(2.0, 4, False, ("a", "b", "c"), {"x": 7, "y": True, "z": "010"}),
    )
    for wrong in ("--rate=many", "--rate=0", "--extra=x", "--rat=4"):
        assert spin(wrong)[0] == 2
    told = spin("--help")[1]
    assert "--rate" not in told and "rate, loud, extra" in re.sub(r"[│\s]+", " ", told)


def test_set_stands_above_a_file_and_the_command_line_above_both(spin, tmp_path):
    file = tmp_path / "loop.yaml"
    file.write_text("epochs: 5\nrate: 7\nloud: no\nnames: [a, no]\nextra:\n  x: 010\n  y: 1\n")
    config = ["--config", str(file)]
    assert spin(*config) == (0, Loop(5.0, 7, False, ("a", "no"), {"x": "010", "y": 1}))
    given = ["--set", "rate=8", "--set=names=b", "--set", "extra.y=2", "--set", "extra.z=[3]"]
    expected = Loop(5.0, 8, False, ("b",), {"x": "010", "y": 2, "z": [3]})
    assert spin(*config, *given) == spin(*given, *config) == (0, expected)
    given += ["--rate", "9", "--names", "c", "--loud", "--extra", "z=4"]
    expected = Loop(5.0, 9, True, ("c",), {"x": "010", "y": 2, "z": 4})
    assert spin(*given, *config) == (0, expected)
    file.write_text("epochs:\n")
    assert spin(*config) == (0, Loop(extra={}))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("rate: 0", "--rate.*1"),
        ("epochs: many", "--epochs.*many.*not a number"),
        ("loud: perhaps", "--loud"),
        ("rat: 4", "no option 'rat'; did you mean 'rate'"),
        ("rate.x: 4", "no option 'rate.x'"),
        ("data: other", "no option 'data'"),
        ("rate: [1, 2]", "one value"),
        ("- rate", "lines such as"),
        ("rate: [", "lines such as"),
    ],
)
def test_what_is_wrong_in_a_file_is_refused_as_on_the_command_line(spin, tmp_path, line, told):
    (tmp_path / "loop.yaml").write_text(line)
    code, said = spin("--config", str(tmp_path / "loop.yaml"))
    assert code == 2 and re.search(told, re.sub(r"[│\s]+", " ", said)), said


def test_a_share_may_be_a_percentage(spin):
    assert spin("--epochs", "0.5%")[1].epochs == spin("--set=epochs=0.005")[1].epochs == 0.005
    assert spin("--epochs", "1e%")[0] == spin("--epochs", "%")[0] == 2


def test_a_limit_draws_by_the_seed_and_keeps_the_order():
    texts, labels = [str(number) for number in range(200)], ["a"] * 100 + ["b"] * 100
    documents = Documents.from_lists(texts, labels)
    chosen = Sample(limit=40, seed=3).of(documents)
    numbers = [int(text) for text in chosen.texts]
    assert len(numbers) == 40 and numbers == sorted(set(numbers))
    assert {"a", "b"} == set(chosen.labels)
    assert Sample(limit=40, seed=3).of(documents).texts == chosen.texts
    assert Sample(limit=40, seed=4).of(documents).texts != chosen.texts
    assert Sample(limit=200).of(documents) is documents


OWN = """
from tersely.reduction import ColumnMean, DropTokens, Plan, Ratio, Step, register_preset

@register_preset("mine-alone")
def mine(keep: float = 0.5) -> Plan:
    "Keep some."
    return Plan("mine-alone", [Step(DropTokens(), 1, ColumnMean(), Ratio(keep=keep, least=1))])
"""


def test_a_method_of_ones_own_is_known_with_import(run, encoder, reviews, tmp_path, own_registry):
    """Journeys: a scorer of one's own was unknown to the command line."""
    (tmp_path / "own_methods.py").write_text(OWN)
    table = pa.table({"text": [text for text, _ in rows(4)]})
    parquet.write_table(table, tmp_path / "a.parquet")
    taken, out = ("--import", tmp_path / "own_methods.py", "--device", "cpu"), tmp_path / "model"
    train = ("train", reviews, "--out", out, "--model", encoder, "--method", "mine-alone")
    done = run(*train, "--epochs", 1, "--batch-tokens", 256, *taken)
    assert done.exit_code == 0, done.stderr
    # Workers are processes of their own, which know what they are told.
    done = run("score", out, tmp_path / "a.parquet", tmp_path / "out", "--workers", 1, *taken)
    assert done.exit_code == 0 and "holds 4 labelled rows" in done.stderr


def test_a_result_survives_a_terminal_that_cannot_encode_it(monkeypatch):
    """F11: under cp1252 a comparison ended with a traceback instead of its table."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    messages.write_what_can_be_encoded()
    messages.stdout.print("×2 ≤ 3 模")
    messages.say("≥ done")
    messages.print_json({"label": "模型"})
    stream.flush()
    told = raw.getvalue().decode("cp1252")
    assert "×2 ? 3 ?" in told and "? done" in told
    assert json.loads(told.splitlines()[-1]) == {"label": "模型"}


def test_a_log_gets_a_line_of_progress_now_and_then(capsys):
    """Training said nothing for minutes where standard error is no terminal."""
    now = [0.0]
    with messages.progress("training") as bar:
        bar._time = lambda: now[0]
        bar.start_t = bar.last_print_t = 0.0
        for done in range(1, 101):
            now[0] += 1.0
            bar.show("warm-up" if done <= 50 else "rounds", (done - 1) % 50 + 1, 50)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "tersely: warm-up: 31 of 50, 00:19 left"
    assert re.fullmatch(r"tersely: rounds: 31 of 50, 00:2\d left", lines[1]) and len(lines) == 2


def test_a_busy_machine_is_said_and_every_verb_that_computes_takes_threads(monkeypatch, capsys):
    monkeypatch.setattr("os.getloadavg", lambda: (99.5, 0, 0))
    messages.tell_load()
    assert "99.5 processes share the" in capsys.readouterr().err
    for name, command in get_command(app).commands.items():
        takes = any("--threads" in each.opts for each in command.params)
        assert takes == (name not in ("info", "methods")), name


def test_a_record_tells_no_folders_of_this_machine(monkeypatch):
    words = ["tersely", "bench", "/data/my texts.csv", "owner/name", "/tmp", "--out=/a/b"]
    monkeypatch.setattr(sys, "argv", words)
    assert messages.command_line() == "tersely bench 'my texts.csv' owner/name tmp --out=b"
