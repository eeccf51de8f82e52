"""Bad input ends with one line and the promised exit code, and never with a traceback."""

import sys

import pytest

from commands import check_refusal, rows, write_csv
from tersely import Classifier
from tersely.errors import DataError


@pytest.fixture
def bad(tmp_path, model, reviews):
    """Files that are wrong in one way each, by name."""
    (tmp_path / "file").touch()
    write_csv(tmp_path / "columns.csv", rows(8), header=("words", "answer"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    return {"": tmp_path, "model": model, "reviews": reviews}


OUT = "train {reviews} --out {}/out"
CASES = [
    ("train {}/nothing.csv --out {}/out", 1, "there is no file or folder"),
    # The library's arguments are spelled as options.
    ("train {}/columns.csv --out {}/out", 1, "--text-column"),
    ("train {reviews} --out {}/full", 1, "--overwrite"),
    ("train {reviews} --out {}/full --resume", 1, "no interrupted run"),
    ("train {reviews} --out {}/file", 1, "is a file"),
    (f"{OUT} --overwrite --resume", 2, "exclude each other"),
    (f"{OUT} --method top-k", 1, "did you mean 'topk'"),
    (f"{OUT} --method-option keep", 2, "NAME=VALUE"),
    (f"{OUT} --plan {{}}/a --method topk", 2, "replaces --method"),
    (f"{OUT} --epochs -1", 1, "epochs is out of range"),
    (f"{OUT} --epoch 3", 2, "--epochs"),
    ("predict {model} {reviews} --out {reviews}", 1, "--overwrite"),
    ("predict {model} {reviews} --out {}/out.csv --json", 2, "name a .jsonl file"),
    ("bench {reviews} --models {model} --contenders sorted", 1, "a dense model, and there is none"),
    ("bench {reviews}", 2, "--models or --contenders"),
    ("bench {reviews} --contenders dense", 1, "the labels are unknown"),
    ("bench {reviews} --contenders dense --report no/page.html", 2, "not a directory"),
    ("accelerate {model} {reviews} --out {}/out --max-disagreement x", 2, "--max-disagreement"),
    ("accelerate {model} {reviews} --out {}/out --max-disagreement 5", 2, "from 0 to 1; 1 is 100%"),
    ("accelerate {model} x --out {}/out --max-disagreement 1% --max-loss 1%", 2, "needs no labels"),
    ("score {model} {reviews}", 2, "then the output folder"),
    ("serve {model} --port 99999", 2, "--port"),
    ("serve {model} --port 0 --max-client-batch-size 600", 1, "--max-concurrent-requests"),
    ("export {model} --out {}/full", 1, "--overwrite"),
    ("export {model} --out {}/out --min-agreement 2", 2, "min-agreement"),
    ("shorten", 2, "shorten"),
]


@pytest.mark.parametrize(("command", "code", "fragment"), CASES, ids=[case[0] for case in CASES])
def test_bad_input_gets_one_clear_line(run, bad, command, code, fragment):
    names = {name: value for name, value in bad.items() if name}
    words = [part.replace("{}", str(bad[""])).format(**names) for part in command.split()]
    check_refusal(run(*words), code, fragment)
    assert (bad[""] / "full" / "thesis.tex").read_text() == "years of work"


def test_debug_shows_where_an_error_came_from(run, bad):
    with pytest.raises(DataError):
        run("train", bad[""] / "nothing.csv", "--out", bad[""] / "out", "--debug")


def test_bugs_are_not_hidden(run, model, reviews, monkeypatch):
    def fail(*_, **__):
        raise KeyError("a bug")

    monkeypatch.setattr(Classifier, "evaluate", fail)
    with pytest.raises(KeyError, match="a bug"):
        run("evaluate", model, reviews)


@pytest.mark.parametrize(
    ("verb", "module", "extra"), [("serve", "fastapi", "serve"), ("export", "onnxruntime", "onnx")]
)
def test_a_missing_extra_gives_the_command(run, model, tmp_path, monkeypatch, verb, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    result = run(verb, model, *(["--out", tmp_path / "out"] if verb == "export" else []))
    assert result.exit_code == 1
    assert f"pip install '.[{extra}]'" in result.stderr
