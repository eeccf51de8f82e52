"""The band against masks over all pairs: contexts, gradients, and what is reported as computed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tersely.attention import Band, Connections, KeySet, Packing, ScoreRequest, banded, loop, padded
from tersely.ragged import Layout


@st.composite
def bands(draw):
    """A packing of documents, some tokens of which are gone, with a band over their positions."""
    sizes = draw(st.lists(st.sampled_from([0, 1, 6, 6, 13, 40]), min_size=1, max_size=4))
    sizes = sizes if any(sizes) else [3]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    positions = None
    if draw(st.booleans()):
        wild = draw(st.integers(0, 2))
        positions = torch.cat([_positions(size, wild, generator) for size in sizes])
    uneven, reach = draw(st.booleans()), draw(st.integers(0, 9))
    reaches = [reach + (number % 2 if uneven else 0) for number in range(len(sizes))]
    band = connections_of(sizes, positions, reaches, draw(st.integers(0, 3)))
    states = torch.randn(3, sum(sizes), 2, 4, generator=generator).double()
    return states, Packing(Layout.from_lengths(sizes), positions=positions, connections=band)


WINDOWS = st.sampled_from([None, None, 1, 4, 12])


def _positions(size, wild, generator):
    places = torch.randperm(2 * size + 1, generator=generator)[:size].sort().values
    if wild and size > wild:
        places[-wild:] = -1
    return places


def connections_of(sizes, positions, reaches, first) -> Connections:
    layout = Layout.from_lengths(sizes)
    places = layout.positions if positions is None else positions
    widths = torch.tensor(reaches)[layout.segment_ids]

    def sees(queries, keys):
        q, k = places[queries], places[keys]
        return ((q - k).abs() <= widths[queries]) | (q < first) | (k < first)

    return Connections(sees, Band(reaches, first, exact=True))


@settings(max_examples=60, deadline=None)
@given(case=bands(), window=WINDOWS, with_pattern=st.booleans())
def test_a_band_gives_what_masks_over_all_pairs_give(case, window, with_pattern):
    states, packing = case
    packing.window, packing.connections = window, packing.connections if with_pattern else None
    results = []
    for share in (9.0, -1.0):  # of the pairs, up to which a band pays: always, and never
        packing.pairs.clear()
        own = states.clone().requires_grad_()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {"_SMALLEST": 3, "_LARGEST": 5, "_PAYS": share}.items():
                patch.setattr(banded, name, value)
            out, _ = loop.attend(*own, packing, 0.5, 0.0)
            gradient = torch.autograd.grad(out.sin().sum(), own)[0]
            with torch.no_grad():
                quiet, _ = loop.attend(*own, packing, 0.5, 0.0)
        torch.testing.assert_close(quiet, out.detach())
        results.append((out.detach(), gradient, list(packing.pairs)))
    (band, slope, pairs), (masked, expected, none) = results
    torch.testing.assert_close(band, masked)
    torch.testing.assert_close(slope, expected)
    assert none == []
    if with_pattern or window is not None:
        sizes = packing.layout.sizes
        assert all(own <= size * size for own, size in zip(pairs, sizes, strict=True))


@pytest.mark.parametrize("attend", [padded.attend, padded.attend_dense])
@settings(max_examples=20, deadline=None)
@given(case=bands(), window=WINDOWS)
def test_other_back_ends_mask_the_same_pairs(attend, case, window):
    states, packing = case
    packing.window = window
    outcomes = [way(*states, packing, 0.5, 0.0)[0] for way in (loop.attend, attend)]
    torch.testing.assert_close(*outcomes)


@pytest.mark.parametrize("fields", [{"scores": ScoreRequest()}, {"keys": "all"}, {}])
def test_where_a_band_cannot_be_computed_all_pairs_are_masked(fields, monkeypatch):
    monkeypatch.setattr(banded, "attend", None)
    layout = Layout.from_lengths([300])
    dropout = 0.0 if fields else 0.1
    if "keys" in fields:
        fields = {"keys": KeySet.from_mask(torch.ones(300, dtype=torch.bool), layout)}
    packing = Packing(layout, connections=connections_of([300], None, [3], 1), **fields)
    loop.attend(*torch.randn(3, 300, 2, 4), packing, 1.0, dropout)
    assert packing.pairs == []


def test_nothing_but_the_bands_entries_is_made():
    """16,384 tokens: the square would take 2 GiB for each tensor of floats."""
    sizes = [16_384]
    packing = Packing(Layout.from_lengths(sizes), connections=connections_of(sizes, None, [16], 1))
    with torch.no_grad():
        out, _ = loop.attend(*torch.randn(3, 16_384, 2, 4), packing, 1.0, 0.0)
    assert out.shape == (16_384, 2, 4)
    assert packing.pairs == [banded.pairs(16_384, banded.Reach(16, 1, 0, True, 64))]
    # Each query meets its own block and one on each side, and the first token meets and is met.
    assert packing.pairs[0] <= 16_384 * (3 * 64 + 2)
