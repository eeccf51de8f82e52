"""Saliency is gradient times input of the label's logit, and predictors learn it."""

from __future__ import annotations

import pytest
import torch

from method_table import METHODS, build, pack, pad
from tersely import Plan, preset
from tersely.methods.contrib.adapler import SaliencyPredictor, saliency
from tersely.methods.focus import Combine
from tersely.reduction import DropTokens, Step, Threshold
from tiny import tiny_ids

LENGTHS = [9, 14, 4]


def dense():
    return build(METHODS["dense"]).eval()


@pytest.mark.parametrize("labels", [[2, 0, 1], [[1, 0, 1], [0, 0, 1], [1, 1, 1]]])
def test_saliency_is_gradient_times_input(labels):
    model, labels = dense(), torch.tensor(labels)
    row = saliency(model, pack(tiny_ids(LENGTHS)), labels)
    expected = []
    for document, label in zip(tiny_ids(LENGTHS), labels, strict=True):
        embedded = model.encoder.embeddings(input_ids=document[None]).detach().requires_grad_()
        hidden = embedded
        for block in model.encoder.encoder.layer:
            hidden, _ = stock_block(block, hidden)
        logits = model.head.classifier(hidden[0].mean(0))
        gold = (logits * label).sum() if label.dim() else logits[label]
        gradient = torch.autograd.grad(gold, embedded)[0]
        expected.append((gradient * embedded).norm(dim=2)[0].detach())
    torch.testing.assert_close(row, torch.cat(expected), rtol=1e-4, atol=1e-6)
    assert all(p.grad is None for p in model.parameters())


def test_saliency_leaves_the_model_alone_and_may_be_interrupted_by_itself():
    """Review 10: it patched `backbone.embed`, so that two of them at a time mixed their inputs."""
    model, ids = dense(), tiny_ids(LENGTHS)
    alone = saliency(model, pack(ids), torch.tensor([2, 0, 1]))
    embed, inner = model.embed, []

    def interrupted(**batch):
        if not inner:
            inner.append(None)
            inner[0] = saliency(model, pack(ids[:1]), torch.tensor([1]))
        return embed(**batch)

    model.embed = interrupted
    assert torch.equal(saliency(model, pack(ids), torch.tensor([2, 0, 1])), alone)
    assert len(inner[0]) == LENGTHS[0] and "embed" not in vars(model.backbone)


def stock_block(block, hidden):
    from slow_ltp import attend

    keys = torch.ones(hidden.shape[:2], dtype=torch.bool)
    hidden, matrices = attend(block, hidden, keys, keys.float())
    inner = torch.nn.functional.gelu(block.intermediate.dense(hidden))
    return block.output.LayerNorm(block.output.dense(inner) + hidden), matrices


def predicting(*more, **settings) -> Plan:
    score = SaliencyPredictor(**({"saliency": 1.0} | settings))
    step = Step(DropTokens(), [0, 1], score, Threshold(least=1, pin="first", threshold=0.0))
    return Plan("predicting", (step, *more))


@pytest.mark.parametrize("more", [(), (Step(Combine(tokens=2), 3),)])
def test_the_lesson_is_the_divergence_from_the_saliency_of_what_is_left(more):
    model = build(predicting(*more), hidden_dropout_prob=0.0).train()
    row = torch.rand(1, sum(LENGTHS))
    output = model(**pack(tiny_ids(LENGTHS)), token_targets=row, output_trace=True)
    expected = 0.0
    for layer, weight in ((0, 1.0), (1, 0.5)):
        importance = output.trace.blocks[layer].importance.to_list()
        for scores, wanted in zip(importance, row[0].split(LENGTHS), strict=True):
            scores = scores[: len(wanted), 0]
            p, q = wanted / wanted.sum(), scores / scores.sum()
            expected += weight * (p * (p / q).log()).sum() / len(LENGTHS)
    torch.testing.assert_close(output.penalty, expected, rtol=1e-4, atol=1e-6)
    assert model(**pack(tiny_ids(LENGTHS))).penalty is None
    assert model.eval()(**pack(tiny_ids(LENGTHS)), token_targets=row).penalty is None


def test_a_predictor_learns_its_lesson():
    model = build(predicting(), hidden_dropout_prob=0.0).train()
    row = saliency(dense(), pack(tiny_ids(LENGTHS)), torch.tensor([0, 1, 2]))[None]
    optimizer = torch.optim.Adam(model.learned.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        loss = model(**pack(tiny_ids(LENGTHS)), token_targets=row).penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_noise_is_drawn_in_training_alone():
    model = build(preset("transkimmer", least=1, bias=0.0))
    batch = pad(tiny_ids([30, 30]))
    with torch.no_grad():
        model.eval()
        assert torch.equal(model(**batch).logits, model(**batch).logits)
        model.train()
        counts = [
            sum(layer.transformed) for layer in model(**batch, output_trace=True).trace.blocks
        ]
        others = [
            sum(layer.transformed) for layer in model(**batch, output_trace=True).trace.blocks
        ]
    assert counts != others
