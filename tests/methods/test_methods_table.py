"""What every method must do, whatever it removes: one table, one set of behaviours."""

from collections import Counter
from functools import partial

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForSequenceClassification

from method_table import (
    LABELS,
    METHODS,
    NO_OPS,
    QUIET,
    build,
    checkpointing,
    combiner_of,
    pack,
    pad,
)
from tersely.attention import banded, loop
from tersely.methods.focus import FuzzyRatio
from tersely.reduction import Ratio, preset
from tersely.reduction import plan as resolved
from tiny import tiny_ids

LENGTHS = [11, 30, 4, 4, 23, 1]
EXACT = {"rtol": 1e-5, "atol": 1e-5}

every_method = pytest.mark.parametrize("method", METHODS)
# ModernBERT's windows and fused projections are the same for all settings of a method: by default
# it gets the first example of each preset and of each pattern, whose names have no comma.
every_method_and_family = pytest.mark.parametrize(
    ("method", "family"),
    [(name, "bert") for name in METHODS]
    + [
        pytest.param(name, "modernbert", marks=[pytest.mark.slow] if "," in name else [])
        for name in METHODS
    ],
)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of a band as small as these documents, or there would be one for each of them."""
    monkeypatch.setattr(banded, "_SMALLEST", 3)
    monkeypatch.setattr(banded, "_LARGEST", 3)


def documents() -> list[torch.Tensor]:
    return tiny_ids(LENGTHS)


@torch.no_grad()
def logits(model, **batch) -> torch.Tensor:
    return model(**batch).logits


@pytest.mark.parametrize("family", ["bert", "modernbert"])
@pytest.mark.parametrize("method", NO_OPS)
def test_with_nothing_to_remove_the_logits_are_the_dense_models(method, family):
    model = build(NO_OPS[method], family).eval()
    dense = build(METHODS["dense"], family).eval()
    # What the plan has learned or is told by, the dense model has no use for.
    own = ("learned.", "linear.")
    shared = {n: p for n, p in model.state_dict().items() if not n.startswith(own)}
    dense.load_state_dict(shared)
    batch = pad(documents())
    torch.testing.assert_close(logits(model, **batch), logits(dense, **batch), **EXACT)
    assert not torch.allclose(
        logits(build(METHODS[method], family).eval(), **batch), logits(dense, **batch), **EXACT
    ), "the method removes nothing here in any case, so this test could not fail"


@every_method_and_family
def test_a_documents_logits_do_not_depend_on_its_companions(method, family):
    model = build(METHODS[method], family).eval()
    alone = torch.cat([logits(model, input_ids=document[None]) for document in documents()])
    torch.testing.assert_close(logits(model, **pad(documents())), alone, **EXACT)
    torch.testing.assert_close(logits(model, **pack(documents())), alone, **EXACT)
    order = [4, 2, 0, 5, 1, 3]
    shuffled = [documents()[i] for i in order]
    torch.testing.assert_close(logits(model, **pad(shuffled)), alone[order], **EXACT)
    torch.testing.assert_close(logits(model, **pack(shuffled[:3])), alone[order[:3]], **EXACT)


@every_method_and_family
def test_gradients_reach_every_parameter(method, family):
    model = build(METHODS[method], family).train()
    labels = torch.arange(len(LENGTHS)) % LABELS
    model(**pad(documents()), labels=labels).loss.backward()
    # What learns in a stage of its own alone is tested with the method.
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, p in learning.items() if p.grad is None] == []
    # What shifts all combination tokens' queries alike changes no softmax over them.
    # Keys' biases shift all logits of a query alike.
    idle = ("act.query.bias", "act.combination_norm.bias", "key.bias")
    still = {name for name, p in learning.items() if p.grad.abs().max() < 1e-8}
    assert {name for name in still if not name.endswith(idle)} == set()
    assert all(torch.isfinite(p.grad).all() for p in learning.values())


@every_method
def test_a_saved_model_gives_the_same_logits(method, tmp_path):
    model = build(METHODS[method]).eval()
    model.config.id2label = {0: "left", 1: "middle", 2: "right"}
    model.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.bin"))
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(loaded) is type(model)
    assert loaded.config.reduction_plan() == METHODS[method]
    assert loaded.config.id2label == {0: "left", 1: "middle", 2: "right"}
    loaded.knowledge = model.knowledge  # given in Python, and not saved
    batch = pad(documents())
    assert torch.equal(logits(loaded, **batch), logits(model, **batch))


class Seen:
    """What the real modules and the attention were given, block by block."""

    def __init__(self, model, monkeypatch) -> None:
        self.entered: dict[int, int] = {}
        self.transformed: dict[int, int] = {}
        self.keys: dict[int, int] = {}
        self.key_sizes: dict[int, list[int]] = {}
        self.block = -1
        for number in range(model.plan.depth):
            if number in model.plan.replaced or number in model.plan.skipped:
                continue
            block = model.backbone.blocks[number]
            attention = model.backbone.attention_of(block)
            attention.register_forward_pre_hook(partial(self._enter, number))
            first = getattr(block, "intermediate", None) or block.mlp
            first.register_forward_pre_hook(partial(self._transform, number))
        for number in model.plan.replaced:
            combiner_of(model).register_forward_pre_hook(partial(self._combine, number))
        compute = loop.attend

        def attend(query, key, value, packing, *settings):
            assert len(query) == self.entered[self.block]
            sizes = packing.key_layout.sizes
            assert len(key) == sum(sizes)
            if packing.keys is not None and packing.keys.in_place:
                parts = packing.keys.filled.split(sizes)  # the others are hidden in their places
                sizes = [int(part.sum(0).max()) for part in parts]
            self.key_sizes[self.block], self.keys[self.block] = sizes, sum(sizes)
            return compute(query, key, value, packing, *settings)

        monkeypatch.setattr(loop, "attend", attend)

    def _enter(self, number, module, inputs):
        self.block = number
        self.entered[number] = inputs[0].shape[-2]

    def _transform(self, number, module, inputs):
        self.transformed[number] = inputs[0].shape[-2]

    def _combine(self, number, module, inputs):
        embedded, _, combination, *_ = inputs
        self.keys[number] = self.transformed[number] = combination.shape[:2].numel()
        self.entered[number] = len(embedded) + combination.shape[:2].numel()


@every_method_and_family
@torch.no_grad()
def test_the_trace_is_what_was_computed(method, family, monkeypatch):
    model = build(METHODS[method], family).eval()
    seen = Seen(model, monkeypatch)
    trace = model(**pad(documents()), output_trace=True).trace
    assert {layer.block for layer in trace.blocks} == set(range(4)) - model.plan.skipped
    for layer in trace.blocks:
        number = layer.block
        assert sum(layer.queries) == seen.entered[number]
        assert sum(layer.keys) == seen.keys[number]
        assert sum(layer.transformed) == seen.transformed[number]
        assert layer.keys == seen.key_sizes.get(number, layer.keys)
    assert trace.tokens_alive() == [layer.transformed for layer in trace.blocks]
    for i, document in enumerate(documents()):
        model(input_ids=document[None])
        for layer in trace.blocks:
            number = layer.block
            figures = (layer.queries[i], layer.keys[i], layer.transformed[i])
            alone = (seen.entered[number], seen.keys[number], seen.transformed[number])
            assert figures == alone


@every_method
@torch.no_grad()
def test_the_trace_tells_which_tokens_live(method):
    model = build(METHODS[method]).eval()
    trace = model(**pad(documents()), output_trace=True).trace
    combination = [-1] * sum(act.tokens for act in model.plan.replaced.values())
    before = [list(range(length)) + combination for length in LENGTHS]
    for layer in trace.blocks:
        alive = [origins.tolist() for origins in layer.alive.to_list()]
        assert [len(origins) for origins in alive] == layer.transformed
        for i, origins in enumerate(alive):
            own = [origin for origin in origins if origin >= 0]
            assert own == sorted(set(own)), "tokens keep their order, and none is there twice"
            assert origins[len(own) :] == combination, "combination tokens are exempt"
            assert set(own) <= set(before[i]), "a token that is gone does not return"
        if layer.importance is not None:
            assert layer.importance.layout.sizes == layer.queries
            assert (layer.importance.values >= 0).all()
            means = layer.importance.mean()
            fullest = torch.tensor(layer.keys) / torch.tensor(layer.queries)
            # All scores are 0 where only what a token pays to others counts, and there is one.
            scored = means > 0
            if not all(step.score.is_scaled for step in model.plan.at(layer.block)):
                continue
            torch.testing.assert_close(means[scored], fullest[:, None].expand_as(means)[scored])
        if layer.alive_keys is not None:
            assert len(layer.alive_keys) == layer.alive.layout.tokens
        if layer.kind == "block" and layer.groups is not None:
            assert layer.groups.layout.sizes == layer.queries
            rows = layer.groups.values.tolist()
            assert set(rows) == set(range(sum(layer.transformed))), "each is made of some token"
        elif layer.groups is not None:
            assert layer.groups.layout.sizes == [size - len(combination) for size in layer.queries]
            assert set(layer.groups.values.tolist()) <= set(range(len(combination)))
        before = alive
    assert model(**pad(documents())).trace is None


@every_method_and_family
@torch.no_grad()
def test_the_count_of_macs_is_torchs(method, family):
    model = build(METHODS[method], family).eval()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        trace = model(**pad(documents()), output_trace=True).trace
    assert trace.macs == counter.get_total_flops() / 2


@every_method
def test_gradient_checkpointing_changes_nothing_but_the_memory(method, monkeypatch):
    calls: Counter[str] = Counter()

    def count(owner, name) -> None:
        function = getattr(owner, name)

        def counted(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    # Scores and the choice of tokens are made once, even for a block that is computed twice.
    for owner, name in ((Ratio, "losers"), (FuzzyRatio, "losers"), (loop, "attend")):
        count(owner, name)
    results = []
    for checkpointed in (False, True):
        model = build(METHODS[method], **QUIET).train()
        if checkpointed:
            checkpointing(model)
        calls.clear()
        torch.manual_seed(1)  # the noise of the combining module
        loss = model(**pad(documents()), labels=torch.tensor([0, 1, 2, 0, 1, 2])).loss
        loss.backward()
        gradients = {name: p.grad for name, p in model.named_parameters()}
        results.append((loss, gradients, calls["losers"], calls["attend"]))
    (loss, gradients, chosen, attended), (again, other, chosen_again, attended_again) = results
    torch.testing.assert_close((again, other), (loss, gradients))
    assert (chosen_again, attended_again) == (chosen, 2 * attended)


@torch.no_grad()
def test_a_band_is_computed_and_not_just_masked():
    """The table's documents are long enough for a band: else the tests above would miss it."""
    trace = build(METHODS["neighbours"]).eval()(**pad(documents()), output_trace=True).trace
    whole = sum(length * length for length in LENGTHS)
    assert all(sum(layer.pairs) < 0.6 * whole for layer in trace.blocks)


@pytest.mark.parametrize("keep", [0.95, 0.6])
@pytest.mark.parametrize("reading", ["block", "complement"])
@pytest.mark.parametrize("training", [True, False])
def test_hidden_keys_give_what_gathered_ones_give(keep, reading, training, monkeypatch):
    model = build(preset("focus-pf", keep=keep, reading=reading), num_hidden_layers=4)
    model.train(training)
    outputs = []
    for share in (0.0, 2.0):
        monkeypatch.setattr(resolved, "_HIDE_FROM", share)
        torch.manual_seed(0)  # of the dropout in training
        with torch.set_grad_enabled(training):
            outputs.append(model(**pad(tiny_ids(LENGTHS)), output_trace=True))
    hidden, gathered = outputs
    torch.testing.assert_close(hidden.logits, gathered.logits, rtol=1e-5, atol=1e-5)
    fewer = 0
    for one, other in zip(hidden.trace.blocks, gathered.trace.blocks, strict=True):
        assert one.keys == other.keys
        assert one.pairs == [n * n for n in one.queries]
        assert other.pairs == [n * k for n, k in zip(other.queries, other.keys, strict=True)]
        if one.alive_keys is not None:
            assert torch.equal(one.alive_keys, other.alive_keys)
        fewer += one.macs > other.macs
    assert fewer, "every head kept all keys here, so this test could not fail"


@pytest.mark.parametrize(("keep", "first"), [(0.9, 3), (0.5, 1)])
def test_keys_are_hidden_while_most_of_them_are_left(keep, first):
    plan = preset("focus-pf", keep=keep).resolve(6)
    assert [plan.hides_keys(block) for block in range(6)] == [block < first for block in range(6)]
