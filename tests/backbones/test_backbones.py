"""Every family's blocks, walked on a packed row, against the stock model document by document."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForSequenceClassification

from tersely import TerselyConfig, TerselyForSequenceClassification, preset
from tersely.attention import NAME, Packing, ScoreRequest
from tersely.backbones import backbone_class, backbone_for
from tersely.errors import ModelError
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


def walk(backbone, ids, places, segments=None):
    """Hidden states of the row: embedded, after each block but the last, and at the end."""
    layout = Layout.from_lengths([len(document) for document in ids])
    places = torch.cat(places)
    segments = None if segments is None else torch.cat(segments)
    hidden = backbone.embed(torch.cat(ids), places, segments)
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


def places_of(lengths):
    return [torch.arange(length) for length in lengths]


# ---- the walk ----------------------------------------------------------------------------------


@torch.no_grad()
def test_every_block_gives_what_the_stock_model_gives_document_by_document(family, backbone):
    ids = tiny_ids(LENGTHS)
    states = walk(backbone, ids, places_of(LENGTHS))
    stock = stock_encoder(family)
    assert len(states) == stock.config.num_hidden_layers + 1
    alone = [stock_states(stock, input_ids=document[None]) for document in ids]
    for state, expected in zip(states, zip(*alone, strict=True), strict=True):
        assert state.shape == (sum(LENGTHS), HIDDEN)
        close(state, torch.cat(expected, 1)[0])


@torch.no_grad()
def test_segments_are_embedded_where_the_family_has_them(family, backbone):
    ids, segments = tiny_ids(LENGTHS), [torch.arange(length) // 4 % 2 for length in LENGTHS]
    plain = walk(backbone, ids, places_of(LENGTHS))[-1]
    assert backbone.has_segments == (family in ("bert", "electra"))
    if not backbone.has_segments:
        return
    stock = stock_encoder(family)
    expected = [
        stock(input_ids=document[None], token_type_ids=types[None]).last_hidden_state[0]
        for document, types in zip(ids, segments, strict=True)
    ]
    actual = walk(backbone, ids, places_of(LENGTHS), segments)[-1]
    close(actual, torch.cat(expected))
    assert not torch.allclose(actual, plain, atol=1e-2)


@torch.no_grad()
def test_tokens_that_are_gone_are_what_a_stock_model_masks_and_the_others_keep_their_places(
    family, backbone
):
    ids = tiny_ids(LENGTHS)
    marks = [torch.rand(length) < 0.6 for length in LENGTHS]
    for mark in marks:
        mark[0] = True
    places = [mark.nonzero()[:, 0] for mark in marks]
    kept = [document[mark] for document, mark in zip(ids, marks, strict=True)]
    states = walk(backbone, kept, places)
    stock = stock_encoder(family)
    for number, (document, mark) in enumerate(zip(ids, marks, strict=True)):
        whole = stock_states(stock, input_ids=document[None], attention_mask=mark[None].long())
        for state, expected in zip(states, whole, strict=True):
            own = Ragged(state, Layout.from_lengths([len(part) for part in kept]))[number]
            close(own, expected[0, mark])


@torch.no_grad()
def test_scores_are_the_column_means_of_the_stock_attention(family, backbone):
    ids = tiny_ids(LENGTHS)
    stock = stock_encoder(family, "eager")
    maps = [stock(input_ids=d[None], output_attentions=True).attentions for d in ids]
    layout, places = Layout.from_lengths(LENGTHS), torch.cat(places_of(LENGTHS))
    hidden = backbone.embed(torch.cat(ids), places, None)
    extras = backbone.extras(hidden, places)
    for number in range(len(backbone.blocks)):
        packing = Packing(layout, scores=ScoreRequest(per_head=True))
        hidden, scores = backbone.attend(number, hidden, packing, extras)
        hidden = backbone.transform(number, hidden)
        expected = [attentions[number][0].mean(1).T for attentions in maps]
        assert scores.shape == (sum(LENGTHS), backbone.heads)
        close(scores, torch.cat(expected))


def test_gradients_reach_all_weights_of_the_blocks(backbone):
    hidden = walk(backbone, tiny_ids(LENGTHS), places_of(LENGTHS))[-1]
    hidden.square().sum().backward()
    without = [
        name
        for name, parameter in backbone.blocks.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert without == []


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        *((name, {}) for name in FAMILIES if name != "modernbert"),
        ("modernbert", {"classifier_pooling": "cls"}),
        ("modernbert", {"classifier_pooling": "mean"}),
    ],
)
@torch.no_grad()
def test_classify_is_the_head_of_the_stock_classifier(family, settings):
    config = tiny_config(family, num_labels=3, **settings)
    stock = AutoModelForSequenceClassification.from_config(config).eval()
    ids = tiny_ids(LENGTHS)
    expected = torch.cat([stock(input_ids=document[None]).logits for document in ids])
    hidden = Ragged.from_list([stock.base_model(d[None]).last_hidden_state[0] for d in ids])
    logits = backbone_for(stock.base_model).classify(stock, hidden)
    assert logits.shape == (4, 3)
    close(logits, expected)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_token_that_stands_for_two_counts_as_two_in_a_mean(family):
    mean = {"classifier_pooling": "mean"} if family == "modernbert" else {}
    config = tiny_config(family, num_labels=3, **mean)
    stock = AutoModelForSequenceClassification.from_config(config).eval()
    backbone, rows = backbone_for(stock.base_model), torch.randn(3, config.hidden_size)
    twice = backbone.classify(stock, Ragged.from_list([rows[[0, 1, 1, 2]]]))
    once = backbone.classify(stock, Ragged.from_list([rows]), torch.tensor([1.0, 2.0, 1.0]))
    close(once, twice)


# ---- what a family says of itself --------------------------------------------------------------


def macs(compute):
    """MACs of the linear layers that run, attention's own products left out."""
    with FlopCounterMode(display=False) as counter:
        compute()
    counts = counter.get_flop_counts().get("Global", {})
    return sum(counts.get(op, 0) for op in (torch.ops.aten.addmm, torch.ops.aten.mm)) // 2


@torch.no_grad()
def test_cost_of_a_block_is_what_its_linear_layers_compute(backbone):
    ids, places = torch.cat(tiny_ids(LENGTHS)), torch.cat(places_of(LENGTHS))
    hidden = []
    embedding = macs(lambda: hidden.append(backbone.embed(ids, places, None)))
    assert embedding == len(ids) * backbone.cost_of_embedding()
    hidden = hidden[0]
    extras = backbone.extras(hidden, places)
    for number in range(len(backbone.blocks)):
        packing = Packing(Layout.from_lengths(LENGTHS))
        attended = macs(
            lambda number=number, packing=packing: backbone.attend(number, hidden, packing, extras)
        )
        transformed = macs(lambda number=number: backbone.transform(number, hidden))
        attention, feed_forward = backbone.cost_of_block(number)
        assert attended == len(ids) * attention > 0
        assert transformed == len(ids) * feed_forward > 0


BERT = ["attention.self.query", "attention.self.key", "attention.self.value"]
PROJECTIONS = {
    "mpnet": [f"attention.attn.{name}" for name in "qkvo"],
    "distilbert": [*(f"attention.{name}_lin" for name in "qkv"), "attention.out_lin"],
    "modernbert": ["attn.Wqkv", "attn.Wqkv", "attn.Wqkv", "attn.Wo"],
}


@pytest.mark.parametrize(
    ("family", "settings"),
    [*((name, {}) for name in FAMILIES), ("modernbert", {"attention_bias": True})],
)
def test_projections_are_the_layers_of_the_block(family, settings):
    backbone = backbone_for(tiny_encoder(family, **settings))
    block = backbone.blocks[1]
    parts = backbone.projections(block)
    names = PROJECTIONS.get(family, [*BERT, "attention.output.dense"])
    for number, (name, part) in enumerate(zip(names, vars(parts).values(), strict=True)):
        assert part.weight.shape == (HIDDEN, HIDDEN)
        layer = block.get_submodule(name)
        if part is not layer:
            # One third of a fused projection, in memory of its own.
            assert name.endswith("Wqkv")
            assert torch.equal(part.weight, layer.weight[number * HIDDEN : (number + 1) * HIDDEN])
            if layer.bias is None:
                assert part.bias is None
            else:
                assert torch.equal(part.bias, layer.bias[number * HIDDEN : (number + 1) * HIDDEN])
            stored = layer.weight.untyped_storage().data_ptr()
            assert part.weight.untyped_storage().data_ptr() != stored


def test_longest_document(family, backbone):
    longest = backbone.longest_document
    assert longest == (62 if family in ROBERTA else 64)
    ids, places = torch.full((longest + 1,), 5), torch.arange(longest + 1)
    assert backbone.embed(ids[:-1], places[:-1], None).shape == (longest, HIDDEN)
    if family != "modernbert":
        # ModernBERT rotates instead of looking positions up in a table.
        with pytest.raises((IndexError, RuntimeError), match="out of (range|bounds)"):
            backbone.embed(ids, places, None)


# ---- what is refused ---------------------------------------------------------------------------


def test_an_encoder_that_bypasses_the_packed_attention_is_refused(family, backbone):
    if family == "mpnet":
        return  # its backbone calls the packed attention, whatever the encoder's own is
    places = torch.cat(places_of(LENGTHS))
    hidden = backbone.embed(torch.cat(tiny_ids(LENGTHS)), places, None)
    extras = backbone.extras(hidden, places)
    backbone.encoder.set_attn_implementation("sdpa")
    packing = Packing(Layout.from_lengths(LENGTHS))
    with pytest.raises(ModelError, match="in block 1: .* is 'sdpa', expected 'tersely'"):
        backbone.attend(1, hidden, packing, extras)
    assert packing.calls == 0
    backbone.encoder.set_attn_implementation(NAME)
    backbone.attend(1, hidden, packing, extras)
    assert packing.calls == 1


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


def test_an_unknown_family_is_refused_with_a_list_of_those_that_are_known():
    with pytest.raises(ModelError) as caught:
        backbone_class("gpt2")
    assert ", ".join(sorted(FAMILIES)) in str(caught.value)
    assert "'gpt2'" in str(caught.value)
