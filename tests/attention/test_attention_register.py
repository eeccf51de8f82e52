"""The function that transformers calls, with a packing, without, in stock models; and key sets."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from attention_reference import close
from hypothesis import given
from hypothesis import strategies as st

from tersely.attention import NAME, KeySet, Packing, packed_attention
from tersely.ragged import Layout, Ragged
from tiny import FAMILIES, tiny_encoder, tiny_ids


def states(rows, tokens):
    return torch.randn(3, rows, 2, tokens, 4).unbind(0)


@pytest.mark.parametrize("masked", [True, False])
def test_without_a_packing_it_is_the_stock_attention_of_a_padded_batch_and_not_causal(masked):
    query, key, value = states(2, 5)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])[:, None, None, :]
    options = {"attn_mask": mask if masked else None, "scale": 0.7}
    expected = F.scaled_dot_product_attention(query, key, value, **options)
    module = SimpleNamespace(is_causal=True)
    context, returned = packed_attention(
        module, query, key, value, options["attn_mask"], scaling=0.7
    )
    close(context, expected.transpose(1, 2))
    assert returned is None


def test_the_boundaries_that_flash_attention_takes_are_understood():
    rows, layout = states(1, 32), Layout.from_lengths([7, 12, 1, 12])
    bounds = {"cu_seq_lens_q": layout.offsets.int(), "cu_seq_lens_k": layout.offsets.int()}
    context, _ = packed_attention(None, *rows, **bounds)
    close(context, packed_attention(None, *rows, packing=Packing(layout))[0])


DROPOUTS = [(0.5, None, True, True), (0.5, 0.0, True, False)]
DROPOUTS += [(0.0, 0.5, True, True), (0, 0.5, False, False)]


@pytest.mark.parametrize(("passed", "packed", "training", "drops"), DROPOUTS)
def test_the_dropout_of_a_packing_stands_in_for_the_encoders_in_training(
    passed, packed, training, drops
):
    # Documents of one token: their only weight is 1, or it is dropped.
    query, key, value = states(1, 40)
    packing = Packing(Layout.from_lengths([1] * 40), dropout=packed)
    module = SimpleNamespace(training=training)
    context, _ = packed_attention(module, query, key, value, dropout=passed, packing=packing)
    assert bool((context == 0).any()) is drops


# transformers' MPNet looks no attention function up: its backbone calls ours itself, and the
# families' tests hold that it is right.
@pytest.fixture(scope="module", params=[name for name in FAMILIES if name != "mpnet"])
def encoder(request):
    return tiny_encoder(request.param, attn_implementation="sdpa")


@torch.no_grad()
def test_a_stock_model_gives_the_same_on_a_padded_batch_and_on_one_without_padding(encoder):
    ids, mask = Ragged.from_list(tiny_ids([7, 12, 1, 12])).to_padded(encoder.config.pad_token_id)
    padded_batch = {"input_ids": ids, "attention_mask": mask.long()}
    # Longer than ModernBERT's window, which must not be forgotten with the mask.
    whole = {"input_ids": torch.stack(tiny_ids([20, 20]))}
    outcomes = []
    for name in ("sdpa", NAME):
        encoder.set_attn_implementation(name)
        states = [encoder(**batch).last_hidden_state for batch in (padded_batch, whole)]
        outcomes.append((states[0][mask], states[1]))
    for ours, stock in zip(*outcomes, strict=True):
        close(ours, stock)


# ---- key sets, against loops over documents and heads ------------------------------------------


@st.composite
def masks(draw):
    """Documents' lengths, and the marks of their living keys, `(tokens, heads)`."""
    lengths = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    width = draw(st.integers(1, 3))
    row = st.lists(st.booleans(), min_size=width, max_size=width)
    marks = draw(st.lists(row, min_size=sum(lengths), max_size=sum(lengths)))
    return lengths, torch.tensor(marks, dtype=torch.bool).view(-1, width)


@given(masks())
def test_a_set_for_each_head_takes_its_keys_and_puts_their_scores_back(case):
    lengths, mask = case
    keys = KeySet.from_mask(mask, Layout.from_lengths(lengths))
    counts = [part.sum(0).tolist() for part in mask.split(lengths)]
    assert keys.per_head
    assert keys.layout.sizes == [max(own) for own in counts]
    assert (keys.filled is None) == all(len(set(own)) == 1 for own in counts)
    filled = torch.ones_like(keys.index, dtype=torch.bool) if keys.filled is None else keys.filled
    parts = zip(keys.index.split(keys.layout.sizes), filled.split(keys.layout.sizes), strict=True)
    for document, (index, full) in enumerate(parts):
        own = range(sum(lengths[:document]), sum(lengths[: document + 1]))
        for head in range(mask.shape[1]):
            living = [token for token in own if mask[token, head]]
            assert index[full[:, head], head].tolist() == living
            # A place that is not filled repeats a token of the same document.
            assert set(index[:, head].tolist()) <= set(own)
    row = torch.randn(sum(lengths), mask.shape[1], 2)
    taken = keys.take(row)
    assert taken.shape == (keys.layout.tokens, mask.shape[1], 2)
    for head in range(mask.shape[1]):
        assert torch.equal(taken[:, head], row[keys.index[:, head], head])
    scores = torch.rand(mask.shape) + 1
    assert torch.equal(keys.scatter(scores.gather(0, keys.index), len(mask)), scores * mask)
    shared = KeySet.from_mask(mask[:, 0], Layout.from_lengths(lengths))
    expected = scores * mask[:, :1]
    assert torch.equal(shared.scatter(scores[shared.index], len(mask)), expected)


@given(masks())
def test_keys_hidden_in_their_places(case):
    lengths, mask = case
    layout = Layout.from_lengths(lengths)
    hidden, gathered = KeySet.hidden(mask, layout), KeySet.from_mask(mask, layout)
    row, scores = torch.randn(sum(lengths), mask.shape[1], 2), torch.rand(mask.shape)
    assert hidden.per_head and hidden.take(row) is row
    assert hidden.layout.sizes == lengths and torch.equal(hidden.filled, mask)
    assert torch.equal(hidden.scatter(scores, sum(lengths)), scores * mask)
    assert hidden.most.tolist() == gathered.most.tolist() == gathered.layout.sizes
