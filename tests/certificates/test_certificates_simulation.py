"""The whole procedure on synthetic draws, the search included: choose a path, then prove on it.

A document's doubt is uniform on [0, 1], and a stage answers those below a threshold. What goes
wrong among them is a density over the doubt, so that the true risk of every threshold is known.
"""

import functools

import numpy as np
import pytest

from tersely.cascade import find_path
from tersely.certificates import path as path_room
from tersely.certificates import surest_point
from tersely.certificates.netloss import net_loss_p_value
from tersely.certificates.path import loosest_proven

DRAWS, CHOOSING, PROVING, POINTS = 2000, 800, 1500, 50
GRID = np.linspace(0, 1, 4001)


class World:
    """Chances that a document turns wrong, and right, by its doubt."""

    def __init__(self, wrong, right=lambda doubt: 0 * doubt):
        self.densities = wrong, right
        middles = (GRID[1:] + GRID[:-1]) / 2
        self.risks = [
            np.append(0, np.cumsum(each(middles)) / len(middles)) for each in (wrong, right)
        ]

    def risk(self, threshold, among_answered=False):
        """The true risk of a threshold."""
        wrong, right = (np.interp(threshold, GRID, each) for each in self.risks)
        return (wrong - right) / (np.maximum(threshold, 1e-9) if among_answered else 1)

    def draw(self, generator, documents):
        """Documents in order of their doubt: doubt, who turns wrong, who right."""
        doubt = np.sort(generator.random(documents))
        luck = generator.random(documents)
        wrong, right = (each(doubt) for each in self.densities)
        return doubt, luck < wrong, (luck >= wrong) & (luck < wrong + right)


def counts(path, doubt, marks):
    """How many of the marked documents each threshold of a path answers."""
    return np.append(0, np.cumsum(marks))[np.searchsorted(doubt, path, side="right")]


def choose_path(doubt, bad, limit):
    """Thresholds around where the documents for choosing put the limit."""
    share = np.cumsum(bad) / len(bad)
    start, end = (np.searchsorted(share, each) for each in (limit / 5, 3 * limit))
    return np.quantile(doubt, np.linspace(start, min(end, len(doubt) - 1), POINTS) / len(doubt))


def search_path(doubt, bad, limit):
    """The path that the search finds for one stage, a hundredth as dear as the reference."""
    found = find_path(1 - doubt[None], bad[None].astype(float), np.array([0.01, 1.0]))
    return 1 - found.thresholds[:, 0]


def simulate(
    world, limit, criterion="disagreement", draws=DRAWS, proving=PROVING, choose=choose_path
):
    """How often the limit is broken, and how often something is proven."""
    generator, broken, proven = np.random.default_rng(7), 0, 0
    for _ in range(draws):
        doubt, wrong, right = world.draw(generator, CHOOSING)
        path = choose(doubt, wrong, limit)
        if criterion == "error":
            path = np.quantile(doubt, np.arange(1, POINTS + 1) / POINTS)
            early = doubt <= path[:, None]
            path = path[surest_point(early, early & wrong) :]
        doubt, wrong, right = world.draw(generator, proving)
        answered = counts(path, doubt, np.ones(proving))
        documents = answered if criterion == "error" else np.full(len(path), proving)
        gains = counts(path, doubt, right) if criterion == "loss" else None
        point = loosest_proven(documents, counts(path, doubt, wrong), gains, limit)
        proven += point >= 0
        broken += point >= 0 and world.risk(path[point], criterion == "error") > limit
    return broken / draws, proven / draws


def at_once(risk):
    """All that goes wrong does so among the surest: the risk is the same along the path."""
    return World(lambda doubt: np.where(doubt < 0.1, 10 * risk, 0))


@pytest.mark.parametrize("steep", [0, 1, 4])
@pytest.mark.parametrize("worst", [0.02, 0.1])
def test_a_limit_on_disagreement_holds(steep, worst):
    broken, proven = simulate(World(lambda doubt: worst * (steep + 1) * doubt**steep), 0.01)
    assert broken <= 0.065
    assert proven > 0.5


def test_at_the_hardest_risk_the_limit_is_broken_but_rarely():
    broken, _ = simulate(at_once(0.01001), 0.01)
    assert 0.01 < broken <= 0.065


@pytest.mark.slow
def test_a_limit_holds_along_the_path_that_the_search_finds():
    growing = World(lambda doubt: 0.2 * doubt**4)
    broken, proven = simulate(growing, 0.01, draws=400, choose=search_path)
    assert broken <= 0.08 and proven > 0.5  # 0.05 with three standard deviations of 400 draws
    broken, _ = simulate(at_once(0.01001), 0.01, draws=400, choose=search_path)
    assert broken <= 0.08


def test_a_limit_on_the_error_of_what_is_answered_holds():
    for world in (World(lambda doubt: 0.2 * doubt**2), World(lambda doubt: 0.04 * (doubt > 0.3))):
        broken, proven = simulate(world, 0.02, "error")
        assert broken <= 0.065
        assert proven > 0.5
    broken, _ = simulate(World(lambda doubt: 0.0201 + 0 * doubt), 0.02, "error")
    assert 0.01 < broken <= 0.065


@pytest.mark.slow
def test_a_limit_on_the_net_loss_holds(monkeypatch):
    monkeypatch.setattr(path_room, "net_loss_p_value", functools.cache(net_loss_p_value))
    growing = World(lambda doubt: 0.24 * doubt**3, lambda doubt: 0.02 + 0 * doubt)
    flat = World(
        lambda doubt: np.where(doubt < 0.1, 0.35, 0), lambda doubt: np.where(doubt < 0.1, 0.149, 0)
    )
    broken, proven = simulate(growing, 0.02, "loss", proving=600)
    assert broken <= 0.065
    assert proven > 0.5
    broken, _ = simulate(flat, 0.02, "loss", proving=600)
    assert 0.01 < broken <= 0.065


def test_choosing_on_the_documents_that_prove_would_break_the_limit():
    """What the sequence and the apart documents are for: the best of many points proves nothing."""
    generator, broken = np.random.default_rng(0), 0
    for _ in range(500):
        wrong = generator.random((POINTS, 1500)) < 0.0105
        passes = [loosest_proven([1500], [each.sum()], None, 0.01) == 0 for each in wrong]
        broken += any(passes)
    assert broken / 500 > 0.5
