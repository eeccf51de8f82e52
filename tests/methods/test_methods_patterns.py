"""Models under a pattern agree with padded BERT under explicit masks, made pair by pair."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from method_table import KNOWLEDGE, METHODS, build, pad
from slow_patterns import Slow
from tersely.attention import banded
from tersely.errors import ModelError
from tersely.methods.patterns import GlobalTokens, Lexical, Neighbours, RandomPairs, Syntax, Union
from tersely.modeling import with_plan
from tersely.reduction import Knowledge, Plan, Step, preset
from tiny import tiny_ids

LENGTHS = [19, 7, 1, 30, 30]
PATTERNS = [
    Neighbours(width=2),
    Neighbours(width=5, cls=False),
    Neighbours(width=[0, 3, 1, 2]),
    Neighbours(share=0.3),
    GlobalTokens(tokens=2),
    RandomPairs(share=0.3),
    Lexical(),
    Lexical(by="stem"),
    Lexical(by="embedding", share=0.2),
    Syntax(),
    Union(of=[Neighbours(width=1), GlobalTokens(tokens=3)]),
    Union(of=[Neighbours(width=1), RandomPairs(share=0.2)], cls=False),
]


def slow_logits(model: nn.Module, documents: list[Tensor], pattern, blocks: range) -> Tensor:
    """Padded BERT with the pattern's masks at some of its blocks, `(documents, labels)`."""
    batch = pad(documents)
    real = batch["attention_mask"].bool()
    hidden = model.encoder.embeddings(input_ids=batch["input_ids"])
    heads = model.backbone.heads
    longest = hidden.shape[1]
    table = model.encoder.get_input_embeddings().weight.detach()
    masks = torch.zeros(len(documents), heads, longest, longest, dtype=torch.bool)
    for number, document in enumerate(documents):
        slow = Slow(document.tolist(), table, KNOWLEDGE.parser, KNOWLEDGE.stems)
        for head in range(heads):
            size = len(document)
            masks[number, head, :size, :size] = slow.mask(pattern, head)
    for layer, block in enumerate(model.encoder.encoder.layer):
        whole = real[:, None, None, :].expand_as(masks)
        seen = masks if layer in blocks else whole
        inner, output = block.attention.self, block.attention.output
        states = [
            part(hidden).unflatten(2, (heads, -1)).transpose(1, 2)
            for part in (inner.query, inner.key, inner.value)
        ]
        logits = states[0] @ states[1].transpose(2, 3) / math.sqrt(states[0].shape[-1])
        weights = logits.masked_fill(~seen, -1e9).softmax(-1)
        context = (weights @ states[2]).transpose(1, 2).flatten(2)
        hidden = output.LayerNorm(output.dense(context) + hidden)
        grown = nn.functional.gelu(block.intermediate.dense(hidden))
        hidden = block.output.LayerNorm(block.output.dense(grown) + hidden)
    mean = (hidden * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)
    return model.head.classifier(mean)


@pytest.mark.parametrize("blocks", ["small", "large"])
@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_logits_and_gradients_are_those_under_explicit_masks(pattern, blocks, monkeypatch):
    if blocks == "small":  # so that there is a band to compute; else all pairs are, and masked
        monkeypatch.setattr(banded, "_SMALLEST", 4)
        monkeypatch.setattr(banded, "_LARGEST", 4)
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = build(Plan("pattern", [Step(pattern, {"start": 1, "stop": 3})]), **quiet).train()
    documents = tiny_ids(LENGTHS)
    expected = slow_logits(model, documents, pattern, range(1, 3))
    wanted = torch.autograd.grad(expected.sin().sum(), list(model.encoder.encoder.parameters()))
    logits = model(**pad(documents)).logits
    got = torch.autograd.grad(logits.sin().sum(), list(model.encoder.encoder.parameters()))
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        trace = model.eval()(**pad(documents), output_trace=True).trace
    table = model.encoder.get_input_embeddings().weight.detach()
    for number, document in enumerate(documents):
        slow = Slow(document.tolist(), table, KNOWLEDGE.parser, KNOWLEDGE.stems)
        counts = [slow.mask(pattern, head).sum().item() for head in range(4)]
        assert trace.blocks[1].connected[number] == sum(counts) / 4
        share = sum(counts) / 4 / len(document) ** 2
        assert trace.blocks[2].sparsity[number] == pytest.approx(1 - share)
    assert trace.blocks[0].sparsity is None and trace.blocks[3].connected is None


def test_what_a_pattern_needs_is_asked_for_and_goes_along_with_a_new_plan():
    plan = METHODS["syntax"]
    model = build(METHODS["dense"])
    model.knowledge = Knowledge()
    with pytest.raises(ModelError, match=r"needs model\.knowledge\.parser"):
        with_plan(model, plan)(torch.tensor([[5, 6, 7]]))
    model.knowledge = KNOWLEDGE
    assert with_plan(model, plan)(torch.tensor([[5, 6, 7]])).logits.shape == (1, 3)


@torch.no_grad()
def test_modernberts_own_windows_are_computed_as_bands(monkeypatch):
    monkeypatch.setattr(banded, "_SMALLEST", 4)
    monkeypatch.setattr(banded, "_LARGEST", 4)
    model = build(preset("dense"), "modernbert").eval()
    documents = tiny_ids([40, 40, 23])
    output = model(**pad(documents), output_trace=True)
    whole = 2 * 40**2 + 23**2
    shares = [sum(layer.pairs) / whole for layer in output.trace.blocks]
    assert shares[0] == shares[3] == 1
    assert shares[1] == shares[2] < 0.4
    monkeypatch.setattr(banded, "_PAYS", 0)
    masked = model(**pad(documents), output_trace=True)
    assert all(sum(layer.pairs) == whole for layer in masked.trace.blocks)
    torch.testing.assert_close(output.logits, masked.logits, rtol=1e-5, atol=1e-5)
