"""The stream of living tokens: its ends, and what leaves it."""

import torch

from tersely.ragged import Layout
from tersely.reduction import DropKeys, DropTokens, Stream

# Two documents with one combination token each; the second has lost its tokens 1 and 3 before.
ORIGINS = torch.tensor([0, 1, 2, -1, 0, 2, 4, -1])


def make_stream() -> Stream:
    return Stream(torch.arange(8.0)[:, None], Layout.from_lengths([4, 4]), ORIGINS)


def losers(rows: list[int], heads: int = 1, head: int = 0) -> torch.Tensor:
    mask = torch.zeros(8, heads, dtype=torch.bool)
    mask[rows, head] = True
    return mask


def test_what_is_known_of_the_tokens():
    """Ends are the first and last own tokens; combination tokens stand at place zero."""
    stream = make_stream()
    assert stream.ends().nonzero()[:, 0].tolist() == [0, 2, 4, 6]
    assert stream.positions.tolist() == [0, 1, 2, 0, 0, 2, 4, 0]
    assert stream.embedded.tolist() == [True, True, True, False] * 2


def test_dropped_keys_stay_as_queries_and_do_not_return():
    stream = DropKeys().apply(make_stream(), losers([1]), None)
    stream = DropKeys().apply(stream, losers([5]), None)
    assert stream.layout.sizes == [4, 4]
    assert (~stream.key_mask).nonzero()[:, 0].tolist() == [1, 5]


def test_dropped_tokens_are_gone_and_the_keys_follow():
    stream = make_stream().drop_keys(losers([2, 5]))
    stream = DropTokens().apply(stream, losers([1, 2, 6]), None)
    assert stream.layout.sizes == [2, 3]
    assert stream.origins.tolist() == [0, -1, 0, 2, -1]
    assert stream.hidden[:, 0].tolist() == [0, 3, 4, 5, 7]
    assert stream.key_mask.tolist() == [True, True, True, False, True]
