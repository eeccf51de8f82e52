"""Hostile files, texts, options and bodies end with an answer or a sentence, never in a traceback.

A few of each kind by default; `-m slow` tries 500 of each, 2,000 in all.
"""

import gzip
import json
import warnings

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from typer.main import get_command

from commands import run_command
from serving import save_trained, serving
from tersely import Classifier
from tersely.cli import app
from tersely.errors import TerselyError
from tersely.text import Documents, LabelSpace, read_documents, write_table

TYPES = ("single_label_classification", "multi_label_classification", "regression")
SIGNS = 'textlabel,;\t"\\\r\n{}[]:|0.5-nNa \u200b\ufeff\u2028\x00\ud800é🙂'
GOOD = (
    b'text,label\r\n"cat, dog",x\r\npiano,y\r\n',
    b"text\tlabel\ncat\tx\nrain\ty\n",
    b'{"text": "cat", "label": ["x"]}\n{"text": "rain", "label": []}\n',
    b'{"text": "cat", "label": 0.5}\n{"text": "rain", "label": null}\n',
    b"sentence1;sentence2;target\r\ncat;dog;1\r\n",
    gzip.compress(b"text,label\ncat,x\n", mtime=0),
)
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt", ".csv.gz", ".zst", ".doc", "")
WORDS = st.one_of(
    st.text(SIGNS, max_size=12),
    st.sampled_from(["", "0", "-1", "1e999", "nan", "%", "a=b", "=", "x" * 300, "../..", "text"]),
)


@st.composite
def spoiled(draw):
    """A good file with some bytes put in, taken out or repeated."""
    content = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(0, 3))):
        first = draw(st.integers(0, len(content)))
        last = draw(st.integers(first, len(content)))
        middle = content[first:last] * draw(st.integers(0, 3))
        content = content[:first] + draw(st.binary(max_size=4)) + middle + content[last:]
    return content


CONTENTS = st.one_of(
    spoiled(),
    st.binary(max_size=60),
    st.text(SIGNS, max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
ODD = st.one_of(st.text(max_size=40), st.text(SIGNS).map(lambda text: text * 99), st.none())
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_trained(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def classifier(saved):
    return Classifier.from_pretrained(saved, device="cpu", batch_tokens=256)


def files(folder, classifier):
    names = ("text_column", "text_pair_column", "label_column")
    columns = st.dictionaries(st.sampled_from(names), WORDS, max_size=1)
    kinds = st.tuples(
        st.sampled_from(SUFFIXES),
        CONTENTS,
        columns,
        st.sampled_from(["required", "optional", "ignore"]),
        st.sampled_from([None, None, *TYPES]),
    )

    def try_it(given_):
        suffix, content, columns, labels, problem_type = given_
        path = folder / f"file{suffix}"
        path.write_bytes(content)
        found = read_documents(path, labels=labels, problem_type=problem_type, **columns)
        for name in ("out.csv", "out.jsonl", "out.parquet"):
            added = {"prediction": list(range(len(found)))}
            write_table(folder / name, found.table, added, overwrite=True)
        classifier.predict(found.texts, found.pairs)
        if found.labels is not None:
            LabelSpace.infer(found.labels, problem_type).encode(found.labels)

    return kinds, try_it


def texts(folder, classifier):
    labels = st.one_of(st.none(), st.lists(JSON, max_size=4), st.lists(ODD, max_size=4))
    given_ = st.tuples(st.one_of(st.lists(ODD, max_size=4), JSON), labels)

    def try_it(pair):
        texts, labels = pair
        documents = Documents.from_lists(texts, labels)
        classifier.predict(documents.texts)
        classifier.suggest(documents.texts, 2)
        if labels is not None:
            classifier.evaluate(documents)

    return given_, try_it


def options(folder, classifier):
    (folder / "data.csv").write_text("text,label\ncat,animals\nrain,weather\n")
    (folder / "model").mkdir()
    verbs = {name: each.params for name, each in get_command(app).commands.items()}
    names = {name for each in verbs.values() for found in each for name in found.opts}
    names = sorted(names.difference(["--debug", "--import", "--ray", "--help", "-h"]))
    # No process can be given a NUL, and `main` makes the streams replace what they cannot encode.
    plain = WORDS.map(lambda text: text.replace("\x00", "").replace("\ud800", ""))
    words = st.lists(st.tuples(st.one_of(st.sampled_from(names), plain), plain), max_size=4)
    # A server would serve, and a model that is there would be trained.
    given_ = st.tuples(st.sampled_from(sorted({*verbs} - {"methods"})), words)

    def try_it(pair):
        verb, words = pair
        given_ = [each for two in words for each in two]
        places = [folder / "data.csv"] if verb in ("train", "bench") else [folder / "model"]
        places += [folder / "data.csv"] if verb not in ("train", "bench", "serve", "info") else []
        out = ["--out", folder / "out"] if verb in ("train", "export", "accelerate") else []
        model = ["--model", folder / "model"] if verb == "train" else []
        result = run_command(verb, *places, *out, *model, *given_)
        assert result.exit_code in (0, 1, 2) and "Traceback" not in result.output

    return given_, try_it


def bodies(folder, classifier):
    known = st.fixed_dictionaries({"inputs": JSON}, optional={"raw_scores": JSON, "truncate": JSON})
    body = st.one_of(known, JSON).map(lambda value: json.dumps(value).encode())
    kinds = st.sampled_from(["application/json", "text/plain", "", "application/json; charset=é"])
    given_ = st.tuples(st.one_of(body, CONTENTS), kinds, st.sampled_from(["/predict", "/", "/x"]))

    def try_it(three):
        content, kind, path = three
        headers = {"content-type": kind.encode("latin-1")}
        answer = folder.post(path, content=content, headers=headers)
        assert answer.status_code < 500 and answer.json() is not None
        assert answer.status_code == 200 or "error" in answer.json()

    return given_, try_it


def attack(examples, strategy, try_it):
    @settings(
        max_examples=examples,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(strategy)
    def one(value):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                try_it(value)
            except TerselyError as error:
                assert str(error).strip()

    one()


MANY = pytest.mark.parametrize("examples", [20, pytest.param(500, marks=pytest.mark.slow)])


@MANY
@pytest.mark.parametrize("kind", [files, texts, options])
def test_hostile_input_ends_in_a_sentence(kind, examples, classifier, tmp_path):
    threads = torch.get_num_threads()
    try:
        attack(examples, *kind(tmp_path, classifier))
    finally:
        torch.set_num_threads(threads)


@MANY
def test_hostile_bodies_get_an_answer(saved, examples, classifier):
    with serving(saved, payload_limit=20_000, max_client_batch_size=4) as (client, _, _):
        attack(examples, *bodies(client, classifier))
