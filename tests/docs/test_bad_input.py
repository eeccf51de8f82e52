"""The table of bad input says what happens: each of its rows is tried."""

import gzip
import io
import re
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from tersely import Classifier, TrainingSettings
from tersely.errors import TerselyError, TerselyWarning
from tersely.text import Documents, LabelSpace, read_documents, split_numbers
from tersely.training.run import claimed
from words import PLAIN, documents, labelled

PAGE = Path(__file__).parents[2] / "docs" / "bad-input.md"
ROWS = re.findall(r"^\| (?!Input|---)(.*?) \| (.*?) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
QUICK = TrainingSettings(epochs=1, batch_tokens=256, **PLAIN)
NEEDED = {"labels": "required"}


def files(*contents, **options):
    """Return what reads files of these names and contents; each has to end as the row says."""

    def read(folder, _):
        for name, content in contents:
            path = folder / name
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            yield lambda path=path: read_documents(path, **options)

    return read


def once(call):
    return lambda folder, classifier: [lambda: call(folder, classifier)]


def fit(*data, **options):
    return lambda at, made: Classifier(made.source, method="dense").fit(
        *data, settings=QUICK, **options
    )


def from_standard_input(*_):
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(b"a\nb\n"))
    try:
        assert len(read_documents("-")) == 1
    finally:
        sys.stdin = before


def second_run(folder, made):
    with claimed(folder / "checkpoints"):
        Classifier(made.source).fit(documents(), settings=QUICK, out=folder)


def extra(_, made):
    settings = replace(QUICK, extra={"no_such": 1})
    Classifier(made.source).fit(documents(), settings=settings)


def rare(*_):
    split_numbers(Documents.from_lists(list("abcde"), ["x", "x", "x", "x", "y"]), 0.5)


def twin(*_):
    LabelSpace.infer(["garden", "Garden ", "house"])


def null(*_):
    LabelSpace.infer(["NaN", "garden", "house"])


TEXTS, LABELS = labelled(30)
ALIKE = Documents.from_lists(TEXTS[:3], LABELS[:3])
CASES = {
    "text in another encoding": files(("a.csv", b"text\ncaf\xe9\n"), ("a.txt", b"\xff\xfea\x00")),
    "a gzip, Parquet": files(
        ("a.csv", gzip.compress(b"text\na\n", mtime=0)), ("a.jsonl", b"%PDF-1.7\n%\xe2\xe3\n")
    ),
    "a broken line": files(("a.jsonl", '{"text": \n'), ("b.jsonl", "[1]\n")),
    "a quote that": files(
        ("a.csv", 'text,label\n"a,x\n'),
        ("b.csv", "text,label\na,b,c\n"),
        ("c.csv", "text,label\na\n"),
        ("d.csv", 'text,label\n"a \\"b\\" c",x\n'),
    ),
    "semicolons": files(("a.csv", "text;label\na;b\n"), ("b.tsv", "text,label\na,b\n")),
    "a first line": files(("a.csv", "sep=;\ntext;label\na;b\n")),
    "two columns": files(("a.csv", "text,text\na,b\n")),
    "no column with": files(("a.csv", "one,two\na,b\n")),
    "a file without": files(("a.csv", "text\n"), ("a.txt", "")),
    "several lines": once(from_standard_input),
    "empty texts": files(("a.csv", 'text\na\n" "\n'), ("b.csv", "text\na\n\u200b\u2060\n")),
    "no text in": files(("a.csv", 'text,id\n" ",1\n\u200b,2\n')),
    "null or": files(("a.jsonl", '{"text": "a"}\n{"text": null}\n'), ("b.jsonl", '{"text": 1}\n')),
    "half of": files(("a.jsonl", '{"text": "\\ud800"}\n')),
    "no label in some": files(("a.csv", "text,label\na,x\nb,\n"), **NEEDED),
    "no label in any": files(("a.csv", "text,label\na,\nb,\n")),
    "numbers with": files(("a.csv", "text,label\na,0.5\nb,1.5\n")),
    "labels that differ": once(twin),
    "labels such as": once(null),
    "a single class": once(fit(["a", "b"], ["x", "x"])),
    "a class with": once(rare),
    "lists of": once(fit(["a", "b"], ["x"])),
    "labels that the": once(
        lambda _, made: made.evaluate(Documents.from_lists(["a", "b"], ["animals", "new"]))
    ),
    "no label that": once(lambda _, made: made.evaluate(Documents.from_lists(["a"], ["new"]))),
    "documents longer": once(lambda _, made: made.predict(["cat " * 99])),
    "texts without": once(lambda _, made: made.predict(["cat", "\u4e00"])),
    "validation documents": once(fit(TEXTS, LABELS, validation=ALIKE)),
    "test documents": once(
        lambda _, made: made.evaluate(ALIKE, train=Documents.from_lists(TEXTS, LABELS))
    ),
    "a second training": once(second_run),
    "a learning rate": once(lambda *_: TrainingSettings(learning_rate=5)),
    "options of the Trainer": once(extra),
}


@pytest.fixture(scope="module")
def classifier(encoder):
    return Classifier(encoder, method="dense").fit(*labelled(30), settings=QUICK, validation=0)


def test_every_row_is_tried():
    tried = [[key for key in CASES if row.startswith(key)] for row, _ in ROWS]
    assert all(len(keys) == 1 for keys in tried) and len(ROWS) == len(CASES)


@pytest.mark.parametrize(("row", "said"), ROWS)
def test_what_the_row_says_happens(row, said, classifier, tmp_path):
    case = next(CASES[key] for key in CASES if row.startswith(key))
    outcome = said.split()[0].rstrip(",:")
    expected = "warned" if "warning" in said else outcome
    for call in case(tmp_path, classifier):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", TerselyWarning)
            found = "accepted"
            try:
                call()
            except TerselyError as error:
                assert "\n" not in str(error)
                found = "refused"
        ours = [each for each in caught if issubclass(each.category, TerselyWarning)]
        if found == "accepted" and ours:
            found = "warned"
        assert found == expected
