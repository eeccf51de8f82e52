"""The band against masks over all pairs: contexts, gradients, and what is reported as computed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tersely.attention import (
    Band,
    Connections,
    KeySet,
    Packing,
    ScoreRequest,
    banded,
    loop,
    packed_attention,
)
from tersely.ragged import Layout

HEADS, SIZE = 2, 4


@st.composite
def bands(draw):
    """Documents with positions that rise, some of them gone, and a band over the positions."""
    sizes = draw(st.lists(st.sampled_from([0, 1, 6, 6, 13, 40]), min_size=1, max_size=4))
    sizes = sizes if any(sizes) else [3]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    positions = None
    if draw(st.booleans()):
        wild = draw(st.integers(0, 2))
        positions = torch.cat([_positions(size, wild, generator) for size in sizes])
    reach, first = draw(st.integers(0, 9)), draw(st.integers(0, 3))
    window = draw(st.sampled_from([None, None, 1, 4, 12]))
    uneven = draw(st.booleans())
    reaches = [reach + (number % 2 if uneven else 0) for number in range(len(sizes))]
    return sizes, positions, reaches, first, window, generator


def _positions(size, wild, generator):
    places = torch.randperm(2 * size + 1, generator=generator)[:size].sort().values
    if wild and size > wild:
        places[-wild:] = -1
    return places


def connections_of(sizes, positions, reaches, first, exact=True) -> Connections:
    layout = Layout.from_lengths(sizes)
    places = layout.positions if positions is None else positions
    widths = torch.tensor(reaches)[layout.segment_ids]

    def sees(queries, keys):
        q, k = places[queries], places[keys]
        near = (q - k).abs() <= widths[queries]
        return near | (q < first) | (k < first)

    return Connections(sees, Band(reaches, first, exact))


def attend(case, pays, with_pattern=True):
    sizes, positions, reaches, first, window, generator = case
    states = torch.randn(3, sum(sizes), HEADS, SIZE, generator=generator).double()
    results = []
    for share in pays:
        own = states.clone().requires_grad_()
        connections = connections_of(sizes, positions, reaches, first) if with_pattern else None
        packing = Packing(Layout.from_lengths(sizes), positions=positions, connections=connections)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(banded, "_SMALLEST", 3)
            patch.setattr(banded, "_LARGEST", 5)
            patch.setattr(banded, "_PAYS", share)
            out, _ = loop.attend(*own, packing, scaling=0.5, window=window)
            gradient = torch.autograd.grad(out.sin().sum(), own)[0]
            with torch.no_grad():
                quiet, _ = loop.attend(*own, packing, scaling=0.5, window=window)
        torch.testing.assert_close(quiet, out.detach())
        results.append((out.detach(), gradient, packing.pairs))
    return results


@settings(max_examples=150, deadline=None)
@given(case=bands(), with_pattern=st.booleans())
def test_a_band_gives_what_masks_over_all_pairs_give(case, with_pattern):
    (band, slope, pairs), (masked, expected, none) = attend(case, (9.0, -1.0), with_pattern)
    torch.testing.assert_close(band, masked)
    torch.testing.assert_close(slope, expected)
    assert none == []
    if with_pattern or case[4] is not None:
        whole = [size * size for size in case[0]]
        assert all(own <= most for own, most in zip(pairs, whole, strict=True))


def test_gradients_are_those_of_finite_differences(monkeypatch):
    monkeypatch.setattr(banded, "_SMALLEST", 3)
    monkeypatch.setattr(banded, "_LARGEST", 3)
    monkeypatch.setattr(banded, "_PAYS", 9.0)
    sizes = [7, 7, 3]
    packing = Packing(
        Layout.from_lengths(sizes), connections=connections_of(sizes, None, [2] * 3, 1)
    )
    states = [torch.randn(17, 2, 3, dtype=torch.double, requires_grad=True) for _ in range(3)]
    assert torch.autograd.gradcheck(
        lambda *own: loop.attend(*own, packing, scaling=0.4)[0], states, raise_exception=True
    )
    assert packing.pairs[0] < 49


def test_pairs_of_long_documents_grow_with_their_length_and_not_its_square():
    reach = banded.Reach(64, 1, 0, True, 64)
    short, long = banded.pairs(2048, reach), banded.pairs(4096, reach)
    assert long == pytest.approx(2 * short, rel=0.02)
    # Each query meets its own block and one on each side, and the first token meets and is met.
    assert long <= 4096 * (3 * 64 + 2)


@pytest.mark.parametrize("fields", [{"scores": ScoreRequest()}, {"keys": "all"}, {"dropout": True}])
def test_where_a_band_cannot_be_computed_all_pairs_are_masked(fields, monkeypatch):
    monkeypatch.setattr(banded, "attend", None)
    layout = Layout.from_lengths([300])
    options = {"dropout": 0.1} if fields.pop("dropout", None) else {}
    if "keys" in fields:
        fields = {"keys": KeySet.from_mask(torch.ones(300, dtype=torch.bool), layout)}
    packing = Packing(layout, connections=connections_of([300], None, [3], 1), **fields)
    states = torch.randn(3, 300, 2, 4)
    loop.attend(*states, packing, scaling=1.0, **options)
    assert packing.pairs == []


def test_nothing_but_the_bands_entries_is_made():
    """16,384 tokens: the square would take 2 GiB for each tensor of floats."""
    sizes = [16_384]
    packing = Packing(Layout.from_lengths(sizes), connections=connections_of(sizes, None, [16], 1))
    states = torch.randn(3, 16_384, 2, 4)
    with torch.no_grad():
        out, _ = loop.attend(*states, packing, scaling=1.0)
    assert out.shape == (16_384, 2, 4) and packing.pairs == [
        banded.pairs(16_384, banded.Reach(16, 1, 0, True, 64))
    ]


# ---- other back ends ---------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["dense", "padded"])
@settings(max_examples=40, deadline=None)
@given(case=bands())
def test_other_back_ends_mask_the_same_pairs(backend, case):
    sizes, positions, reaches, first, window, generator = case
    states = torch.randn(3, sum(sizes), HEADS, SIZE, generator=generator).double()
    results = []
    for name in ("loop", backend):
        connections = connections_of(sizes, positions, reaches, first)
        packing = Packing(
            Layout.from_lengths(sizes), positions=positions, connections=connections, backend=name
        )
        query, key, value = (part.transpose(0, 1)[None] for part in states)
        out, _ = packed_attention(None, query, key, value, sliding_window=window, packing=packing)
        results.append(out)
    torch.testing.assert_close(*results)
