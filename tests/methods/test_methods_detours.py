"""Tokens that miss blocks in training: who goes, and that they come back as they were."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from method_table import METHODS, build, pack, pad
from tersely import Plan, preset
from tersely.errors import PlanError
from tersely.methods.contrib.token_drop import SetAside, WordImportance
from tersely.methods.contrib.transkimmer import Predictor
from tersely.methods.controls import RandomScore
from tersely.ragged import Layout
from tersely.reduction import ColumnMean, DropTokens, HiddenChange, Ratio, Step
from tiny import VOCABULARY, tiny_ids

LENGTHS = [11, 30, 4, 2, 23, 1]
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def dropped(score="by-word", blocks=None, keep=0.5, **overrides):
    plan = preset("token-drop", least=1, score=score, keep=keep)
    if blocks is not None:
        step = plan.steps[0]
        plan = Plan("mine", (Step(step.act, blocks, step.score, step.select),))
    return build(plan, num_hidden_layers=6, **QUIET, **overrides)


def test_in_use_it_is_the_dense_model():
    model = dropped().eval()
    dense = build(METHODS["dense"], num_hidden_layers=6, **QUIET).eval()
    assert model.config.reduction_plan().is_dense
    with torch.no_grad():
        batch = pad(tiny_ids(LENGTHS))
        assert torch.equal(model(**batch).logits, dense(**batch).logits)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_half_of_the_tokens_miss_the_blocks_between(family):
    model = dropped(family=family).train()
    trace = model(**pad(tiny_ids(LENGTHS)), output_trace=True).trace
    # Two stay in any case: the first and the last.
    half = [max(length // 2, min(length, 2)) for length in LENGTHS]
    assert trace.tokens_alive() == [LENGTHS] * 3 + [half] * 2 + [LENGTHS]
    last = trace.blocks[-1].alive
    assert [part.tolist() for part in last.to_list()] == [list(range(n)) for n in LENGTHS]
    between = [set(part.tolist()) for part in trace.blocks[3].alive.to_list()]
    assert between == [set(part.tolist()) for part in trace.blocks[4].alive.to_list()]
    assert all({0, n - 1} <= own for n, own in zip(LENGTHS, between, strict=True))


def test_it_agrees_with_a_slow_one():
    model = dropped(score="random", blocks=[2, 3, 4], keep=0.6).train()
    documents = tiny_ids(LENGTHS)
    logits = model(**pack(documents)).logits
    trace = model(**pack(documents), output_trace=True).trace
    stays = [part.tolist() for part in trace.blocks[2].alive.to_list()]
    assert [len(own) for own in stays] == [max(int(0.6 * n + 1e-9), min(n, 2)) for n in LENGTHS]
    for document, own, expected in zip(documents, stays, logits, strict=True):
        torch.testing.assert_close(slow(model, document, own), expected, rtol=1e-5, atol=1e-5)


def slow(model: nn.Module, document: torch.Tensor, own: list[int]) -> torch.Tensor:
    """One document, with the encoder's blocks called on a tensor of their own."""
    encoder = model.encoder
    hidden = encoder.embeddings(input_ids=document[None])
    for number, block in enumerate(encoder.encoder.layer):
        entering = hidden[:, own] if number in (2, 3, 4) else hidden
        inner = block.attention.self
        size = entering.shape[2] // 4
        query, key, value = (
            part(entering)[0].view(len(entering[0]), 4, size).transpose(0, 1)
            for part in (inner.query, inner.key, inner.value)
        )
        weights = (query @ key.transpose(1, 2) / size**0.5).softmax(2)
        context = (weights @ value).transpose(0, 1).reshape(1, -1, 4 * size)
        after = block.attention.output(context, entering)
        after = block.output(block.intermediate(after), after)
        if number in (2, 3, 4):
            hidden = hidden.clone()
            hidden[:, own] = after
        else:
            hidden = after
    return model.head.classifier(hidden[0].mean(0))


def test_gradients_reach_tokens_that_were_away():
    model = dropped(score="random").train()
    ids = tiny_ids([12])[0]
    embedded = []
    model.encoder.embeddings.register_forward_hook(lambda *args: embedded.append(args[2]))
    output = model(ids[None], labels=LABELS[:1], output_trace=True)
    embedded[0].retain_grad()
    output.loss.backward()
    away = set(range(12)) - set(output.trace.blocks[3].alive.values.tolist())
    assert away
    assert (embedded[0].grad[0].norm(dim=1)[sorted(away)] > 0).all()


def test_words_on_which_the_loss_hangs_stay():
    layout = Layout.from_lengths([3, 2])
    words = WordImportance(6, momentum=0.9)
    ids = torch.tensor([0, 1, 2, 1, 4])
    embedded = torch.zeros(5, 2, requires_grad=True)
    assert torch.equal(words(ids, layout, embedded * 1)["word-importance"], torch.ones(5))
    gradients = torch.tensor([[3.0, 4], [0, 0], [6, 8], [0, 2], [2, 0]])
    scaled = embedded * 1
    words(ids, layout, scaled)
    (scaled * gradients).sum().backward()
    # Lengths 5, 0, 10 of mean 5, and 2, 2 of mean 2; word 1 stands in both documents.
    expected = torch.tensor([1.0, (0 + 1) / 2, 2, 1, 1, 1])
    torch.testing.assert_close(words.importance, torch.ones(6).lerp(expected, 0.1))
    before = words.importance.clone()
    scaled = embedded * 1
    words(ids, layout, scaled)
    (scaled * float("nan")).sum().backward()
    assert torch.equal(words.importance, before)


def test_training_learns_which_words_matter():
    model = dropped().train()
    model(**pad(tiny_ids(LENGTHS)), labels=LABELS).loss.backward()
    seen = torch.cat(tiny_ids(LENGTHS)).unique()
    assert (model.shared["by-word"].importance[seen] != 1).any()
    never = sorted(set(range(VOCABULARY)) - set(seen.tolist()))
    assert (model.shared["by-word"].importance[never] == 1).all()
    with torch.no_grad():
        # Words 50 and up are made the important ones: of any document they stay.
        model.shared["by-word"].importance.copy_(
            torch.where(torch.arange(VOCABULARY) < 50, 0.1, 3.0)
        )
    document = torch.tensor([5, 10, 60, 11, 61, 12, 62, 13])
    trace = model(document[None], output_trace=True).trace
    assert trace.blocks[3].alive.values.tolist() == [0, 2, 4, 7]


@pytest.mark.parametrize(
    ("blocks", "score", "more", "message"),
    [
        ({"start": 3}, RandomScore(), (), "before the last one, where tokens are back, got .* 5"),
        ([1, 3], RandomScore(), (), r"must be neighbouring blocks .* got \[1, 3\] of 6"),
        ([1, 2], ColumnMean(), (), "needs no attention .* for 'set-aside', got 'column-mean'"),
        ([1, 2], Predictor(trained=True), (), "learns nothing .* got 'predictor'"),
        ([1, 2], HiddenChange(), (), "needs no attention .* got 'hidden-change'"),
        (
            [1, 2],
            RandomScore(),
            (Step(DropTokens(), 4, ColumnMean(), Ratio(least=1)),),
            "one alone that acts in training, got 2",
        ),
    ],
)
def test_plans_that_cannot_be_are_refused(blocks, score, more, message):
    with pytest.raises(PlanError, match=message):
        Plan("mine", (Step(SetAside(), blocks, score, Ratio(least=1, keep=0.5)), *more)).resolve(6)


def test_words_are_no_score_of_a_model_in_use():
    with pytest.raises(PlanError, match="must not be 'by-word'.* got 'drop-tokens'"):
        preset("topk", least=1, score="by-word")
