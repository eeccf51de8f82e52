"""Tokenising documents, the policies for those that are too long, and packed batches."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.errors import DataError
from tersely.text.batching import TokenBudgetSampler, fill_batches, pack
from tersely.text.encoding import (
    EncodedDocuments,
    LengthReport,
    cut_windows,
    encode,
    join_encoded,
    longest_window,
)
from tiny import tiny_tokenizer
from words import labelled, tokenizer

TOKENIZER = tokenizer()
SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=80)


def text(words: int) -> str:
    return " ".join(f"word{number % 40}" for number in range(words))


def ids(document: str) -> list[int]:
    return TOKENIZER(document)["input_ids"]


def test_short_documents_are_what_the_tokenizer_makes_of_them():
    texts = [text(3), "", text(1)]
    encoded = encode(TOKENIZER, texts, max_length=10)
    assert [window.tolist() for window in encoded.windows] == [ids(t) for t in texts]
    assert encoded.report.sentences() == [] and encoded.tokens == 5 + 2 + 3
    assert len(encode(TOKENIZER, [], max_length=8)) == 0


@pytest.mark.parametrize("pairs", [False, True])
def test_many_documents_are_tokenised_in_parts_and_told(pairs):
    texts, told = [text(number % 5) for number in range(2100)], []
    others = [text(number % 3) for number in range(2100)] if pairs else None
    encoded = encode(TOKENIZER, texts, others, max_length=9, progress=lambda *to: told.append(to))
    assert told == [("tokenising", done, 2100) for done in (1000, 2000, 2100)]
    for number in (0, 999, 1000, 2099):
        own = None if others is None else others[number : number + 1]
        alone = encode(TOKENIZER, texts[number : number + 1], own, max_length=9)
        assert (encoded.windows[number] == alone.windows[0]).all()
        assert not pairs or (encoded.types[number] == alone.types[0]).all()


def test_truncate_and_head_tail_keep_what_they_say():
    full = ids(text(20))
    expected = TOKENIZER(text(20), truncation=True, max_length=10)["input_ids"]
    for policy, kept in (
        ("truncate", expected),
        ("head-tail", [full[0], *full[1:3], *full[-7:-1], full[-1]]),
    ):
        encoded = encode(TOKENIZER, [text(20), text(2)], max_length=10, policy=policy)
        assert encoded.windows[0].tolist() == kept
        assert (encoded.report.affected, encoded.report.unread) == (1, 22 - 10)
        assert "1 of 2 documents" in encoded.report.sentences()[0]


@given(words=st.integers(0, 60), limit=st.integers(4, 20), overlap=st.integers(0, 25))
def test_windows_read_every_token(words, limit, overlap):
    encoded = encode(TOKENIZER, [text(words)], max_length=limit, policy="windows", overlap=overlap)
    full = ids(text(words))
    assert encoded.report.unread == 0
    assert encoded.counts.tolist() == [len(encoded.windows)]
    covered = set()
    for window in encoded.windows:
        assert len(window) <= limit
        assert (window[0], window[-1]) == (full[0], full[-1])
        inner = window[1:-1].tolist()
        places = [p for p in range(words) if full[1 + p : 1 + p + len(inner)] == inner]
        assert places or not inner
        covered.update(place + step for place in places for step in range(len(inner)))
    assert covered >= set(range(words))
    if len(full) > limit:
        assert {len(window) for window in encoded.windows} == {limit}


def test_pairs_are_shortened_as_the_tokenizer_does_it():
    options = {"truncation": "longest_first", "max_length": 12}
    expected = TOKENIZER(text(20), text(3), **options)
    encoded = encode(TOKENIZER, [text(20)], [text(3)], max_length=12)
    assert encoded.windows[0].tolist() == expected["input_ids"]
    assert encoded.types[0].tolist() == expected["token_type_ids"]


def test_what_cannot_be_done_is_said():
    with pytest.raises(DataError, match="got text pairs"):
        encode(TOKENIZER, [text(30)], [text(3)], max_length=12, policy="windows")
    with pytest.raises(DataError, match="must leave room"):
        encode(TOKENIZER, [text(30)], max_length=2)


@pytest.mark.parametrize(
    ("asked", "most", "limit"),
    [(None, 8192, 512), (None, 64, 64), (2048, 8192, 2048), (2048, 512, 512), (2048, None, 2048)],
)
def test_a_model_of_any_length_reads_what_is_asked(asked, most, limit):
    """Review, likely 3: a family without a longest document was capped at 512 tokens."""
    assert longest_window(asked, most) == limit


@pytest.mark.parametrize("policy", ["truncate", "windows"])
def test_documents_of_unknown_tokens_are_counted(policy):
    texts = ["strange words", "strange cat", "strange " * 20 + "cat", "", "\t", "\u200b"]
    encoded = encode(TOKENIZER, texts, max_length=8, policy=policy)
    assert encoded.report.unknown == 2
    assert join_encoded([encoded, encoded]).report.unknown == 4


def test_texts_that_become_no_token_are_counted():
    """F2: a tokenizer whose vocabulary is missing drops every text, and nothing counted them."""

    class Empty:
        all_special_ids = (0, 2)

        def __call__(self, texts, pairs=None, **options):
            if isinstance(texts, str):
                return {"input_ids": [0, 2]}
            return {"input_ids": [[0, 2] for _ in texts]}

    assert encode(Empty(), ["a text", "", "another"], max_length=8).report.unknown == 2
    assert encode(Empty(), ["", ""], ["a pair", ""], max_length=8).report.unknown == 1


# ---- batches -------------------------------------------------------------------------------------


def everything(batches):
    return sorted(number for batch in batches for number in batch)


@given(sizes=SIZES, budget=st.integers(1, 200))
def test_batches_hold_each_document_once_within_the_budget(sizes, budget):
    batches = fill_batches(sizes, budget)
    assert everything(batches) == list(range(len(sizes)))
    for batch in batches:
        lengths = [sizes[number] for number in batch]
        assert len(batch) == 1 or sum(lengths) <= budget
        assert lengths == sorted(lengths, reverse=True)


@given(sizes=SIZES, budget=st.integers(1, 200), epochs=st.integers(1, 4))
def test_every_epoch_has_each_document_once_in_as_many_batches(sizes, budget, epochs):
    sampler = TokenBudgetSampler(sizes, budget, seed=3, epochs=epochs)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        assert everything(batches) == list(range(len(sizes)))
        for batch in batches:
            assert len(batch) == 1 or sum(sizes[number] for number in batch) <= budget


def test_shuffles_differ_by_epoch_and_seed_and_batches_are_of_similar_lengths():
    sizes = np.random.default_rng(0).integers(1, 500, 2000)
    sampler = TokenBudgetSampler(sizes, 4096, seed=0, epochs=2)
    first = list(sampler)
    assert list(sampler) == first != list(TokenBudgetSampler(sizes, 4096, seed=1, epochs=2))
    assert np.mean([np.std(sizes[batch]) for batch in first]) < 0.35 * np.std(sizes)
    sampler.set_epoch(1)
    assert list(sampler) != first


def test_pack_lays_documents_end_to_end():
    encoded = encode(TOKENIZER, ["cat dog", "rain"], ["snow", "drum cat"], max_length=16)
    inputs = pack(encoded, [1, 0])
    assert inputs["input_ids"].tolist() == [[*encoded.windows[1], *encoded.windows[0]]]
    assert inputs["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1]]
    assert inputs["lengths"] == [6, 6] and inputs["cu_seq_lens_q"].tolist() == [0, 6, 12]
    assert "document_windows" not in inputs


def test_pack_keeps_the_windows_of_a_document_together():
    texts, _ = labelled(3, words=40)
    encoded = encode(TOKENIZER, texts, max_length=8, policy="windows", overlap=2)
    inputs = pack(encoded, [2, 1])
    assert inputs["document_windows"] == encoded.counts[[2, 1]].tolist()
    first = encoded.starts[2]
    assert inputs["input_ids"][0, :8].tolist() == encoded.windows[first].tolist()
    assert encoded.sizes.tolist() == [
        sum(map(len, part.windows)) for part in (encoded.select([number]) for number in range(3))
    ]


def test_the_time_of_a_batch_does_not_grow_with_the_documents():
    """Review 5: every batch added up the windows of all documents, 23 ms of a million."""
    window = np.arange(4, dtype=np.int32)

    def seconds(count):
        report = LengthReport(count, 0, 4 * count, 0, "truncate", 512)
        encoded = EncodedDocuments([window] * count, None, np.ones(count, np.int64), report)
        pack(encoded, [0])
        begun = time.perf_counter()
        for number in range(200):
            pack(encoded, [number, count - 1 - number])
        return time.perf_counter() - begun

    assert min(seconds(1_000_000) for _ in range(3)) < 5 * min(seconds(1_000) for _ in range(3))


# ---- the best tokens of a document of any length -----------------------------------------------


def slow_select(ids: list[int], scores: list[float], most: int) -> list[int]:
    """Drop the worst token, the last among equals, until the document fits."""
    kept = list(range(1, len(ids) - 1))
    while len(kept) + 2 > most:
        worst = min(scores[ids[place]] for place in kept)
        kept.remove(max(place for place in kept if scores[ids[place]] == worst))
    return [ids[0], *(ids[place] for place in kept), ids[-1]]


@given(
    st.lists(st.integers(3, 9), max_size=40),
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.5]), min_size=10, max_size=10),
    st.integers(3, 20),
)
def test_select_keeps_the_best_in_their_order(text, scores, most):
    ids = np.array([1, *text, 2])
    (window,) = cut_windows(ids, (1, 1), most, "select", 0, np.array(scores)[ids])
    assert window.tolist() == slow_select(ids.tolist(), scores, most)


def test_a_document_of_138_000_pieces_is_read_at_once_and_its_tokens_counted():
    words = [f"w{number}" for number in range(50)]
    tokenizer, telling = tiny_tokenizer(words), 4 + 7
    scores = np.linspace(0.0, 1.0, 4 + len(words))
    scores[telling] = 9.0
    text = " ".join(["w1"] * 69_000 + ["w7"] + ["w2"] * 68_999)
    started = time.perf_counter()
    how = {"policy": "select", "values": lambda number, ids: scores[ids]}
    encoded = encode(tokenizer, [text, "w1 w2"], max_length=64, **how)
    assert time.perf_counter() - started < 20
    assert encoded.sizes.tolist() == [64, 4]
    assert encoded.windows[0][:2].tolist() == [1, telling]
    (said,) = encoded.report.sentences()
    assert said.endswith("scores highest are read, 68 of 138,006 tokens")


@pytest.mark.parametrize("most", [3, 64])
def test_text_pairs_are_refused(most):
    with pytest.raises(Exception, match="the policy select for long documents works on single"):
        encode(tiny_tokenizer(["a"]), ["a"], ["a"], max_length=most, policy="select")
