"""The whole model agrees with the paper's, written with full matrices and boolean masks."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_bert import Settings, combine_document, slow_lengths, slow_logits
from torch import Tensor

from method_table import METHODS, build, pad
from tersely.methods.focus import Combine, Combiner, FuzzyRatio
from tersely.modeling.forward import ForwardPass, PackedInputs
from tersely.ragged import ExportLayout, Layout
from tersely.reduction import ColumnMean, DropKeys, Plan, Step, preset
from tersely.reduction import plan as resolved
from tiny import FAMILIES, tiny_ids

LENGTHS = [40, 17, 3, 29, 1, 33]

OWN_ROWS = ColumnMean(heads="each", count_combination_tokens=False)
DROP = Step(DropKeys(), {"stop": 4}, OWN_ROWS, FuzzyRatio(least=1, keep=0.6))
UNCOUNTED = Plan("uncounted", (DROP, Step(Combine(tokens=4), 4)))
COMBINED = {"combine_at": 3, "tokens": 4}
CASES = [
    (preset("focus-p", keep=0.7), Settings(0.7, rule="ratio")),
    (preset("focus-p", keep=0.7, heads="mean"), Settings(0.7, rule="ratio", per_head=False)),
    (preset("focus-pf"), Settings(0.9)),
    (preset("focus-pf", keep=0.6), Settings(0.6)),
    (preset("focus-pf", keep=0.6, heads="mean"), Settings(0.6, per_head=False)),
    (preset("focus-pf", keep=0.5, pin="none"), Settings(0.5, pin="none")),
    (preset("focus-pf", keep=0.5, reading="complement"), Settings(0.5, "complement")),
    (preset("focus-c", combine_at=2, tokens=4), Settings(1.0, combining=2)),
    (preset("focus-pfc", keep=0.6, **COMBINED), Settings(0.6, combining=3)),
    (
        preset("focus-pfc", keep=0.6, pin="first", reading="complement", **COMBINED),
        Settings(0.6, "complement", combining=3, pin="first"),
    ),
    (UNCOUNTED, Settings(0.6, combining=4, rows_of_combination_tokens=False)),
]


@pytest.mark.parametrize(("plan", "settings"), CASES)
@torch.no_grad()
def test_the_model_agrees_with_the_slow_one(plan, settings):
    model = build(plan, num_hidden_layers=5).eval()
    documents = tiny_ids(LENGTHS)
    output = model(**pad(documents), output_trace=True)
    logits, seen = zip(
        *(slow_logits(model, document, settings) for document in documents), strict=True
    )
    torch.testing.assert_close(output.logits, torch.stack(logits), rtol=1e-5, atol=1e-5)

    blocks = output.trace.blocks[: settings.combining]
    for number, (layer, after) in enumerate(pairwise(blocks), start=1):
        # The places that a document's keys take are those of the head with most of them.
        masks = [one.key_masks[number] for one in seen]
        assert after.keys == [int(mask.sum(1).max()) for mask in masks]
        expected = torch.from_numpy(np.concatenate(masks, axis=1).T)
        if layer.alive_keys is None:
            assert expected.all()
        else:
            own = layer.alive_keys.view(len(expected), -1)
            assert torch.equal(own.expand_as(expected), expected)
    if settings.combining is not None:
        groups = output.trace.blocks[settings.combining].groups.values.tolist()
        assert groups == [group for one in seen for group in one.groups]


@pytest.mark.parametrize("keep", [0.8, 0.5, 0.65])
@torch.no_grad()
def test_length_drop_agrees_with_the_slow_one(keep):
    model = build(preset("lat", least=1, keep=keep), num_hidden_layers=5).eval()
    documents = tiny_ids(LENGTHS)
    output = model(**pad(documents), output_trace=True)
    slow = [slow_lengths(model, document, keep) for document in documents]
    expected = torch.stack([logits for logits, _ in slow])
    torch.testing.assert_close(output.logits, expected, rtol=1e-5, atol=1e-5)
    for number, layer in enumerate(output.trace.blocks):
        assert [part.tolist() for part in layer.alive.to_list()] == [one[number] for _, one in slow]


def logits_of(model, ids, layout):
    with torch.inference_mode():
        passed = ForwardPass(model, PackedInputs(ids, None, layout)).run()
    return passed.logits, passed.trace


OTHERS = [family for family in FAMILIES if family != "bert"]
ALONE = [(name, "bert") for name in METHODS]
ALONE += [(name, family) for name in ("focus-pfc", "topk") for family in OTHERS]


@pytest.mark.parametrize(("method", "family"), ALONE)
def test_a_row_of_one_document_as_exporters_see_it_gives_the_same(method, family, monkeypatch):
    # As a graph has them: in torch on CPUs, keys that few heads lost are hidden, not gathered.
    monkeypatch.setattr(resolved, "_HIDE_FROM", 2.0)
    model = build(METHODS[method], family).eval()
    for ids in tiny_ids([2, 3, 9, 24, 40] if family == "bert" else [5, 24]):
        wanted, trace = logits_of(model, ids, Layout.from_lengths([len(ids)]))
        found, own = logits_of(model, ids, ExportLayout(len(ids)))
        torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)
        assert own.tokens_alive() == trace.tokens_alive()
        assert own.macs == trace.macs


# ---- the combining module alone, in inference and in training, gradients too -------------------

WIDTH = 6


def make_combiner(tokens: int, temperature: float = 1.0) -> Combiner:
    """In double precision, with no parameter at its neutral start."""
    module = Combiner(WIDTH, tokens, temperature).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


def make_batch(lengths: list[int], tokens: int) -> tuple[Tensor, Layout, Tensor]:
    layout = Layout.from_lengths(lengths)
    embedded = torch.randn(layout.tokens, WIDTH, dtype=torch.double)
    return embedded, layout, torch.randn(len(lengths), tokens, WIDTH, dtype=torch.double)


def slow(
    module: Combiner, embedded: Tensor, layout: Layout, combination: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    own, noises = embedded.split(layout.sizes), noise.split(layout.sizes)
    parts = zip(own, combination, noises, strict=True)
    combined, groups = zip(*(combine_document(module, *part) for part in parts), strict=True)
    return torch.stack(combined), torch.cat(groups)


@pytest.fixture
def gumbel(monkeypatch):
    """Noise `(tokens, m)` that the module draws in pieces and the reference gets whole."""

    def fix(tokens: int, groups: int) -> Tensor:
        uniform = torch.rand(tokens, groups, dtype=torch.double).clamp(0.01, 0.99)
        drawn = 0

        def rand_like(logits: Tensor) -> Tensor:
            nonlocal drawn
            piece = uniform[drawn : drawn + logits[..., 0].numel()]
            drawn += len(piece)
            return piece.view(logits.shape).clone()

        monkeypatch.setattr(torch, "rand_like", rand_like)
        return -torch.log(-torch.log(uniform))

    return fix


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    tokens=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_inference_agrees_with_the_equations(lengths, tokens, seed):
    torch.manual_seed(seed)
    module = make_combiner(tokens).eval()
    batch = make_batch(lengths, tokens)
    combined, groups = module(*batch)
    noise = torch.zeros(sum(lengths), tokens, dtype=torch.double)
    expected, expected_groups = slow(module, *batch, noise)
    assert torch.equal(groups, expected_groups)
    torch.testing.assert_close(combined, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
@pytest.mark.parametrize("lengths", [[4], [3, 3, 1], [1, 6, 6, 2]])
def test_training_agrees_with_the_equations_and_so_do_all_gradients(gumbel, lengths, temperature):
    module = make_combiner(3, temperature).train()
    embedded, layout, combination = make_batch(lengths, 3)
    embedded.requires_grad_()
    combination.requires_grad_()
    noise = gumbel(sum(lengths), 3)
    combined, groups = module(embedded, layout, combination)
    expected, expected_groups = slow(module, embedded, layout, combination, noise)
    assert torch.equal(groups, expected_groups)
    torch.testing.assert_close(combined, expected, rtol=1e-9, atol=1e-9)

    # `tokens` is where the combination tokens come from; the module itself does not read it.
    names, wanted = zip(
        *((name, p) for name, p in module.named_parameters() if name != "tokens"), strict=True
    )
    weights = torch.randn_like(combined)
    got = torch.autograd.grad((combined * weights).sum(), [*wanted, embedded, combination])
    reference = torch.autograd.grad((expected * weights).sum(), [*wanted, embedded, combination])
    for name, ours, theirs in zip([*names, "ê", "ĉ"], got, reference, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9, msg=lambda m, n=name: n + m)
