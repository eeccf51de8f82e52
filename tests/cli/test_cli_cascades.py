"""What cascades and their limits cannot be made of: a sentence each, and nothing half-written."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from cascades import TEXTS, save_cascade
from commands import check_refusal, run_command
from tersely import Classifier
from tersely.modeling import from_encoder
from words import LABELS, tokenizer


@pytest.fixture(scope="module")
def bad(dense, cascade, tmp_path_factory):
    """Models and files that are wrong in one way each, by name."""
    folder = tmp_path_factory.mktemp("bad")
    dense = Path(shutil.copytree(dense, folder / "dense"))
    fast = Path(shutil.copytree(cascade, folder / "fast"))
    save_cascade(dense, folder / "lossy", "loss")
    for name, change in {
        "newer": {"version": 99},
        "broken": {"stages": [{"kind": "reference"}], "certificates": {"version": 1}},
    }.items():
        config = json.loads((fast / "config.json").read_text())
        config["cascade"] |= change
        shutil.copytree(fast, folder / name)
        (folder / name / "config.json").write_text(json.dumps(config))
    number = from_encoder(str(dense / "encoder"), id2label={0: "size"}, problem_type="regression")
    number.save_pretrained(folder / "number")
    tokenizer().save_pretrained(folder / "number")
    labels = [LABELS[0]] * len(TEXTS)
    files = {
        "few": (TEXTS[:8], labels),
        "alike": (["the same text"] * 60, labels),
        "texts": (TEXTS, None),
        "good": (TEXTS, labels),
    }
    for name, (texts, own) in files.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            rows = [texts] if own is None else [texts, own]
            header = ["text", "label"][: len(rows)]
            csv.writer(file).writerows([header, *zip(*rows, strict=False)])
    return folder


TO = "--out {}/out --device cpu"
CASES = [
    (f"accelerate {{}}/dense {{}}/few.csv {TO}", 1, "held-out texts are needed"),
    (f"accelerate {{}}/number {{}}/texts.csv {TO}", 1, "predicts numbers"),
    (f"recalibrate {{}}/fast {{}}/alike.csv {TO}", 1, "got 1, 1 of them for proof"),
    ("recalibrate {}/fast {}/few.csv", 1, "allow at least 31.24%"),
    (f"recalibrate {{}}/lossy {{}}/texts.csv {TO}", 1, "needs labels"),
    (f"recalibrate {{}}/fast {{}}/texts.csv --max-error 20% {TO}", 1, "label"),
    (f"recalibrate {{}}/fast {{}}/good.csv --max-error 0 {TO}", 1, "between 0 and 1, got 0"),
    (f"recalibrate {{}}/fast {{}}/good.csv --max-error 101% {TO}", 2, "from 0 to 1"),
    (
        f"recalibrate {{}}/fast {{}}/good.csv --max-error 9% --max-loss 9% {TO}",
        1,
        "--max-loss and --max-error",
    ),
    ("recalibrate {}/fast {}/good.csv --out {}/dense", 1, "--overwrite"),
    ("recalibrate no/model {}/good.csv", 2, "--out"),
    ("predict {}/newer {}/texts.csv", 1, "newer tersely"),
    ("predict {}/broken {}/texts.csv", 1, "incomplete"),
    ("predict {}/fast {}/texts.csv --max-disagreement 30%", 1, "nearest that are: 10% and 50%"),
    ("predict {}/fast {}/texts.csv --max-loss 10%", 1, "set --max-disagreement"),
    ("predict {}/lossy {}/texts.csv --max-disagreement 10%", 1, "set --max-loss"),
    ("predict {}/number {}/texts.csv --max-error 2%", 1, "predicts a number"),
    ("predict {}/fast {}/texts.csv --max-error 2", 2, "from 0 to 1"),
]


@pytest.mark.parametrize(("command", "code", "fragment"), CASES, ids=[case[0] for case in CASES])
@pytest.mark.filterwarnings("ignore")
def test_bad_input_gets_a_sentence_and_leaves_everything_as_it_was(bad, command, code, fragment):
    before = {path: path.stat().st_mtime_ns for path in bad.rglob("*")}
    check_refusal(run_command(*command.replace("{}", str(bad)).split()), code, fragment)
    assert {path: path.stat().st_mtime_ns for path in bad.rglob("*")} == before


def test_a_reference_that_disagrees_with_itself_proves_nothing(bad, monkeypatch):
    from tersely.modeling.modeling import MeanHead

    plain = MeanHead.forward
    # What a scale for a whole row does: an answer hangs on the company.
    swayed = lambda self, hidden, *rest: plain(self, hidden, *rest) * (-1) ** len(hidden)  # noqa: E731
    monkeypatch.setattr(MeanHead, "forward", swayed)
    fast = Classifier.from_pretrained(bad / "fast", device="cpu")
    with pytest.raises(ValueError, match="another label alone than"):
        fast.recalibrate(TEXTS)
    dense = Classifier.from_pretrained(bad / "dense", device="cpu")
    with pytest.raises(ValueError, match="another label alone than"):
        dense.recalibrate(TEXTS, [LABELS[0]] * len(TEXTS), max_error=0.5)
