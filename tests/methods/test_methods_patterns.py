"""Patterns connect what a slow version connects, pair by pair, alone and in models."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_bert import attend, classify, transform
from torch import Tensor, nn

from method_table import KNOWLEDGE, QUIET, build, pad
from slow_patterns import Slow
from tersely.attention import banded
from tersely.errors import ModelError
from tersely.methods.patterns import GlobalTokens, Lexical, Neighbours, RandomPairs, Syntax, Union
from tersely.ragged import Layout
from tersely.reduction import Knowledge, Plan, Step, Stream, preset
from tersely.reduction.patterns import token_columns
from tiny import tiny_ids

HEADS = 4
TABLE = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
PATTERNS = [
    Neighbours(width=2),
    Neighbours(width=0, cls=False),
    Neighbours(width=[0, 3, 1, 2]),
    Neighbours(share=0.3),
    GlobalTokens(tokens=2),
    GlobalTokens(share=0.4, cls=False),
    RandomPairs(share=0.3),
    RandomPairs(share=0.5, seed=3, cls=False),
    Syntax(),
    Lexical(),
    Lexical(by="stem", cls=False),
    Lexical(by="embedding", share=0.25),
    Lexical(by="embedding", share=0.0, cls=False),
    Union(of=[Neighbours(width=1), GlobalTokens(tokens=3)]),
    Union(of=[Neighbours(width=1, cls=False), RandomPairs(share=0.2, cls=False)], cls=False),
]
every_pattern = pytest.mark.parametrize("pattern", PATTERNS, ids=str)


def is_by_share_of_the_living(pattern) -> bool:
    """Its share is of the pairs that are there, so that it holds for those that are left."""
    return isinstance(pattern, Lexical) and pattern.by == "embedding"


def stream_of(documents: list[list[int]]) -> Stream:
    layout = Layout.from_lengths([len(ids) for ids in documents])
    ids = torch.tensor([number for own in documents for number in own])
    needs = ("id", "document", "stem", "vector", "parse")
    columns = token_columns(ids, layout, TABLE, KNOWLEDGE, needs)
    states = torch.zeros(layout.tokens, 1)
    return Stream(states, layout, layout.positions, lengths=layout.lengths, columns=columns)


def slow_of(ids: list[int], table: Tensor = TABLE) -> Slow:
    return Slow(ids, table, KNOWLEDGE.parser, KNOWLEDGE.stems)


def mask_of(pattern, stream: Stream, document: int, head: int = 0) -> Tensor:
    start, stop = stream.layout.offsets[document : document + 2].tolist()
    rows = torch.arange(start, stop)
    seen = pattern.connect(stream).sees(rows[None, None, :, None], rows[None, None, None, :])
    return seen[0, min(head, seen.shape[1] - 1)]


documents = st.lists(st.lists(st.integers(0, 11), min_size=1, max_size=9), min_size=1, max_size=3)


@every_pattern
@settings(max_examples=15, deadline=None)
@given(documents=documents)
def test_pairs_are_those_of_the_slow_version(pattern, documents):
    stream = stream_of(documents)
    for number, ids in enumerate(documents):
        for head in range(HEADS):
            expected = slow_of(ids).mask(pattern, head)
            assert torch.equal(mask_of(pattern, stream, number, head), expected)


@every_pattern
def test_tokens_that_leave_take_their_connections_along_and_nobody_comes_nearer(pattern):
    leaving = [[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9]]
    kept = torch.tensor([1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1]).bool()
    stream = stream_of(leaving)
    left = stream.select(kept)
    for number, own in enumerate(kept.split([8, 5])):
        expected = mask_of(pattern, stream, number)[own][:, own]
        if is_by_share_of_the_living(pattern):
            expected = slow_of(torch.tensor(leaving[number])[own].tolist()).mask(pattern)
        assert torch.equal(mask_of(pattern, left, number), expected)


def test_bands_hold_all_that_is_connected():
    stream = stream_of([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5]])
    bands = [pattern.connect(stream).band for pattern in PATTERNS]
    for pattern, band in zip(PATTERNS, bands, strict=True):
        for number in range(2 if band else 0):
            seen = torch.stack([mask_of(pattern, stream, number, head) for head in range(HEADS)])
            places = torch.arange(seen.shape[1])
            near = (places[:, None] - places).abs() <= band.reaches[number]
            ends = (places[:, None] < band.first) | (places < band.first)
            assert not (seen & ~(near | ends)).any()
            if band.exact:
                assert torch.equal(seen.any(0), near | ends)
    assert sum(band is not None for band in bands) == 7, "of neighbours and of global tokens"


def test_combination_tokens_see_and_are_seen_by_all():
    stream = stream_of([[3, 1, 4, 1]])
    grown = stream.append(torch.zeros(2, 1))
    assert grown.columns["id"].tolist() == [3, 1, 4, 1, -1, -1]
    assert grown.origins.tolist() == [0, 1, 2, 3, -1, -1]
    for pattern in PATTERNS:
        seen = mask_of(pattern, grown, 0)
        assert seen[4:].all() and seen[:, 4:].all()
        if not is_by_share_of_the_living(pattern):
            assert torch.equal(seen[:4, :4], mask_of(pattern, stream, 0))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_random_pairs_are_as_many_as_asked_for_and_others_in_another_document(share):
    stream = stream_of([list(range(12)) * 20, list(range(12))[::-1] * 20])
    seen, other = (mask_of(RandomPairs(share=share, cls=False), stream, n) for n in (0, 1))
    assert seen.float().mean() == pytest.approx(share, abs=0.02)
    again = mask_of(RandomPairs(share=share, seed=1, cls=False), stream, 0)
    for each in (other, again):
        assert share in (0.0, 1.0) or not torch.equal(seen, each)


def test_knowledge_that_is_missing_or_does_not_fit_is_refused():
    def need(column, **knowledge):
        ids, layout = torch.tensor([1, 2]), Layout.from_lengths([2])
        return token_columns(ids, layout, TABLE, Knowledge(**knowledge), (column,))

    for column, name in ("parse", "parser"), ("stem", "stems"):
        with pytest.raises(ModelError, match=rf"needs model\.knowledge\.{name}, .*None; make it"):
            need(column)
    for parse in ([0], [0]), ([0, 2], [0, 0]), ([0, 1], [0, 2]), ([0, 1], [0, -1]):
        with pytest.raises(ModelError, match="its word for each of the 2 tokens"):
            need("parse", parser=lambda ids, parse=parse: parse)


# ---- models under a pattern ---------------------------------------------------------------------


def slow_logits(model: nn.Module, documents: list[Tensor], pattern, blocks: range):
    """Logits of padded BERT with the pattern's masks at some blocks, and the masks."""
    batch = pad(documents)
    real = batch["attention_mask"].bool()
    hidden = model.encoder.embeddings(input_ids=batch["input_ids"])
    table = model.encoder.get_input_embeddings().weight.detach()
    masks = torch.zeros(len(documents), HEADS, *2 * real.shape[1:], dtype=torch.bool)
    for number, document in enumerate(documents):
        slow, size = slow_of(document.tolist(), table), len(document)
        for head in range(HEADS):
            masks[number, head, :size, :size] = slow.mask(pattern, head)
    for number, block in enumerate(model.encoder.encoder.layer):
        seen = masks if number in blocks else real[:, None, None]
        hidden = transform(block, attend(block, hidden, seen)[0])
    return classify(model, hidden, real.float()), masks


@pytest.mark.parametrize("blocks", ["small", "large"])
@every_pattern
def test_logits_and_gradients_are_those_under_explicit_masks(pattern, blocks, monkeypatch):
    if blocks == "small":  # so that there is a band to compute; else all pairs are, and masked
        monkeypatch.setattr(banded, "_SMALLEST", 4)
        monkeypatch.setattr(banded, "_LARGEST", 4)
    model = build(Plan("pattern", [Step(pattern, {"start": 1, "stop": 3})]), **QUIET).train()
    documents = tiny_ids([19, 7, 1, 30, 30])
    expected, masks = slow_logits(model, documents, pattern, range(1, 3))
    wanted = torch.autograd.grad(expected.sin().sum(), list(model.encoder.encoder.parameters()))
    logits = model(**pad(documents)).logits
    got = torch.autograd.grad(logits.sin().sum(), list(model.encoder.encoder.parameters()))
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        trace = model.eval()(**pad(documents), output_trace=True).trace
    for number, mask in enumerate(masks):
        for block in (1, 2):
            assert trace.blocks[block].connected[number] == mask.sum().item() / HEADS
    assert trace.blocks[0].connected is trace.blocks[3].connected is None


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
