"""A document explained: its words, what was read, and what the trace says became of each token."""

import contextlib

import numpy as np
import pytest
import torch
from explain_models import TEXT, make
from hypothesis import given
from hypothesis import strategies as st

from tersely.errors import TerselyWarning
from tersely.explain import explain_document
from tersely.explain.lineage import spell

HALF = {"keep": 0.5}
METHODS = [
    ("dense", {}),
    ("focus-pf", HALF),
    ("focus-p", HALF | {"drop": "tokens"}),
    ("focus-pfc", HALF | {"combine_at": 2, "tokens": 3}),
    ("tome", {"ratio": 0.3}),
    *((name, HALF | {"at": 1}) for name in ("topk", "fca", "pool")),
    *((name, HALF) for name in ("truncate", "fewer-layers")),
]


def everything(explanation):
    """All tokens of the document, in order."""
    found = {p: t for w in explanation.words for p, t in zip(w.places, w.tokens, strict=True)}
    rest = iter(explanation.special)
    return [found[p] if p in found else next(rest) for p in range(explanation.tokens)]


@pytest.fixture(scope="module")
def dense(pieces):
    return make(pieces)


@pytest.mark.parametrize(("method", "options"), METHODS, ids=[name for name, _ in METHODS])
def test_tokens_add_up_to_what_the_blocks_worked_on(pieces, method, options):
    classifier = make(pieces, method, **options)
    told = explain_document(classifier, TEXT)
    tokens = everything(told)
    assert told.tokens == len(classifier.tokenizer(TEXT)["input_ids"])
    stop = told.combined_at
    combining = 0 if stop is None else options["tokens"]
    for place, block in enumerate(told.blocks[: told.reading]):
        assert sum(t.present[place] for t in tokens) == block.entered - combining
        if block.kind == "combine" or method in ("focus-pf", "focus-pfc"):
            continue
        assert sum(t.keys[place] for t in tokens) == pytest.approx(block.keys)
    for token in tokens:
        assert all(a >= b for a, b in zip(token.keys, token.keys[1:], strict=False))
        assert token.reached == pytest.approx(sum(token.keys), abs=1e-4)
    assert (stop is not None) == all(token.group is not None for token in tokens)
    assert told.removes == (method not in ("dense", "fewer-layers"))
    assert told.decided == classifier.predict([TEXT])[0]
    shares = classifier.predict_proba([TEXT])[0]
    assert np.allclose(list(told.labels.values()), shares, atol=1e-5)
    assert list(told.labels) == list(classifier.classes_)


def test_pieces_are_joined_and_the_text_keeps_its_spelling(dense):
    told = explain_document(dense, TEXT)
    words = [word.text for word in told.words]
    assert words == "The cat sat , playing ( un played ) goodly film .".split()
    assert [token.piece for token in told.words[4].tokens] == ["play", "##ing"]
    assert [token.piece for token in told.special] == ["[CLS]", "[SEP]"]


def test_scores_are_those_that_the_trace_has(pieces):
    classifier = make(pieces, "topk", keep=0.5, at=1)
    told = explain_document(classifier, TEXT)
    ids = classifier.tokenizer(TEXT, return_tensors="pt")["input_ids"]
    layer = classifier.model(ids, output_trace=True).trace.blocks[1]
    scores = [token.scores for token in everything(told)]
    assert [s[1] for s in scores] == pytest.approx(layer.importance.values[:, 0].tolist(), abs=1e-5)
    assert all(s[0] is None and s[2] is None for s in scores)
    # Whoever stays has a score at least as high as whoever went, [CLS] apart.
    pairs = [(t.scores[1], t.present[2]) for t in everything(told)[1:]]
    assert min(s for s, stays in pairs if stays) >= max(s for s, stays in pairs if not stays)


@pytest.mark.parametrize("method", ["tome", "fca", "pool"])
def test_merged_tokens_name_one_that_goes_on(pieces, method):
    told = explain_document(make(pieces, method), TEXT)
    tokens = everything(told)
    merged = [token for token in tokens if token.merged_at is not None]
    assert merged
    for token in merged:
        leader = tokens[token.merged_into]
        assert token.present[token.merged_at - 1] and leader.present[token.merged_at - 1]
        if token.merged_at < len(told.blocks):
            assert not token.present[token.merged_at] and leader.present[token.merged_at]


@pytest.fixture(scope="module", params=["truncate", "head-tail", "windows"])
def short(pieces, request):
    classifier = make(pieces, max_length=10, long=request.param)
    classifier.model.config.window_overlap = 2
    return classifier


@given(text=st.text(alphabet="abc ,.X\né😀", max_size=60))
def test_words_hold_the_text_and_windows_hold_what_is_read(short, text):
    spelling = spell(short, text)
    place = 0
    for _, start, stop, _ in spelling.words:
        assert place <= start <= stop <= len(text)
        assert text[place:start].strip() == ""
        place = stop
    assert text[place:].strip() == ""
    held = sorted([*spelling.special, *(t for *_, tokens in spelling.words for t in tokens)])
    assert held == list(range(len(spelling.pieces)))
    ids = np.array(short.tokenizer(text)["input_ids"])
    encoded = short.encode([text], tell=False)
    assert len(encoded.windows) == len(spelling.windows)
    for mine, theirs in zip(spelling.windows, encoded.windows, strict=True):
        assert np.array_equal(ids[mine], theirs)
    assert int((~spelling.read).sum()) == encoded.report.unread


def test_a_token_of_two_windows_is_shown_where_it_got_furthest(pieces):
    classifier = make(pieces, "topk", keep=0.4, at=0, max_length=10, long="windows")
    classifier.model.config.window_overlap = 4
    with pytest.warns(TerselyWarning):
        told = explain_document(classifier, TEXT)
        encoded = classifier.encode([TEXT])
    assert told.windows == len(encoded.windows) > 1 and told.unread == 0
    assert f"read in {told.windows} windows" in told.about_length()
    best = np.zeros(told.tokens)
    for window, places in zip(encoded.windows, spell(classifier, TEXT).windows, strict=True):
        row = torch.from_numpy(window.astype(np.int64))[None]
        alive = classifier.model(row, output_trace=True).trace.blocks[0].alive.values.numpy()
        blocks = np.ones(len(window))
        blocks[alive] = 4
        best[places] = np.maximum(best[places], blocks)
    assert [token.reached for token in everything(told)] == best.tolist()


def test_a_pair_is_cut_as_the_model_reads_it(pieces):
    classifier = make(pieces, max_length=14)
    pair = "the cat sat. a film"
    with pytest.warns(TerselyWarning):
        told = explain_document(classifier, TEXT, pair)
        encoded = classifier.encode([TEXT], [pair])
    ids = np.array(classifier.tokenizer(TEXT, pair)["input_ids"])
    read = [place for place, token in enumerate(everything(told)) if token.read]
    assert np.array_equal(ids[read], encoded.windows[0])
    assert {word.part for word in told.words} == {0, 1}
    assert all(w.text == told.texts[w.part][w.start : w.stop] for w in told.words)


@pytest.mark.parametrize("text", ["", "   \n", "❄"])
def test_documents_of_next_to_nothing(dense, text):
    unknown = pytest.warns(TerselyWarning, match="no character that the tokenizer knows")
    with unknown if text == "❄" else contextlib.nullcontext():
        told = explain_document(dense, text)
    assert "".join(word.text for word in told.words) == text.strip()


@pytest.mark.parametrize("problem", ["multi_label_classification", "regression"])
def test_other_kinds_of_labels(pieces, problem):
    classifier = make(pieces, problem_type=problem, labels=1 if problem == "regression" else 3)
    assert explain_document(classifier, TEXT).decided == classifier.predict([TEXT])[0]
