"""The clock of `accelerate`: the ways to run the original, and cascades, in turns.

A cascade's speed hangs on the few texts that go on to the reference, so that the ratio of few texts
says little: as many are timed as a bounded number of seconds allows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tersely.bench import PackedContender, StockContender, take_turns
from tersely.classifier import Classifier

PATIENCE = 240.0  # seconds that the comparison takes, roughly
LEAST_TEXTS, MOST_TEXTS, LEAST_ROUNDS = 128, 512, 3
_TURN = 8  # times packed that a round of all takes: padded some 3 and 1.5, cascades below 1 each

PACKED = "packed"
WAYS = {
    "the original, padded in arrival order": "arrival",
    "the original, padded and sorted by length": "sorted",
}
"""The ways to run the original with transformers, and the order of the texts in each."""


def plan_clock(seconds: float, texts: int, rounds: int) -> tuple[int, int]:
    """Return how many texts and rounds there is time for, by what packed execution takes a text.

    Texts come first: fewer than `LEAST_ROUNDS` rounds are only if so few were asked for.

    Example:
        >>> plan_clock(0.001, 1000, 5), plan_clock(0.035, 1000, 5), plan_clock(0.5, 1000, 5)
        ((512, 5), (285, 3), (128, 3))
    """
    turn = _TURN * seconds
    fits = int(PATIENCE / (LEAST_ROUNDS * turn))
    texts = min(texts, MOST_TEXTS, max(LEAST_TEXTS, fits))
    return texts, min(rounds, max(LEAST_ROUNDS, int(PATIENCE / (turn * texts))))


def clock(
    original: Classifier,
    cascades: Mapping[str, Classifier],
    texts: Sequence[str],
    rounds: int,
    progress: Any = None,
) -> tuple[dict[str, list[float]], int, dict[str, list[float]]]:
    """Time every way to run a dense classifier on texts, cascades among them.

    Returns the seconds of each round, by the contender's name; how many texts get another label
    packed than padded by transformers; the shares of the texts that each cascade's stages answered.
    """
    contenders: list[Any] = [
        StockContender(
            original.model, original.tokenizer, name=way, order=order, max_length=original.limit
        )
        for way, order in WAYS.items()
    ]
    contenders.append(PackedContender(original, PACKED))
    contenders += [PackedContender(made, name) for name, made in cascades.items()]
    for contender in contenders:
        contender.prepare(texts)
    _, padded, packed = (original.decide(each.run()) for each in contenders[:3])
    shares = {}
    for name, made in cascades.items():
        answered = made.forward(made.encode(texts, tell=False)).stages
        counts = np.bincount(answered, minlength=len(made.torch_model().cascade.stages))
        shares[name] = (counts / len(texts)).tolist()
    # All ran once already.
    timings = take_turns(contenders, rounds, warmup=0, progress=progress)
    differs = sum(one != other for one, other in zip(padded, packed, strict=True))
    return {each.name: each.seconds for each in timings}, differs, shares
