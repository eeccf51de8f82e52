"""Every family's blocks, walked on a packed row, against the stock model document by document."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForSequenceClassification

from tersely import TerselyConfig, TerselyForSequenceClassification, preset
from tersely.attention import NAME, Packing, ScoreRequest
from tersely.backbones import backbone_for
from tersely.ragged import Layout, Ragged
from tiny import FAMILIES, HIDDEN, tiny_config, tiny_encoder, tiny_ids

# Longer than ModernBERT's window, of equal lengths next to one another, and of a single token.
LENGTHS = [12, 12, 1, 7]
ROBERTA = ("roberta", "xlm-roberta", "camembert", "mpnet")


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def backbone(family):
    return backbone_for(tiny_encoder(family, attn_implementation=NAME))


def stock_encoder(family, implementation="sdpa", **overrides):
    implementation = "eager" if family == "mpnet" else implementation  # all that it knows
    return tiny_encoder(family, attn_implementation=implementation, **overrides)


def walk(backbone, ids, places):
    """Hidden states of the row: embedded, after each block but the last, and at the end."""
    layout = Layout.from_lengths([len(document) for document in ids])
    places = torch.cat(places)
    hidden = backbone.embed(torch.cat(ids), places, None)
    states = [hidden]
    extras = backbone.extras(hidden, places)
    for number in range(len(backbone.blocks)):
        packing = Packing(layout, positions=places)
        hidden, scores = backbone.attend(number, hidden, packing, extras)
        assert scores is None
        hidden = backbone.transform(number, hidden)
        states.append(hidden)
    return [*states[:-1], backbone.finish(hidden)]


def stock_states(encoder, **inputs):
    """The same of a stock model, `(documents, length, hidden)` each."""
    output = encoder(**inputs, output_hidden_states=True)
    return [*output.hidden_states[:-1], output.last_hidden_state]


def close(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


PLACES = [torch.arange(length) for length in LENGTHS]


@pytest.mark.parametrize("share", [1.0, 0.6])
@torch.no_grad()
def test_every_block_gives_what_the_stock_model_gives_and_tokens_that_are_gone_are_as_masked(
    family, backbone, share
):
    ids = tiny_ids(LENGTHS)
    marks = [(torch.rand(length) < share) | (torch.arange(length) == 0) for length in LENGTHS]
    # Those that are left keep their places.
    places = [mark.nonzero()[:, 0] for mark in marks]
    kept = [document[mark] for document, mark in zip(ids, marks, strict=True)]
    states = walk(backbone, kept, places)
    stock = stock_encoder(family)
    assert len(states) == stock.config.num_hidden_layers + 1
    for number, (document, mark) in enumerate(zip(ids, marks, strict=True)):
        masked = {"attention_mask": mark[None].long()} if share < 1 else {}
        whole = stock_states(stock, input_ids=document[None], **masked)
        for state, expected in zip(states, whole, strict=True):
            close(state.split([len(part) for part in kept])[number], expected[0, mark])


@torch.no_grad()
def test_scores_are_the_column_means_of_the_stock_attention(family, backbone):
    ids = tiny_ids(LENGTHS)
    stock = stock_encoder(family, "eager")
    maps = [stock(input_ids=d[None], output_attentions=True).attentions for d in ids]
    layout, places = Layout.from_lengths(LENGTHS), torch.cat(PLACES)
    hidden = backbone.embed(torch.cat(ids), places, None)
    extras = backbone.extras(hidden, places)
    for number in range(len(backbone.blocks)):
        packing = Packing(layout, scores=ScoreRequest(per_head=True))
        hidden, scores = backbone.attend(number, hidden, packing, extras)
        hidden = backbone.transform(number, hidden)
        expected = [attentions[number][0].mean(1).T for attentions in maps]
        assert scores.shape == (sum(LENGTHS), backbone.heads)
        close(scores, torch.cat(expected))


@torch.no_grad()
def test_a_token_that_stands_for_two_counts_as_two_in_a_mean():
    config = tiny_config("modernbert", num_labels=3, classifier_pooling="mean")
    stock = AutoModelForSequenceClassification.from_config(config).eval()
    backbone, rows = backbone_for(stock.base_model), torch.randn(3, config.hidden_size)
    twice = backbone.classify(stock, Ragged.from_list([rows[[0, 1, 1, 2]]]))
    once = backbone.classify(stock, Ragged.from_list([rows]), torch.tensor([1.0, 2.0, 1.0]))
    close(once, twice)


def macs(compute):
    """MACs of the linear layers that run, attention's own products left out."""
    with FlopCounterMode(display=False) as counter:
        compute()
    counts = counter.get_flop_counts().get("Global", {})
    return sum(counts.get(op, 0) for op in (torch.ops.aten.addmm, torch.ops.aten.mm)) // 2


@torch.no_grad()
def test_cost_of_a_block_is_what_its_linear_layers_compute(backbone):
    ids, places = torch.cat(tiny_ids(LENGTHS)), torch.cat(PLACES)
    hidden = []
    embedding = macs(lambda: hidden.append(backbone.embed(ids, places, None)))
    assert embedding == len(ids) * backbone.cost_of_embedding()
    hidden = hidden[0]
    extras = backbone.extras(hidden, places)
    packing = Packing(Layout.from_lengths(LENGTHS))
    for number in range(len(backbone.blocks)):
        attended = macs(lambda number=number: backbone.attend(number, hidden, packing, extras))
        transformed = macs(lambda number=number: backbone.transform(number, hidden))
        counted = tuple(len(ids) * cost for cost in backbone.cost_of_block(number))
        assert (attended, transformed) == counted and min(counted) > 0


BERT = ["attention.self.query", "attention.self.key", "attention.self.value"]
PROJECTIONS = {
    "mpnet": [f"attention.attn.{name}" for name in "qkvo"],
    "distilbert": [*(f"attention.{name}_lin" for name in "qkv"), "attention.out_lin"],
}


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "modernbert"])
def test_projections_are_the_layers_of_the_block(family):
    backbone = backbone_for(tiny_encoder(family))
    block = backbone.blocks[1]
    names = PROJECTIONS.get(family, [*BERT, "attention.output.dense"])
    layers = [block.get_submodule(name) for name in names]
    assert list(backbone.projections(block)) == layers


@pytest.mark.parametrize("biased", [True, False])
def test_projections_of_a_fused_layer_are_its_thirds_in_memory_of_their_own(biased):
    backbone = backbone_for(tiny_encoder("modernbert", attention_bias=biased))
    block = backbone.blocks[1]
    *parts, output = backbone.projections(block)
    fused = block.attn.Wqkv
    assert output is block.attn.Wo
    assert torch.equal(torch.cat([part.weight for part in parts]), fused.weight)
    if biased:
        assert torch.equal(torch.cat([part.bias for part in parts]), fused.bias)
    assert all((part.bias is None) != biased for part in parts)
    parts[0].weight.data.zero_()
    assert fused.weight[:HIDDEN].any()


def test_longest_document(family, backbone):
    longest = backbone.longest_document
    assert longest == (62 if family in ROBERTA else 64)
    ids, places = torch.full((longest + 1,), 5), torch.arange(longest + 1)
    assert backbone.embed(ids[:-1], places[:-1], None).shape == (longest, HIDDEN)
    if family != "modernbert":
        # ModernBERT rotates instead of looking positions up in a table.
        with pytest.raises((IndexError, RuntimeError), match="out of (range|bounds)"):
            backbone.embed(ids, places, None)


@torch.no_grad()
def test_the_bias_of_mpnet_reaches_as_far_as_the_stock_models():
    """Documents longer than the outermost bucket, of which every third token is left."""
    settings = {"max_position_embeddings": 402}
    backbone = backbone_for(tiny_encoder("mpnet", attn_implementation=NAME, **settings))
    stock, (ids,) = stock_encoder("mpnet", **settings), tiny_ids([400])
    mask = torch.arange(400) % 3 == 0
    expected = stock(input_ids=ids[None], attention_mask=mask[None].long()).last_hidden_state[0]
    states = walk(backbone, [ids[mask]], [mask.nonzero()[:, 0]])
    close(states[-1], expected[mask])


def test_rotations_are_made_once_for_a_set_of_tokens():
    """Review 7: ModernBERT's rotations were made for every block."""
    model = TerselyForSequenceClassification(
        TerselyConfig(encoder_config=tiny_config("modernbert"), plan=preset("topk", at=2).to_dict())
    ).eval()
    calls = []
    model.encoder.rotary_emb.register_forward_hook(lambda *made: calls.append(made))
    model(torch.cat(tiny_ids([12]))[None])
    # Two kinds of layers, before and after the step.
    assert len(calls) == 4
