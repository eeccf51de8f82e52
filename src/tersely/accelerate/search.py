"""The decision: what the search found, timed against the ways to run the original.

Packed execution of the original alone, which changes no label by design, is always among the
candidates, and remains where nothing else is proven to be faster.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tersely._io import describe_machine
from tersely.accelerate.clock import PACKED, WAYS, clock, plan_clock
from tersely.accelerate.evidence import verdict
from tersely.bench import paired_ratio
from tersely.cascade import LINEAR
from tersely.classifier import Classifier
from tersely.errors import ModelError, TerselyWarning
from tersely.search import Found, find_cascade
from tersely.text import Documents
from tersely.text.likeness import tell_alike

GAIN = 1.05
"""The least speed-up, at the lower end of its interval, that is worth another model, or a cascade
in the place of packed execution alone."""

VERSION = 5
CASCADE = "cascade"


def accelerate(
    source: str | Path | Classifier,
    texts: Sequence[str],
    labels: Sequence[Any] | None = None,
    *,
    limit: float = 0.005,
    train: Documents | None = None,
    rounds: int = 5,
    seed: int = 0,
    tell: Callable[[str], None] = lambda line: None,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[dict[str, Any], Classifier | None]:
    """Find the fastest way to run a fine-tuned classifier that can be proven to keep a limit.

    Args:
        source: a dense classifier, of transformers or of tersely: a directory, a Hub name, or one
            that is loaded.
        texts: documents like those that it will read; it should not have been trained on them.
        labels: their labels; the limit is then on the net loss: documents that turn wrong, less
            those that turn right.
        limit: the share that is allowed: of other predictions than the original's, or of net loss.
        train: documents of their own to fit the linear stage on, with labels where the others have
            some; so all texts choose and prove. None to fit it on two in five of the texts.
        rounds: turns of each in the final comparison; fewer where they would take long.
        seed: of the draw of the parts.
        tell: called with a line about each step.
        progress: called with what runs, and how much of how much of it is done.

    Returns:
        The evidence as JSON has it, and the classifier that was chosen, with its cascade in its
        configuration, ready for `save`; None if the `"answer"` is to keep the original. `"speed"`
        is the choice's over each way to run the original with transformers, `"packed_speed"` that
        of packed execution, which is the reference of the cascade, and `"by_limit"` has the speed
        of the cascade at each certified limit, with the share of texts that each stage answered.

    Raises:
        DataError: if there are too few texts to prove the limit, or labels that the model does not
            know.
        ModelError: if the original is no dense classifier, or reads long documents otherwise than
            cut at their end.
    """
    original = source
    if not isinstance(original, Classifier):
        original = Classifier.from_pretrained(original)
    if (alone := original.alone()) is not original:
        tell("only the encoder of the cascade is made faster, without the linear stage's evidence")
        original = alone
    long = original.model_config.long
    if long != "truncate":
        raise ModelError(
            f"{original.source} reads long documents by {long!r}, but accelerate compares with "
            "transformers, which truncates them; save it with long='truncate' if that is how you "
            "use it"
        )
    documents = Documents.from_lists(texts, labels)
    watched = {"tell": tell, "progress": progress}
    found = find_cascade(original, documents, limit=limit, fitting=train, seed=seed, **watched)
    if train is not None:  # only now: nobody looks at the texts that prove before they have
        both = map(found.runner.encode, (train, found.parts["proving"]))
        tell_alike(*both, original.tokenizer, "texts that prove")
    proven = None if found.cascade is None else found.cascade.certificates
    if proven is not None:
        tell(proven.lines(limit)[0])
    # Limits may share a point, which is timed once.
    points = {} if proven is None else {e.limit: e.point for e in proven.certificates if e.proven}
    made = {}
    for point in points.values():
        model = found.runner.model.under_cascade(replace(found.cascade, point=point))
        made[f"{CASCADE} {point}"] = original.with_model(model)
    chosen = found.parts["choosing"].texts
    count, rounds = plan_clock(found.seconds, len(chosen), rounds)
    # How many texts are too long was said of these.
    with warnings.catch_warnings(action="ignore", category=TerselyWarning):
        seconds, differs, shares = clock(original, made, chosen[:count], rounds, progress)
    names = {at: f"{CASCADE} {point}" for at, point in points.items()}
    speeds = {name: _speeds(seconds, name) for name in (PACKED, *made)}
    answer, kept, best = None, None, names.get(limit)
    if best and all(_gains(each) for each in speeds[best].values()):
        answer, kept = CASCADE, made[best]
    elif all(map(_gains, speeds[PACKED].values())):
        answer, kept = PACKED, original
    speed = dict(speeds[best if answer == CASCADE else PACKED])
    speed.pop(PACKED, None)
    tried = [{"name": c.name, "seconds_ratio": found.seconds / c.seconds} for c in found.ranked]
    evidence = {
        "version": VERSION,
        "model": Path(original.source).resolve().name,  # no path
        "answer": "keep" if answer is None else "faster",
        "chosen": answer or PACKED,
        "reason": _reason(answer, found, best is not None),
        "limit": limit,
        "criterion": found.runner.criterion,
        "texts": {"given": len(texts)} | {name: len(own) for name, own in found.parts.items()},
        "stages": None if proven is None else [stage.name for stage in found.cascade.stages],
        "certificates": None if proven is None else proven.to_dict(),
        "more_texts": found.more_texts(limit),
        "linear": found.linear,
        "tried": tried,
        "speed": speed,
        "packed_speed": speeds[PACKED],
        "packed_differs": differs,
        "over_packed": speeds[best][PACKED] if best else None,
        "by_limit": [
            {"limit": at, "shares": shares[name], "speed": speeds[name]}
            for at, name in names.items()
        ],
        "seconds": seconds,
        "timed_documents": count,
        "machine": describe_machine(),
    }
    return evidence | {"verdict": verdict(evidence)}, kept


def _speeds(seconds: dict[str, list[float]], name: str) -> dict[str, Any]:
    """Return how many times as fast something is as each way to run the original."""
    others = [*WAYS, PACKED] if name != PACKED else WAYS
    return {other: asdict(paired_ratio(seconds[name], seconds[other])) for other in others}


def _gains(ratio: dict[str, Any]) -> bool:
    return ratio["interval"][0] >= GAIN


def _reason(answer: str | None, found: Found, proven: bool) -> str:
    """Return the decision in a sentence, and whether the linear stage alone would do by labels."""
    alone, worse, better = "", found.looked.worse.get(LINEAR), found.looked.better
    if worse is not None and better is not None and better[LINEAR].sum() >= worse.sum():
        times = f"{found.seconds / found.looked.seconds[LINEAR]:.0f} times as fast as packed"
        alone = f"; the linear stage alone is right as often or more, and {times}"
    if answer == CASCADE:
        return f"Faster: {found.ranked[0].name}{alone}"
    slow = "the cascade is hardly faster than packed execution"
    gain = "Faster: packed, which changes no label" if answer else "No gain here: keep the original"
    return f"{gain}; {slow if proven else found.why_not}{alone}"
