"""The decision: what the search found, timed against the ways to run the original.

Packed execution of the original alone, which changes no label by design, is always among the
candidates, and remains where nothing else is proven to be faster.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tersely._io import describe_machine
from tersely.bench import PackedContender, StockContender, paired_ratio, take_turns
from tersely.classifier import Classifier
from tersely.errors import ModelError, TerselyWarning
from tersely.search import Found, check_original, find_cascade
from tersely.text import Documents

GAIN = 1.05
"""The least speed-up, at the lower end of its interval, that is worth another model, or a cascade
in the place of packed execution alone."""

TIMED = 128
"""Texts that the clock runs."""

VERSION = 4
PACKED, CASCADE = "packed", "cascade"

WAYS = {
    "the original, padded in arrival order": "arrival",
    "the original, padded and sorted by length": "sorted",
}
"""The ways to run the original with transformers, and the order of the texts in each."""


def _timed(
    original: Classifier, made: Classifier | None, texts: list[str], rounds: int
) -> tuple[dict[str, list[float]], int]:
    """Return the seconds of each way to run the original, packed, and the choice, in turns.

    And how many of these texts get another label packed than padded by transformers.
    """
    contenders: list[Any] = [
        StockContender(
            original.model, original.tokenizer, name=way, order=order, max_length=original.limit
        )
        for way, order in WAYS.items()
    ]
    contenders.append(PackedContender(original, PACKED))
    if made is not None:
        contenders.append(PackedContender(made, CASCADE))
    for contender in contenders:
        contender.prepare(texts[:TIMED])
    padded, packed = (original.decide(each.run()) for each in contenders[1:3])
    differing = sum(one != other for one, other in zip(padded, packed, strict=True))
    return {each.name: each.seconds for each in take_turns(contenders, rounds)}, differing


# ---- the whole ---------------------------------------------------------------------------------


def accelerate(
    source: str | Path | Classifier,
    texts: Sequence[str],
    labels: Sequence[Any] | None = None,
    *,
    limit: float = 0.005,
    rounds: int = 5,
    seed: int = 0,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[dict[str, Any], Classifier | None]:
    """Find the fastest way to run a fine-tuned classifier that can be proven to keep a limit.

    Args:
        source: a dense classifier, of transformers or of tersely: a directory, a Hub name, or one
            that is loaded.
        texts: documents like those that it will read; it should not have been trained on them.
        labels: their labels; the limit is then on the net loss: documents that turn wrong, less
            those that turn right.
        limit: the share that is allowed: of other predictions than the original's, or of net loss.
        rounds: turns of each in the final comparison.
        seed: of the draw of the parts.
        tell: called with a line about each step.

    Returns:
        The evidence as JSON has it, and the classifier that was chosen, with its cascade in its
        configuration, ready for `save`; None if the `"answer"` is to keep the original. `"speed"`
        is the choice's over each way to run the original, `"packed_speed"` that of packed
        execution, which is the reference of the cascade.

    Raises:
        DataError: if there are too few texts to prove the limit, or labels that the model does not
            know.
        ModelError: if the original is no dense classifier, or reads long documents otherwise than
            cut at their end.
    """
    original = source
    if not isinstance(original, Classifier):
        original = Classifier.from_pretrained(original)
    check_original(original)
    if (alone := original.alone()) is not original:
        tell("of the cascade the encoder alone is made faster, without the linear stage's evidence")
        original = alone
    long = original.model_config.long
    if long != "truncate":
        raise ModelError(
            f"{original.source} reads long documents by {long!r}, and accelerate compares with "
            "transformers, which cut them at their end; save it with long='truncate' if that is "
            "how it is used"
        )
    documents = Documents.from_lists(texts, labels)
    found = find_cascade(original, documents, limit=limit, seed=seed, tell=tell)
    made, cascade = None, found.cascade
    if cascade is not None:
        tell("; ".join(cascade.certificates.lines()[:1]))
    if found.model is not None:
        made = original.with_model(found.model)
    chosen = found.parts["choosing"].texts
    with warnings.catch_warnings():  # how many texts are too long was said of these
        warnings.simplefilter("ignore", TerselyWarning)
        seconds, differing = _timed(original, made, chosen, rounds)
    speed = {
        name: {way: asdict(paired_ratio(seconds[name], seconds[way])) for way in WAYS}
        for name in seconds
        if name not in WAYS
    }
    over = {} if made is None else asdict(paired_ratio(seconds[CASCADE], seconds[PACKED]))
    gains = {
        name: all(ratio["interval"][0] >= GAIN for ratio in ways.values())
        for name, ways in speed.items()
    }
    if made is not None and over["interval"][0] >= GAIN and gains[CASCADE]:
        answer, kept = CASCADE, made
    else:
        answer, kept = (PACKED, original) if gains[PACKED] else (None, None)
    evidence = {
        "version": VERSION,
        "model": Path(original.source).resolve().name,  # no path
        "answer": "keep" if answer is None else "faster",
        "chosen": answer or PACKED,
        "reason": _reason(answer, found),
        "limit": limit,
        "criterion": found.bench.referee.criterion,
        "texts": {"given": len(texts)} | {name: len(own) for name, own in found.parts.items()},
        "stages": None if cascade is None else [stage.name for stage in cascade.stages],
        "certificates": None if cascade is None else cascade.certificates.to_dict(),
        "linear": found.linear,
        "tried": [
            {"name": each.name, "seconds_ratio": found.seconds / each.seconds}
            for each in found.ranked
        ],
        "speed": speed[answer or PACKED],
        "packed_speed": speed[PACKED],
        "packed_differs": differing,
        "over_packed": over or None,
        "seconds": seconds,
        "timed_documents": min(TIMED, len(chosen)),
        "machine": describe_machine(),
    }
    return evidence, kept


def _reason(answer: str | None, found: Found) -> str:
    """Return the decision in a sentence."""
    if answer == CASCADE:
        return f"Faster: {found.ranked[0].name}"
    why = found.why_not
    if found.model is not None:
        why = "the cascade is not enough faster than packed execution"
    if answer == PACKED:
        return f"Faster: packed, which changes no label; {why}"
    return f"No gain here: keep the original; {why}"
