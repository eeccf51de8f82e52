"""Blocks named by number, by fraction and by range."""

from __future__ import annotations

import pytest

from tersely.errors import PlanError
from tersely.reduction import resolve_block, resolve_blocks


@pytest.mark.parametrize(
    ("layer", "depth", "block"),
    [
        (7 / 12, 12, 6),
        (7 / 12, 6, 3),
        (11 / 12, 24, 21),
        (0.5, 3, 1),
        (0.99, 12, 10),  # never the last block
        (0.01, 12, 0),  # never before the first
        (0.5, 1, 0),
        (0, 12, 0),
        (-1, 12, 11),
        (-12, 12, 0),
    ],
)
def test_a_number_or_a_fraction_stands_for_a_block(layer, depth, block):
    assert resolve_block(layer, depth) == block


@pytest.mark.parametrize(
    ("given", "blocks"),
    [
        (2, [2]),
        (-1, [5]),
        ([3, 1, -5], [1, 3]),
        ((0.5, 5), [2, 5]),
        ({"start": 1, "stop": 4}, [1, 2, 3]),
        ({"start": -2}, [4, 5]),
        ({"stop": -2}, [0, 1, 2, 3]),
        ({"start": 0, "stop": 7 / 12}, [0, 1, 2]),
        ({"start": 0.5, "stop": None}, [2, 3, 4, 5]),
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"start": 0, "stop": 0}, []),
    ],
)
def test_lists_and_ranges(given, blocks):
    assert resolve_blocks(given, 6) == blocks


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (6, "blocks must be a block of this encoder, 0 to 5 .*, got 6"),
        (-7, "blocks must be a block of this encoder, 0 to 5 .*, got -7"),
        ({"start": 6}, "blocks.start must be a block of this encoder.*, got 6"),
        ({"stop": -8}, "blocks.stop must be a block of this encoder.*, got -8"),
    ],
)
def test_blocks_that_are_not_there_are_refused(blocks, message):
    with pytest.raises(PlanError, match=message):
        resolve_blocks(blocks, 6)
