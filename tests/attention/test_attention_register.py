"""The function that transformers calls: without a packing, with one, and inside stock models."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from attention_reference import close

from tersely.attention import NAME, Packing, packed_attention
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


@pytest.mark.parametrize(
    ("passed", "packed", "training", "drops"),
    [
        (0.5, None, True, True),
        (0.5, 0.0, True, False),
        (0.0, 0.5, True, True),
        (0, 0.5, False, False),
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
