"""Selectors agree with slow ones on lists, for any lengths, heads, ties and pins."""

from dataclasses import replace
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slow_selection import RULES, Document, kept, slow_losers
from tersely.methods.focus import FuzzyRatio
from tersely.methods.lat import LengthDrop
from tersely.methods.topk import LinearRatio
from tersely.ragged import Layout
from tersely.reduction import Candidates, Ratio, Threshold

KEEPS = st.sampled_from([0.05, 0.1, 0.25, 0.3, 0.5, 0.7, 0.9, 1.0]) | st.floats(0.01, 1)
# Tokens that every document has lost before.
LOST = 3


@st.composite
def documents(draw: st.DrawFn) -> list[Document]:
    heads = draw(st.integers(1, 3))
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    # Few different scores, so that many are equal.
    levels = draw(st.integers(1, 20))
    chance = Random(draw(st.integers(0, 1 << 30)))
    return [
        Document(
            [[chance.randrange(levels) for _ in range(heads)] for _ in range(length)],
            [[chance.random() < 0.7 for _ in range(heads)] for _ in range(length)],
            [chance.random() < 0.3 for _ in range(length)],
        )
        for length in lengths
    ]


def as_candidates(cases: list[Document]) -> Candidates:
    layout = Layout.from_lengths([len(case.pinned) for case in cases])
    return Candidates(
        torch.tensor([row for case in cases for row in case.scores], dtype=torch.float32),
        torch.tensor([row for case in cases for row in case.alive]),
        torch.tensor([flag for case in cases for flag in case.pinned]),
        layout,
        layout.lengths + LOST,
    )


SELECTORS = {
    "ratio": Ratio(least=1),
    "block": FuzzyRatio(least=1),
    "complement": FuzzyRatio(least=1, reading="complement"),
    "length-drop": LengthDrop(least=1),
}


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=40, deadline=None)
@given(cases=documents(), keep=KEEPS)
def test_selectors_agree_with_slow_ones(rule, cases, keep):
    candidates, selector = as_candidates(cases), replace(SELECTORS[rule], keep=keep)
    losers = selector.losers(candidates)
    assert losers.tolist() == [row for case in cases for row in slow_losers(case, rule, keep)]
    assert not (losers & ~candidates.alive).any() and not losers[candidates.pinned].any()
    left = replace(candidates, alive=candidates.alive & ~losers).counts
    assert ((left > 0) | (candidates.counts == 0)).all()
    # The head with most of them keeps what was said before.
    assert (left.amax(1) + 1 > selector.share_left * candidates.counts.amax(1) - 1e-6).all()


@given(documents(), st.integers(1, 4))
def test_what_rises_by_block(cases, block):
    """Keep rates are of a document's first tokens; thresholds leave the best token."""
    candidates = as_candidates(cases)
    living, free = candidates.counts, candidates.layout.count(candidates.free)
    linear = LinearRatio(least=1, keep=0.2).at_block(block, 4)
    gone = candidates.layout.count(linear.losers(candidates))
    share = 1 - 0.8 * block / 4
    stay = [kept(share * (len(case.pinned) + LOST)) for case in cases]
    wanted = (living - torch.tensor(stay)[:, None]).clamp(min=0)
    assert torch.equal(gone, torch.minimum(wanted, free))

    losers = Threshold(least=1, threshold=8.0).at_block(block, 4).losers(candidates)
    low = candidates.free & (candidates.scores < 2 * block)
    assert not (losers & ~low).any()
    wanted = torch.minimum(candidates.layout.count(low), (living - 1).clamp(min=0))
    assert torch.equal(candidates.layout.count(losers), wanted)


@pytest.mark.parametrize(
    ("selector", "scores", "pinned", "gone"),
    [
        # In floats 0.7 · 90 is 62.99…; of equal tokens the earlier ones stay.
        (Ratio(least=1, keep=0.7), [1.0] * 90, (), list(range(63, 90))),
        # Unsafe are the three zeros, of which two are pinned, and no safe one goes in their place.
        (FuzzyRatio(least=1, keep=0.1), [0, 0, 5, 6, 7, 8, 9, 10, 11, 0], (0, 9), [1]),
        (FuzzyRatio(least=1, reading="complement", pin="none"), [1.0], (), []),
        # Unsafe are S ≤ 9.75 + 0.1 · 19.5, twelve tokens: four of forty go, or two of twelve.
        (FuzzyRatio(least=1, reading="block"), range(40), (), [0, 1, 2, 3]),
        (FuzzyRatio(least=1, reading="complement"), range(40), (), [0, 1]),
        (Threshold(least=1, threshold=50.0, pin="none"), [3, 7, 5], (), [0, 2]),
    ],
)
def test_who_goes(selector, scores, pinned, gone):
    case = Document(
        [[score] for score in scores],
        [[True] for _ in scores],
        [place in pinned for place in range(len(scores))],
    )
    assert selector.losers(as_candidates([case])).nonzero()[:, 0].tolist() == gone
