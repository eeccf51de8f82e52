"""The search: try what needs no training, choose on one half of the texts, prove on the other.

A candidate is looked at on a few texts first, and on all that are for selection only if those do
not speak against it. The bound that the proof asks for is asked of the selection already: a choice
that just passes there would often fail the proof, and there is only one. There are two finalists,
packed execution, which changes no label by design, and the choice, if it is enough faster to be
worth more; packed is proven first, so that a choice which is not proven need not leave a user with
nothing.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tersely._io import describe_machine
from tersely.accelerate.bound import CONFIDENCE, split_texts, upper_bound
from tersely.accelerate.evidence import VERSION, Trial
from tersely.bench import (
    Contender,
    PackedContender,
    StockContender,
    paired_ratio,
    take_turns,
    under_plan,
)
from tersely.classifier import Classifier
from tersely.errors import DataError, ModelError, TerselyWarning, require
from tersely.modeling import Execution
from tersely.reduction import Plan, preset
from tersely.text.metrics import predict_from_logits, right_documents

GAIN = 1.05
"""The least speed-up, at the lower end of its interval, that is worth another model, or a plan in
the place of packed execution alone."""

SCREENED = 96
"""Texts on which a candidate is looked at first."""

ADMITTED = 3
"""Plans that are looked at on all texts for selection, until so many pass: the cheapest first."""

TIMED = 64
"""Texts that the clock runs."""

WAYS = {
    "the original, padded in arrival order": "arrival",
    "the original, padded and sorted by length": "sorted",
}
"""The ways to run the original with transformers, and the order of the texts in each."""


@dataclass(frozen=True)
class Candidate:
    """A way to run the original: a plan, and how it is executed."""

    name: str
    plan: Plan
    execution: Execution = field(default_factory=Execution)


PACKED = Candidate("packed", preset("dense"))


def untrained_plans(depth: int, head: str) -> Iterator[Candidate]:
    """Yield plans that need no training: those that hold up best on models trained dense.

    Tokens leave or merge in the later blocks, where each has seen the others, or a few of them at
    every block. The family's own head reads [CLS], which pooling would blur.
    """
    for start, ratios in (0, (0.15, 0.1, 0.06)), (0.5, (0.3, 0.2, 0.12, 0.06)):
        for ratio in ratios if depth > 2 or not start else ():
            plan = preset("tome", ratio=ratio, start=start)
            yield Candidate(f"tome ratio={ratio:g} start={start:g}", plan)
    blocks = sorted({round(share * depth) for share in (1 / 3, 1 / 2, 2 / 3)} - {0, depth})
    methods = ("topk", "fca", "pool") if head == "mean" else ("topk", "fca")
    for at, method, keep in itertools.product(blocks, methods, (0.25, 0.5, 0.75)):
        yield Candidate(f"{method} keep={keep:g} at={at}", preset(method, keep=keep, at=at))


def failures_against(
    original: np.ndarray, labels: Any, problem_type: str
) -> Callable[[np.ndarray], int]:
    """Return what counts the failures of a candidate in logits of the first documents.

    Without labels a failure is a document that gets another prediction than the original's, whose
    logits are `(documents, labels)`. With labels it is one that the original has right and the
    candidate wrong; the share of those is never less than the loss of accuracy, so a bound on it is
    one on the loss. Where the original has none right, nothing could be lost, and it is refused.
    """
    wanted = predict_from_logits(original, problem_type) if labels is None else labels
    right = right_documents(original, wanted, problem_type)
    if not right.any():
        raise DataError(
            f"the original has none of {len(original):,} texts right, so that no accuracy can be "
            "lost and any limit would be proven; check that the labels are those of this model"
        )

    def count(logits: np.ndarray) -> int:
        still = right_documents(logits, wanted[: len(logits)], problem_type)
        return int((right[: len(logits)] & ~still).sum())

    return count


class _Part:
    """Some of the texts, on which candidates are compared with the original as it was run."""

    def __init__(
        self, original: Classifier, texts: Sequence[str], wanted: Any, numbers: list[int]
    ) -> None:
        self.original, self.texts = original, [texts[number] for number in numbers]
        reference = _stock(original, list(WAYS)[1])
        reference.prepare(self.texts)
        labels = None if wanted is None else wanted[numbers]
        problem_type = original.label_space.problem_type
        self.failures = failures_against(reference.run(), labels, problem_type)
        self.encoded = original.encode(self.texts)
        self._macs: dict[int, float] = {}

    def look(self, candidate: Candidate, stage: str, limit: float) -> Trial:
        """Run a candidate: on a few texts, do they speak against it? On all, is the limit kept?"""
        some = self.encoded
        if stage == "few":
            some = some.select(range(min(SCREENED, len(some))))
        made = under_plan(self.original, candidate.plan, candidate.execution)
        forward = made.forward(some)
        failures, documents = self.failures(forward.logits), len(some)
        bound = upper_bound(failures, documents)
        holds = bound <= limit
        if stage == "few":
            test = require("scipy.stats", "bench").binomtest
            against = test(failures, documents, limit, alternative="greater").pvalue
            holds = bool(against >= 1 - CONFIDENCE)
        kept = "goes on" if stage == "few" else "keeps the limit"
        # Packed execution is the first to be looked at everywhere.
        packed = self._macs.setdefault(documents, float(forward.encoder_macs))
        return Trial(
            name=candidate.name,
            stage=stage,
            documents=documents,
            failures=failures,
            bound=bound,
            macs_ratio=forward.encoder_macs / packed,
            holds=holds,
            verdict=kept if holds else "too many failures",
        )

    def seconds(
        self, candidates: list[Candidate], rounds: int, others: Sequence[Contender] = ()
    ) -> dict[str, list[float]]:
        """Time candidates, behind other contenders, in turns on the first of the texts."""
        contenders = list(others)
        for each in candidates:
            made = under_plan(self.original, each.plan, each.execution)
            contenders.append(PackedContender(made, each.name))
        for contender in contenders:
            contender.prepare(self.texts[:TIMED])
        return {timing.name: timing.seconds for timing in take_turns(contenders, rounds)}


def _stock(original: Classifier, way: str) -> StockContender:
    options = {"name": way, "order": WAYS[way], "max_length": original.limit}
    return StockContender(original.model, original.tokenizer, **options)


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
        labels: their labels; the limit is then on the loss of accuracy.
        limit: the share of failures that is allowed: of other predictions than the original's, or,
            with labels, of right ones that become wrong.
        rounds: turns of each in the final comparison.
        seed: of the draw of selection and proof.
        tell: called with a line about each candidate.

    Returns:
        The evidence as JSON has it, and the classifier that was chosen, in float32 and with its
        execution in its configuration, ready for `save`; None if the `"answer"` is to keep the
        original. `"speed"` is the choice's over each way to run the original, `"packed_speed"` that
        of packed execution; `"proofs"` are of packed, then of the choice, and none if there was
        nothing to prove; `"tried"` holds the last trial of each candidate on the texts for
        selection.

    Raises:
        DataError: if there are too few texts to prove the limit, or labels that the model does not
            know.
        ModelError: if the original is no dense classifier, or reads long documents otherwise than
            cut at their end.
    """
    original = source
    if not isinstance(original, Classifier):
        original = Classifier.from_pretrained(original)
    _check(original)
    selection, proof = split_texts(texts, limit, seed)
    counts, wanted = "another label than the original's", None
    if labels is not None:
        wanted = original.label_space.encode(labels, unseen="skip")
        counts = "right before, wrong now"
    part = _Part(original, texts, wanted, selection)
    with warnings.catch_warnings():  # how many texts are too long was said of these
        warnings.simplefilter("ignore", TerselyWarning)
        best, tried = _search(part, limit, tell)
        timed = [PACKED] if best is PACKED else [PACKED, best]
        seconds = part.seconds(timed, rounds, [_stock(original, way) for way in WAYS])
        # Packed changes no label by design: a plan has to be worth what it may change.
        over = paired_ratio(seconds[best.name], seconds[PACKED.name])
        finalists = timed if over.interval[0] >= GAIN else [PACKED]
        speed = {
            each.name: {way: asdict(paired_ratio(seconds[each.name], seconds[way])) for way in WAYS}
            for each in finalists
        }
        gains = {
            name: all(ratio["interval"][0] >= GAIN for ratio in ways.values())
            for name, ways in speed.items()
        }
        proofs: list[Trial] = []
        if gains[finalists[-1].name]:
            proofs = _prove(finalists, _Part(original, texts, wanted, proof), limit)
    held = {trial.name for trial in proofs if trial.holds}
    proven = [each for each in finalists if each.name in held and gains[each.name]]
    chosen = proven[-1] if proven else finalists[-1]
    evidence = {
        "version": VERSION,
        "model": Path(original.source).resolve().name,  # no path
        "answer": "faster" if proven else "keep",
        "reason": _reason(chosen.name, proofs, bool(proven)),
        "counts": counts,
        "limit": limit,
        "texts": {"given": len(texts), "selection": len(selection), "proof": len(proof)},
        "chosen": chosen.name,
        "execution": chosen.execution.to_dict(),
        "speed": speed[chosen.name],
        "packed_speed": speed[PACKED.name],
        "seconds": seconds,
        "proofs": [asdict(each) for each in proofs],
        "tried": [asdict(each) for each in tried.values()],
        "timed_documents": min(TIMED, len(selection)),
        "machine": describe_machine(),
    }
    if not proven:
        return evidence, None
    # In float32, so that it can be saved; how it is executed goes into the configuration.
    ready = under_plan(original, chosen.plan, Execution())
    own = chosen.execution
    ready.model.config.execution = None if own == Execution() else own.to_dict()
    return evidence, ready


def _check(original: Classifier) -> None:
    source, long = original.source, original.torch_model().config.long
    if not original.plan.is_dense:
        raise ModelError(
            f"{source} removes tokens already ({original.plan.name}); accelerate starts from the "
            "dense model that it was made from"
        )
    if original.label_space.problem_type == "regression":
        raise ModelError(
            f"{source} predicts numbers, of which nothing can agree exactly; accelerate is for "
            "classifiers"
        )
    if long != "truncate":
        raise ModelError(
            f"{source} reads long documents by {long!r}, and accelerate compares with "
            "transformers, which cut them at their end; save it with long='truncate' if that is "
            "how it is used"
        )


def _search(
    part: _Part, limit: float, tell: Callable[[str], None]
) -> tuple[Candidate, dict[str, Trial]]:
    """Return the fastest candidate that keeps the limit on these texts, and all that was tried."""
    tried: dict[str, Trial] = {}

    def holds(stage: str, candidate: Candidate) -> bool:
        trial = tried[candidate.name] = part.look(candidate, stage, limit)
        tell(f"{trial.name}: {trial.failures} of {trial.documents}, {trial.verdict}")
        return trial.holds

    for stage in ("few", "selection"):
        holds(stage, PACKED)
    config = part.original.model.config
    plans = untrained_plans(config.encoder_config.num_hidden_layers, config.head)
    # Cheapest by their MACs, which no busy machine disturbs; the clock decides among those.
    promising = [each for each in plans if holds("few", each)]
    promising.sort(key=lambda each: tried[each.name].macs_ratio)
    good = list(itertools.islice(filter(partial(holds, "selection"), promising), ADMITTED))
    for precision in ("int8", "bfloat16") if part.original.device.type == "cpu" else ():
        lower = Candidate(f"packed, {precision}", PACKED.plan, Execution(precision=precision))
        if holds("few", lower) and holds("selection", lower):
            good.append(lower)
    seconds = part.seconds([PACKED, *good], rounds=3)
    return min([PACKED, *good], key=lambda each: np.median(seconds[each.name])), tried


def _prove(finalists: list[Candidate], part: _Part, limit: float) -> list[Trial]:
    """Return the proofs, packed first, in a fixed sequence: the first that fails ends it.

    So the confidence holds for all together, as it does for one.
    """
    proofs = []
    for candidate in finalists:
        proofs.append(part.look(candidate, "proof", limit))
        if not proofs[-1].holds:
            break
    return proofs


def _reason(chosen: str, proofs: list[Trial], proven: bool) -> str:
    """Return the decision in a sentence."""
    if not proofs:
        return f"No gain here: keep the original. {chosen} is the fastest that keeps the limit"
    failed = f"the texts set apart do not prove the limit for {proofs[-1].name}"
    if not proven:
        return f"Keep the original: {failed}"
    return f"Faster: {chosen}" + ("" if proofs[-1].holds else f"; {failed}")
