"""Choosing before the first block agrees with loops over documents, and asks for what it needs."""

import numpy as np
import pytest
import torch

from method_table import QUIET, build, pack
from tersely import preset
from tersely.errors import ModelError, PlanError
from tersely.methods.input_selection import LinearMargin
from tersely.ragged import Layout
from tersely.reduction import DropTokens, Ratio, Step
from tersely.text.syntax import ALONE, ENDS_SENTENCE, GOES_ON
from tiny import HIDDEN, tiny_ids

LENGTHS = [11, 30, 4, 23, 1]


def slow_saliency(model, ids: torch.Tensor) -> list[torch.Tensor]:
    """What the network says of each piece of one document, piece by piece; nothing of the ends."""
    network, last = model.learned["input"]["score"], len(ids) - 1
    hidden = model.encoder.embeddings(input_ids=ids[None])[0]
    rows = [torch.zeros(HIDDEN), *hidden, torch.zeros(HIDDEN)]
    found = []
    for place in range(len(ids)):
        three = torch.cat(rows[place : place + 3])
        inner = torch.nn.functional.gelu(network.inner.weight @ three + network.inner.bias)
        logit = network.output.weight[0] @ inner + network.output.bias[0]
        found.append((1 + logit.exp()).log() if 0 < place < last else torch.zeros(()))
    return found


def slow_scores(model, ids: torch.Tensor, score: str, unit: str) -> list[float]:
    """What each piece of one document is worth, piece by piece."""
    linear = model.linear
    if score == "saliency":
        scores = [float(each) for each in slow_saliency(model, ids)]
    elif score == "linear-margin":
        bounds = torch.tensor([0, len(ids)])
        chances = linear(ids, bounds)[0].exp()
        added = linear.contributions(ids, Layout(bounds))
        order = chances.argsort(descending=True).tolist()
        best, second = order[:2]
        possible = {second} | {c for c in order if chances[c] >= 0.05 * chances[best]}
        scores = [max(abs(float(row[c] - row[best])) for c in possible) for row in added]
    elif score == "idf":
        scores = [float(linear.idf[i]) for i in ids]
    else:
        rows = [linear.weights[i] for i in ids]
        scores = [
            float((row - row.mean()).abs().max() * linear.idf[i])
            for row, i in zip(rows, ids, strict=True)
        ]
    if unit == "piece":
        return scores
    if unit in ("word", "sentence"):
        together, units = max if unit == "word" else np.mean, units_of(linear, ids, unit)
        return [float(together([scores[j] for j in own])) for own in units for _ in own]
    return [max(scores[max(0, i - 1) : i + 2]) for i in range(len(scores))]


def units_of(linear, ids: torch.Tensor, unit: str) -> list[list[int]]:
    """The places of each word or sentence of one document, special pieces by themselves."""
    found, before = [], ALONE
    for place, mark in enumerate(linear.marks[ids].tolist()):
        new = before == ENDS_SENTENCE if unit == "sentence" else mark != GOES_ON
        if new or ALONE in (mark, before):
            found.append([])
        found[-1].append(place)
        before = mark
    return found


def slow_choice(scores: list[float], keep: float, of: str, most: int | None) -> list[int]:
    """The places that stay: the ends first, then the best, earlier ones among equals."""
    length = len(scores)
    ends = {0, length - 1}
    free = sorted(set(range(length)) - ends, key=lambda i: (-scores[i], i))
    stay = max(1, int(keep * length + 1e-9))
    if of == "importance":
        whole, held, taken = sum(scores[i] for i in free), 0.0, 0
        while taken < len(free) and held < keep * whole:
            held, taken = held + scores[free[taken]], taken + 1
        stay = taken + len(ends)
    stay = stay if most is None else min(stay, most)
    return sorted(ends | set(free[: max(0, stay - len(ends))]))


@pytest.mark.parametrize(("of", "most"), [("tokens", None), ("tokens", 6), ("importance", None)])
@pytest.mark.parametrize("unit", ["piece", "word", "neighbours", "sentence"])
@pytest.mark.parametrize("score", ["linear", "linear-margin", "idf", "saliency"])
@torch.no_grad()
def test_the_choice_is_that_of_a_loop_over_documents(score, unit, of, most):
    plan = preset("choose", keep=0.4, least=1, score=score, unit=unit, of=of, most=most)
    model, documents = build(plan).eval(), tiny_ids(LENGTHS)
    entered = model(**pack(documents), output_trace=True).trace.entered
    for document, places in zip(documents, entered.to_list(), strict=True):
        scores = slow_scores(model, document, score, unit)
        stay = set(slow_choice(scores, 0.4, of, most))
        if unit == "word":  # a word of which one piece stays stays whole
            words = units_of(model.linear, document, unit)
            stay = {place for word in words if stay & set(word) for place in word}
        assert places.tolist() == sorted(stay)


@torch.no_grad()
def test_training_chooses_by_the_scores_that_it_is_given():
    model, documents = build(preset("choose", keep=0.4, least=1)), tiny_ids(LENGTHS)
    scores = torch.rand(1, sum(LENGTHS))
    for training in (True, False):
        given = {"piece_scores": scores, "output_trace": True}
        entered = model.train(training)(**pack(documents), **given).trace.entered
        for document, own, places in zip(
            documents, scores[0].split(LENGTHS), entered.to_list(), strict=True
        ):
            known = own.tolist() if training else slow_scores(model, document, "", "piece")
            assert places.tolist() == slow_choice(known, 0.4, "tokens", None)


def test_the_network_learns_the_shares_of_saliency_that_a_document_without_its_ends_has():
    stage, _ = preset("choose", score="saliency", unit="neighbours").stages()
    model, documents = build(stage.plan, **QUIET).train(), tiny_ids(LENGTHS)
    assert not any(p.requires_grad for p in model.learned.parameters())
    model.requires_grad_(False).learned.requires_grad_(True)
    targets = torch.rand(1, sum(LENGTHS))
    output = model(**pack(documents), token_targets=targets, output_trace=True)
    assert output.trace.entered.layout.sizes == LENGTHS
    expected = 0.0
    for document, wanted in zip(documents, targets[0].split(LENGTHS), strict=True):
        if len(document) > 2:
            p, q = wanted[1:-1], torch.stack(slow_saliency(model, document)[1:-1])
            p, q = p / p.sum(), q / q.sum()
            expected += (p * (p / q).log()).sum() / len(LENGTHS)
    torch.testing.assert_close(output.penalty, expected, rtol=1e-4, atol=1e-6)
    output.penalty.backward()
    assert all(p.grad.abs().max() > 0 for p in model.learned.parameters())
    assert model.eval()(**pack(documents), token_targets=targets).penalty is None


def test_without_a_linear_stage_it_is_refused():
    dense = build(preset("dense")).eval()
    with pytest.raises(PlanError, match="'choose' needs a linear stage beside the encoder"):
        dense.under_plan(preset("choose"))
    dense.under_plan(preset("choose", score="random"))
    dense.plan = preset("choose").resolve(4)
    with pytest.raises(ModelError, match="with a linear stage, but this model has none"):
        dense(**pack(tiny_ids([5])))


def test_what_cannot_be_is_refused():
    with pytest.raises(PlanError, match="blocks must be 'input' for 'linear-margin'"):
        Step(DropTokens(), 1, LinearMargin(), Ratio())
    with pytest.raises(PlanError, match="score must be one of linear, linear-margin, saliency,"):
        preset("choose", score="best")
    with pytest.raises(PlanError, match="unit must be 'piece' for the score 'first'"):
        preset("choose", score="first", unit="neighbours")
