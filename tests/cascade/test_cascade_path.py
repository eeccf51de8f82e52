"""The path of thresholds: from strict to loose, and at each point the cheapest that it allows."""

import itertools

import numpy as np
import pytest

from tersely.cascade import find_path, marks


def drawn(seed, stages=2, documents=400):
    """Stages that are right where they are sure, the second more often than the first."""
    chance = np.random.default_rng(seed)
    sure = chance.uniform(size=(stages, documents))
    error = (1 - sure) ** 2 * np.array([0.6, 0.3])[:stages, None]
    return sure, chance.uniform(size=sure.shape) < error


@pytest.mark.parametrize("stages", [1, 2])
def test_paths_go_from_strict_to_loose_and_get_cheaper(stages):
    sure, differs = drawn(0, stages)
    seconds = np.array([0.01, 0.2, 1.0])[[*range(stages), -1]]
    path = find_path(sure, differs, seconds)
    assert (np.diff(path.thresholds, axis=0) <= 0).all()
    assert (np.diff(path.seconds) < 0).all() and path.seconds[0] < seconds[-1]
    early, _ = marks(path.thresholds, sure, differs)
    assert (early[1:] >= early[:-1]).all()
    assert path.seconds[-1] < 0.5 * seconds[-1]


@pytest.mark.parametrize("documents", [60, 400, 2000])
def test_each_point_is_about_as_much_faster_as_the_one_before_was(documents):
    sure, differs = drawn(1, documents=documents)
    path = find_path(sure, differs, np.array([0.01, 0.3, 1.0]))
    assert 30 <= len(path.seconds) <= 50
    steps = np.diff(np.log(path.seconds))
    assert -steps.min() < 2 * np.log(path.seconds[0] / path.seconds[-1]) / 49 + 3 / documents**0.5


def test_the_last_point_with_so_many_changes_is_nearly_the_cheapest_that_has_no_more():
    sure, differs = drawn(1, documents=60)
    seconds = np.array([0.01, 0.3, 1.0])
    path = find_path(sure, differs, seconds)
    grids = [np.unique([1.0, *np.quantile(row, np.linspace(0, 1, 40))]) for row in sure]
    least = np.inf
    for pair in itertools.product(*grids):
        cost = changes = 0.0
        for number in range(60):
            for stage in range(2):
                if pair[stage] >= 1:
                    continue
                cost += seconds[stage]
                if sure[stage, number] > pair[stage]:
                    changes += differs[stage, number]
                    break
            else:
                cost += seconds[2]
        if changes == 0:
            least = min(least, cost / 60)
    early, changed = marks(path.thresholds, sure, differs)
    last = np.flatnonzero(changed.sum(1) == 0)[-1]
    assert least - 1e-9 <= path.seconds[last] <= 1.15 * least
    assert (np.diff(early.sum(1)) >= 0).all()


def test_a_stage_that_is_too_dear_is_left_out():
    sure, differs = drawn(2)
    path = find_path(sure, differs, np.array([0.01, 5.0, 1.0]))
    assert (path.thresholds[:, 1] == 1).all()
    assert (path.thresholds[-1, 0] < 1).all()
