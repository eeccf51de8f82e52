"""Bad input ends with one line and the promised exit code, and never with a traceback."""

from __future__ import annotations

import json
import sys

import pytest
from cli_documents import rows, write_csv


@pytest.fixture
def bad(tmp_path, model, reviews):
    """Files that are wrong in one way each, by name."""
    texts = rows(8)
    files = {
        "empty.csv": b"",
        "header.csv": b"text,label\n",
        "latin.csv": "text,label\ncaf\xe9,pos\n".encode("latin1"),
        "broken.jsonl": b'{"text": "good", "label": "pos"}\n{"text": \n',
        "notes.docx": b"anything",
        "list.yaml": b"- epochs\n",
        "typo.yaml": b"epoch: 3\n",
        "three.yaml": b"epochs: three\n",
        "new-plan.json": b'{"version": 99, "name": "x", "steps": []}',
        "file": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    write_csv(tmp_path / "one.csv", [(text, "pos") for text, _ in texts])
    write_csv(tmp_path / "nan.csv", [(text, "") for text, _ in texts])
    write_csv(tmp_path / "columns.csv", texts, header=("words", "answer"))
    mixed = [{"text": "good", "label": "pos"}, {"text": "bad", "label": 3}]
    (tmp_path / "mixed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in mixed))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    newer = tmp_path / "newer-model"
    newer.mkdir()
    for file in model.iterdir():
        (newer / file.name).write_bytes(file.read_bytes())
    config = json.loads((newer / "config.json").read_text())
    config["plan"]["version"] = 99
    (newer / "config.json").write_text(json.dumps(config))
    return {"": tmp_path, "model": model, "reviews": reviews}


TRAIN = "train {reviews} --out {}/out --device cpu --model {}/full"
CASES = [
    ("train {}/nothing.csv --out {}/out", 1, "there is no file or folder"),
    ("train {}/notes.docx --out {}/out", 1, "suffix"),
    ("train {}/empty.csv --out {}/out", 1, "empty"),
    ("train {}/header.csv --out {}/out", 1, "holds no document"),
    ("train {}/latin.csv --out {}/out", 1, "is not UTF-8"),
    ("train {}/broken.jsonl --out {}/out", 1, "line 2"),
    ("train {}/one.csv --out {}/out", 1, "at least two classes"),
    ("train {}/nan.csv --out {}/out", 1, "needs a label"),
    ("train {}/mixed.jsonl --out {}/out", 1, "values of one type"),
    ("train {}/columns.csv --out {}/out", 1, "--text-column"),
    ("train {}/columns.csv --out {}/out --text-column words", 1, "--label-column"),
    ("train {reviews} --out {}/out --text-column txet", 1, "did you mean 'text'"),
    ("train {reviews} --out {}/full", 1, "--overwrite"),
    ("train {reviews} --out {}/full --resume", 1, "no interrupted run"),
    ("train {reviews} --out {}/file", 1, "is a file"),
    ("train {reviews} --out {}/file/model", 1, "cannot be written"),
    ("train {reviews} --out {}/out --overwrite --resume", 2, "exclude each other"),
    (TRAIN, 1, "cannot be read"),
    ("train {reviews} --out {}/out --device cuda:9", 1, "device"),
    ("train {reviews} --out {}/out --device tpu", 1, "device"),
    ("train {reviews} --out {}/out --method focus", 1, "method must be one of"),
    ("train {reviews} --out {}/out --method-option kep=1", 1, "not an option of 'topk'"),
    ("train {reviews} --out {}/out --method-option keep=x", 2, "must be a number"),
    ("train {reviews} --out {}/out --method-option keep", 2, "NAME=VALUE"),
    ("train {reviews} --out {}/out --plan {}/new-plan.json", 1, "newer tersely"),
    ("train {reviews} --out {}/out --plan {}/a --method dense", 2, "in place of"),
    ("train {reviews} --out {}/out --epochs 0", 1, "epochs"),
    ("train {reviews} --out {}/out --epochs many", 2, "--epochs"),
    ("train {reviews} --out {}/out --epoch 3", 2, "--epochs"),
    ("train {reviews} --out {}/out --long tail", 2, "head-tail"),
    ("train {reviews} --out {}/out --config {}/typo.yaml", 2, "'epochs'"),
    ("train {reviews} --out {}/out --config {}/three.yaml", 2, "--epochs"),
    ("train {reviews} --out {}/out --config {}/list.yaml", 2, "epochs: 3"),
    ("train {reviews} --out {}/out --config {}/no.yaml", 2, "cannot be read"),
    ("train {reviews}", 2, "--out"),
    ("evaluate {}/full {reviews}", 1, "cannot be read"),
    ("evaluate {}/newer-model {reviews}", 1, "newer tersely"),
    ("evaluate {model} {}/columns.csv --text-column words", 1, "--label-column"),
    ("evaluate {model}", 2, "DATA"),
    ("predict {model} {reviews} --out {reviews}", 1, "--overwrite"),
    ("predict {model} {reviews} --out {}/out.docx", 1, "suffix"),
    ("predict {model} {reviews} --out {}/no/out.csv", 1, "does not exist"),
    ("bench {reviews} --models {model} {model}", 1, "different names"),
    ("bench {reviews} --models {model} --baseline x", 1, "baseline"),
    ("bench {reviews} --models {model} --stock", 1, "a dense model, and there is none"),
    ("bench --models {model} {reviews}", 2, "DATA"),
    ("serve {}/full --port 0", 1, "cannot be read"),
    ("serve {model} --port 99999", 1, "choose another"),
    ("serve {model} --port 0 --max-client-batch-size 600", 1, "--max-concurrent-requests"),
    ("export {model} --out {}/full", 1, "--overwrite"),
    ("export {model} --out {}/out --min-agreement 2", 2, "min-agreement"),
    ("shorten", 2, "shorten"),
]


@pytest.mark.parametrize(("command", "code", "fragment"), CASES, ids=[case[0] for case in CASES])
def test_bad_input_gets_one_clear_line(run, bad, command, code, fragment):
    filled = [
        part.replace("{}", str(bad[""])).format(**{k: v for k, v in bad.items() if k})
        for part in command.split()
    ]
    result = run(*filled)
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    # Boxes wrap their text, so the words are compared without the frame.
    assert fragment in " ".join(result.stderr.replace("│", " ").split())
    if code == 1:
        errors = [line for line in result.stderr.splitlines() if ": error: " in line]
        assert len(errors) == 1 and errors[0].startswith("tersely: error: ")
        assert result.stderr.splitlines()[-1] == errors[0]
    assert (bad[""] / "full" / "thesis.tex").read_text() == "years of work"


def test_debug_shows_where_an_error_came_from(run, bad):
    from tersely.errors import DataError

    with pytest.raises(DataError):
        run("train", bad[""] / "empty.csv", "--out", bad[""] / "out", "--debug")


def test_bugs_are_not_hidden(run, model, reviews, monkeypatch):
    from tersely import Classifier

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
