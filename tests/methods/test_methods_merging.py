"""Merging, pooling and fusing against slow versions, one document and one token at a time."""

import math
from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from tersely.methods.contrib.diversity import Diversify
from tersely.methods.contrib.mergence import Absorb
from tersely.methods.fca import Fuse
from tersely.methods.pool import Pool
from tersely.methods.tome import Merge
from tersely.ragged import Layout
from tersely.reduction import Stream

WIDTH = 3


@st.composite
def streams(draw) -> Stream:
    """Documents of own tokens, some with combination tokens behind, sizes known or not."""
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    extra = draw(st.sampled_from([0, 2]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1 << 16)))
    layout = Layout.from_lengths([length + extra for length in lengths])
    origins = [place for n in lengths for place in [*range(n), *[-1] * extra]]
    weights = None
    if draw(st.booleans()):
        weights = torch.randint(1, 4, (layout.tokens,), generator=generator).float()
    hidden = torch.randn(layout.tokens, WIDTH, generator=generator)
    return Stream(
        hidden, layout, torch.tensor(origins), lengths=torch.tensor(lengths), weights=weights
    )


def documents(stream: Stream) -> list[range]:
    ends = stream.layout.offsets.tolist()
    return [range(first, last) for first, last in zip(ends[:-1], ends[1:], strict=True)]


def assert_groups(stream: Stream, merged: Stream, groups: list[list[int]], shares=None) -> None:
    """`groups`: the rows that became one, in the order of what came out, the leader first."""
    sizes = [1.0] * len(stream.hidden) if stream.weights is None else stream.weights.tolist()
    for row, members in enumerate(groups):
        counts = [sizes[i] * (1.0 if shares is None else shares[i]) for i in members]
        pairs = zip(counts, members, strict=True)
        mean = sum(c * stream.hidden[i] for c, i in pairs) / sum(counts)
        torch.testing.assert_close(merged.hidden[row], mean, rtol=1e-5, atol=1e-5)
        assert merged.weights[row].item() == sum(sizes[i] for i in members)
        assert merged.origins[row] == stream.origins[members[0]]
        assert all(merged.groups[i] == row for i in members)
    assert len(merged.hidden) == len(groups)
    counts = [sum(members[0] in span for members in groups) for span in documents(stream)]
    assert merged.layout.sizes == counts


def matched(even: list[int], odd: list[int], keys: torch.Tensor, share: float) -> dict[int, int]:
    """Bipartite soft matching, as the paper tells it: who of the one half goes into whom."""
    best = {}
    for i in even if odd else []:
        likeness = [torch.cosine_similarity(keys[i], keys[j], dim=0).item() for j in odd]
        best[i] = (max(likeness), odd[likeness.index(max(likeness))])
    ranked = sorted(best, key=lambda i: -best[i][0])
    return {i: best[i][1] for i in ranked[: math.floor(share + 1e-9)]}


def grouped(goes: dict[int, int], tokens: int) -> list[list[int]]:
    """Who became one, by who goes into whom."""
    rows = range(tokens)
    return [[i] + [j for j in rows if goes.get(j) == i] for i in rows if i not in goes]


def draw_losers(stream: Stream, data) -> tuple[list[bool], list[float]]:
    """Some of the own tokens, and scores of all."""
    lost = [flag and data.draw(st.booleans()) for flag in stream.embedded.tolist()]
    return lost, [data.draw(st.floats(0.1, 3)) for _ in lost]


@given(streams(), st.sampled_from([0.0, 0.2, 0.5]), st.integers(0, 99))
def test_merging_the_most_similar(stream, ratio, seed):
    keys = torch.randn(stream.layout.tokens, 4, generator=torch.Generator().manual_seed(seed))
    merged = Merge(least=1, ratio=ratio).apply(stream, None, keys)
    goes: dict[int, int] = {}
    for span in documents(stream):
        own = [i for i in span if stream.origins[i] >= 0]
        goes |= matched(own[2::2], own[1::2], keys, ratio * len(own))
    assert_groups(stream, merged, grouped(goes, stream.layout.tokens))


@given(streams(), st.sampled_from([0.01, 0.25, 0.5, 0.7, 1.0]))
def test_pooling_neighbours(stream, keep):
    groups = []
    for span in documents(stream):
        own = [i for i in span if stream.origins[i] >= 0]
        first, rest = own[0], own[1:]
        left = max(1, math.ceil(keep * len(rest) - 1e-9)) if rest else 0
        stretches = [
            [i for place, i in enumerate(rest) if place * left // len(rest) == g]
            for g in range(left)
        ]
        groups += [[first], *stretches, *[[i] for i in span if stream.origins[i] < 0]]
    assert_groups(stream, Pool(least=1, keep=keep).apply(stream, None, None), groups)


@given(streams(), st.integers(1, 3), st.booleans(), st.data())
def test_fusing_the_tail(stream, tokens, weighted, data):
    lost, scores = draw_losers(stream, data)
    groups = []
    for span in documents(stream):
        tail = [i for i in span if lost[i]]
        parts: dict[int, list[int]] = {}
        for rank, i in enumerate(tail):
            parts.setdefault(rank * tokens // len(tail), []).append(i)
        heads = {members[0]: members for members in parts.values()}
        groups += [heads.get(i, [i]) for i in span if not lost[i] or i in heads]
    fused = Fuse(tokens=tokens, weighted=weighted).apply(
        stream, torch.tensor(lost)[:, None], torch.tensor(scores)[:, None]
    )
    # Only among the tail do the scores matter, and a group of one is itself whatever its share.
    assert_groups(stream, fused, groups, scores if weighted else None)


@given(streams(), st.data())
def test_absorbing_into_the_likest_that_stays(stream, data):
    lost, scores = draw_losers(stream, data)
    goes: dict[int, int] = {}
    for span in documents(stream):
        lost[span.start] = False  # as [CLS] is pinned
        own = [i for i in span if stream.origins[i] >= 0 and not lost[i]]
        into = [i for i in own if i != span.start] or own
        for i in span:
            if lost[i]:
                pairs = [torch.cosine_similarity(*stream.hidden[[i, j]], dim=0) for j in into]
                goes[i] = into[int(torch.stack(pairs).argmax())]
    absorbed = Absorb().apply(stream, torch.tensor(lost)[:, None], torch.tensor(scores)[:, None])
    assert_groups(stream, absorbed, grouped(goes, len(lost)), scores)


def peaks(states: torch.Tensor, lost: list[int], share: float) -> dict[int, int]:
    """Density peaks of some rows, as the paper tells it: the peak that each row goes to."""
    if not lost:
        return {}
    far = {(i, j): (states[i] - states[j]).square().sum().item() for i in lost for j in lost}
    mean = {i: sum(far[i, j] for j in lost) / len(lost) for i in lost}
    scale = max(sum(mean.values()) / len(lost), 1e-12)
    density = {i: math.exp(-mean[i] / scale) for i in lost}
    gap = {}
    for i in lost:
        denser = [j for j in lost if density[j] > density[i]]
        gap[i] = min((far[i, j] for j in denser), default=max(far[i, j] for j in lost))
    count = max(1, math.floor(share * len(lost) + 1e-9))
    chosen = sorted(lost, key=lambda i: -density[i] * gap[i])[:count]
    return {i: min(chosen, key=lambda j: far[i, j]) for i in lost if i not in chosen}


@given(streams(), st.sampled_from([0.0, 0.4, 0.8]), st.sampled_from([0.0, 0.3, 0.5]), st.data())
def test_clustering_the_losers_and_matching_the_others(stream, clusters, share, data):
    # In double precision, and sets of two aside: two tokens are equally dense.
    stream = replace(stream, hidden=stream.hidden.double())
    lost, scores = draw_losers(stream, data)
    goes: dict[int, int] = {}
    for span in documents(stream):
        lost[span.start] = False
        own = [i for i in span if stream.origins[i] > 0]
        if sum(lost[i] for i in own) == 2:
            lost[next(i for i in own if lost[i])] = False
        goes |= peaks(stream.hidden, [i for i in own if lost[i]], clusters)
        stays = [i for i in own if not lost[i]]
        goes |= matched(stays[::2], stays[1::2], stream.hidden, share * len(stays))
    action = Diversify(clusters=clusters, matched=share, least=1)
    merged = action.apply(stream, torch.tensor(lost)[:, None], torch.tensor(scores)[:, None])
    assert_groups(stream, merged, grouped(goes, len(lost)), scores)
