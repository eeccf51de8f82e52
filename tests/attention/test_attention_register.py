"""The function that transformers calls: without a packing, with one, and inside stock models."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from attention_reference import close

from tersely.attention import NAME, Packing, ScoreRequest, loop, packed_attention, padded, varlen
from tersely.attention.register import _choose
from tersely.ragged import ExportLayout, Layout, Ragged
from tiny import FAMILIES, tiny_encoder, tiny_ids

LENGTHS = [7, 12, 1, 12]
BACKENDS = {
    "auto": loop.attend,
    "loop": loop.attend,
    "padded": padded.attend,
    "dense": padded.attend_dense,
    "varlen": varlen.attend,
}


def states(rows, tokens):
    return torch.randn(3, rows, 2, tokens, 4).unbind(0)


# ---- one call ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", [None, 0.7])
def test_without_a_packing_it_is_the_stock_attention_of_a_padded_batch(scaling):
    query, key, value = states(2, 5)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])[:, None, None, :]
    context, returned = packed_attention(None, query, key, value, mask, scaling=scaling)
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    close(context, expected.transpose(1, 2))
    assert returned is None


def test_without_a_packing_or_a_mask_it_is_not_causal():
    query, key, value = states(2, 5)
    module = SimpleNamespace(is_causal=True)
    context, _ = packed_attention(module, query, key, value)
    close(context, F.scaled_dot_product_attention(query, key, value).transpose(1, 2))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_the_boundaries_that_flash_attention_takes_are_understood(dtype):
    query, key, value = states(1, 32)
    layout = Layout.from_lengths(LENGTHS)
    boundaries = layout.offsets.to(dtype)
    context, _ = packed_attention(
        None, query, key, value, cu_seq_lens_q=boundaries, cu_seq_lens_k=boundaries
    )
    close(context, packed_attention(None, query, key, value, packing=Packing(layout))[0])


@pytest.mark.parametrize(
    ("rows", "mask", "match"),
    [
        (1, torch.ones(1, 1, 5, 5, dtype=torch.bool), "got 1 rows and a mask"),
        (2, None, "got 2 rows and no mask"),
    ],
)
@pytest.mark.parametrize("boundaries", [True, False])
def test_a_packing_excludes_a_mask_and_a_second_row(rows, mask, match, boundaries):
    layout = Layout.from_lengths([2, 3])
    given = {"cu_seq_lens_q": layout.offsets} if boundaries else {"packing": Packing(layout)}
    with pytest.raises(ValueError, match=match):
        packed_attention(None, *states(rows, 5), mask, **given)


@pytest.mark.parametrize(
    ("passed", "packed", "training", "drops"),
    [
        (0.5, None, True, True),
        (0.0, None, True, False),
        (0.5, 0.0, True, False),
        (0.0, 0.5, True, True),
        (0.0, 0.5, False, False),
    ],
)
def test_the_dropout_of_a_packing_stands_in_for_the_encoders_in_training(
    passed, packed, training, drops
):
    # Documents of one token: their only weight is 1, or it is dropped.
    query, key, value = states(1, 40)
    packing = Packing(Layout.from_lengths([1] * 40), dropout=packed)
    module = SimpleNamespace(training=training)
    context, _ = packed_attention(module, query, key, value, dropout=passed, packing=packing)
    assert bool((context == 0).any()) is drops


# ---- which back end ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "dtype", "request_scores", "expected"),
    [
        ("cpu", torch.float32, False, "loop"),
        ("cpu", torch.bfloat16, True, "loop"),
        ("cuda", torch.bfloat16, False, "varlen"),
        ("cuda", torch.bfloat16, True, "padded"),
        ("cuda", torch.float32, False, "padded"),
        ("mps", torch.float16, False, "padded"),
    ],
)
def test_the_back_end_that_is_picked(device, dtype, request_scores, expected):
    query = SimpleNamespace(device=SimpleNamespace(type=device), dtype=dtype, shape=(5, 2, 32))
    scores = ScoreRequest() if request_scores else None
    packing = Packing(Layout.from_lengths([2, 3]), scores=scores)
    assert _choose(query, packing, 0.0, None) == BACKENDS[expected]
    # One that a graph can hold, where nothing can branch on lengths.
    assert _choose(query, Packing(ExportLayout(5), scores=scores), 0.0, None) == padded.attend_dense


# ---- inside stock models -----------------------------------------------------------------------


# transformers' MPNet looks no attention function up: its backbone calls ours itself, and the
# families' tests hold that it is right.
@pytest.fixture(scope="module", params=[name for name in FAMILIES if name != "mpnet"])
def encoder(request):
    return tiny_encoder(request.param, attn_implementation="sdpa")


def both(encoder, **inputs):
    """The last hidden states under stock attention, and under this one."""
    outcomes = []
    for name in ("sdpa", NAME):
        encoder.set_attn_implementation(name)
        outcomes.append(encoder(**inputs).last_hidden_state)
    return outcomes


@torch.no_grad()
def test_a_stock_model_gives_the_same_on_a_padded_batch(encoder):
    ids, mask = Ragged.from_list(tiny_ids(LENGTHS)).to_padded(encoder.config.pad_token_id)
    stock, ours = both(encoder, input_ids=ids, attention_mask=mask.long())
    close(ours[mask], stock[mask])


@torch.no_grad()
def test_a_stock_model_gives_the_same_on_a_batch_without_padding(encoder):
    # Longer than ModernBERT's window, which must not be forgotten with the mask.
    stock, ours = both(encoder, input_ids=torch.stack(tiny_ids([20, 20])))
    close(ours, stock)


@torch.no_grad()
def test_a_stock_model_takes_a_packed_row(encoder):
    documents = tiny_ids(LENGTHS)
    encoder.set_attn_implementation("sdpa")
    expected = torch.cat([encoder(ids[None]).last_hidden_state[0] for ids in documents])
    encoder.set_attn_implementation(NAME)
    layout = Layout.from_lengths(LENGTHS)
    # RoBERTa's positions begin after its padding id.
    first = {0: 0, 1: 2}[encoder.config.pad_token_id]
    row = {
        "input_ids": torch.cat(documents)[None],
        "position_ids": layout.positions[None] + first,
        "cu_seq_lens_q": layout.offsets.int(),
        "cu_seq_lens_k": layout.offsets.int(),
        "max_length_q": layout.longest,
        "max_length_k": layout.longest,
    }
    if encoder.config.model_type == "modernbert":
        # It makes a mask of its window over the whole row: refused, not mixed up.
        with pytest.raises(ValueError, match="got 1 rows and a mask"):
            encoder(**row)
        return
    close(encoder(**row).last_hidden_state[0], expected, 1e-5)
