"""Packed batches: filled to a token budget, shuffled, and laid end to end."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tersely.text.batching import TokenBudgetSampler, fill_batches, pack
from tersely.text.encoding import encode
from words import labelled, tokenizer

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=80)


def everything(batches):
    return sorted(number for batch in batches for number in batch)


@given(sizes=SIZES, budget=st.integers(1, 200))
def test_batches_hold_each_document_once_within_the_budget(sizes, budget):
    batches = fill_batches(sizes, budget)
    assert everything(batches) == list(range(len(sizes)))
    for batch in batches:
        assert len(batch) == 1 or sum(sizes[number] for number in batch) <= budget
        lengths = [sizes[number] for number in batch]
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


def test_shuffles_differ_by_epoch_and_seed_and_repeat():
    sizes = list(range(1, 200))
    sampler = TokenBudgetSampler(sizes, 300, seed=0, epochs=2)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(TokenBudgetSampler(sizes, 300, seed=1, epochs=2)) != first


def test_batches_are_of_similar_lengths():
    sizes = np.random.default_rng(0).integers(1, 500, 2000)
    batches = list(TokenBudgetSampler(sizes, 4096, seed=0))
    within = np.mean([np.std(sizes[batch]) for batch in batches])
    assert within < 0.35 * np.std(sizes)


def test_pack_lays_documents_end_to_end():
    texts, _ = labelled(5)
    encoded = encode(tokenizer(), texts, max_length=64)
    inputs = pack(encoded, [3, 0])
    ids = [*encoded.windows[3], *encoded.windows[0]]
    assert inputs["input_ids"].tolist() == [ids]
    lengths = [len(encoded.windows[3]), len(encoded.windows[0])]
    assert inputs["cu_seq_lens_q"].tolist() == [0, lengths[0], sum(lengths)]
    assert set(inputs) == {"input_ids", "cu_seq_lens_q"}


def test_pack_keeps_the_windows_of_a_document_together():
    texts, _ = labelled(3, words=40)
    encoded = encode(tokenizer(), texts, max_length=8, policy="windows", overlap=2)
    inputs = pack(encoded, [2, 1])
    assert inputs["document_windows"].tolist() == encoded.counts[[2, 1]].tolist()
    first = encoded.starts[2]
    assert inputs["input_ids"][0, :8].tolist() == encoded.windows[first].tolist()


def test_pack_carries_token_types():
    encoded = encode(tokenizer(), ["cat dog", "rain"], ["snow", "drum cat"], max_length=16)
    inputs = pack(encoded, [1, 0])
    assert inputs["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1]]
