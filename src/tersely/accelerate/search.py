"""The search: try what needs no training, choose on one half of the texts, prove on the other.

A candidate is looked at on a few texts first, and on all that are for selection only if those do
not speak against it; a more careful one of its kind only if it failed. The bound that the proof
asks for is asked of the selection already: a choice that just passes there would often fail the
proof, and there is only one. There are two finalists, packed execution, which changes no label by
design, and the choice, if it is enough faster to be worth more; packed is proven first, so that a
choice which is not proven need not leave a user with nothing.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tersely.accelerate.bound import CONFIDENCE, split_texts, upper_bound
from tersely.accelerate.evidence import Evidence, Proof, Tried
from tersely.bench import (
    PackedContender,
    Spread,
    StockContender,
    Timing,
    describe_machine,
    paired_ratio,
    take_turns,
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

SLOW = 1.25
"""How much longer than packed a candidate may take in a single run, before it is dropped."""

TIMED = 64
"""Texts that the clock runs."""

PACKED = "packed"
WAYS = ("the original, padded in arrival order", "the original, padded and sorted by length")
_PROMISING = "looked at on a few texts only: others are cheaper"


# ---- what is tried -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Candidate:
    """A way to run the original: a plan, and how it is executed."""

    name: str
    plan: Plan
    execution: Execution = field(default_factory=Execution)

    def build(self, original: Classifier) -> Classifier:
        """Return the original under the plan; it shares the weights, unless the precision differs.

        The original stays as it is.
        """
        made = copy.copy(original)
        made.plan = self.plan
        made.adopt(original.model.under_plan(self.plan), original.tokenizer, self.execution)
        return made


def untrained_plans(depth: int, head: str) -> Iterator[list[Candidate]]:
    """Yield chains of candidates that need no training, each from the boldest to the most careful.

    They are the ones that hold up best on models which were trained dense: tokens leave or merge in
    the later blocks, where each has seen the others, or a few of them at every block.

    The family's own head reads [CLS], which pooling would blur.
    """

    def tome(r: float, **options: float) -> Candidate:
        late = " start=1/2" if options else ""
        return Candidate(f"tome ratio={r:g}{late}", preset("tome", ratio=r, **options))

    yield [tome(r) for r in (0.15, 0.1, 0.06)]
    if depth > 2:
        yield [tome(r, start=0.5) for r in (0.3, 0.2, 0.12, 0.06)]
    for block in sorted({round(share * depth) for share in (1 / 3, 1 / 2, 2 / 3)} - {0, depth}):
        for method in ("topk", "fca", "pool") if head == "mean" else ("topk", "fca"):
            yield [
                Candidate(f"{method} keep={k:g} at={block}", preset(method, keep=k, at=block))
                for k in (0.25, 0.5, 0.75)
            ]


# ---- how it is judged --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Judge:
    """Counts failures on some documents.

    Without labels a failure is a document that gets another prediction than the original's. With
    labels it is one that the original has right and the candidate wrong; the share of those is
    never less than the loss of accuracy, so a bound on it is one on the loss.
    `original` are its logits `(documents, labels)`; where it has none of the documents right,
    nothing could be lost, and it is refused.
    """

    original: np.ndarray
    labels: Any
    problem_type: str

    def __post_init__(self) -> None:
        if self.labels is not None and not self._right(self.original).any():
            raise DataError(
                f"the original has none of {len(self.original):,} texts right, so that no "
                "accuracy can be lost and any limit would be proven; check that the labels are "
                "those of this model"
            )

    @property
    def counts(self) -> str:
        """What a failure is, in words."""
        if self.labels is None:
            return "another label than the original's"
        return "right before, wrong now"

    def failures(self, logits: np.ndarray) -> int:
        """Return how many of the first documents, one a row, count against the candidate."""
        if self.labels is None:
            before = predict_from_logits(self.original[: len(logits)], self.problem_type)
            return int((~right_documents(logits, before, self.problem_type)).sum())
        return int((self._right(self.original[: len(logits)]) & ~self._right(logits)).sum())

    def _right(self, logits: np.ndarray) -> np.ndarray:
        return right_documents(logits, self.labels[: len(logits)], self.problem_type)


@dataclass
class _Search:
    """The state of a search: the original, the texts for selection, and what was tried."""

    original: Classifier
    texts: list[str]
    judge: Judge
    limit: float
    tell: Callable[[str], None]
    tried: dict[str, Tried] = field(default_factory=dict)
    packed: tuple[float, float] = (1.0, 1.0)  # seconds and MACs of packed on the screened texts

    def screen(self, candidate: Candidate) -> bool:
        """Look at a candidate on a few texts: can it keep the limit, and is it faster?"""
        classifier = candidate.build(self.original)
        encoded = classifier.encode(self.texts[:SCREENED])
        started = time.perf_counter()
        forward = classifier.forward(encoded)
        seconds, macs = time.perf_counter() - started, float(forward.encoder_macs)
        if candidate.name == PACKED:
            self.packed = seconds, macs
        failures, documents = self.judge.failures(forward.logits), len(encoded)
        verdict = _PROMISING
        chance = require("scipy.stats", "bench").binom.sf(failures - 1, documents, self.limit)
        if chance < 1 - CONFIDENCE:
            verdict = "too many failures"
        elif seconds > SLOW * self.packed[0]:
            verdict = "slower than packed"
        self.tried[candidate.name] = Tried(
            name=candidate.name,
            plan=candidate.plan.to_dict(),
            execution=candidate.execution.to_dict(),
            documents=documents,
            failures=failures,
            bound=upper_bound(failures, documents),
            macs_ratio=macs / self.packed[1],
            seconds_ratio=seconds / self.packed[0],
            verdict=verdict,
        )
        goes_on = verdict == _PROMISING
        said = "goes on" if goes_on else verdict
        self.tell(f"{candidate.name}: {failures} of {documents}, {said}")
        return goes_on

    def admit(self, candidate: Candidate) -> bool:
        """Judge a candidate on all texts for selection, by the bound that the proof asks for."""
        failures = self.judge.failures(candidate.build(self.original).logits(self.texts))
        bound = upper_bound(failures, len(self.texts))
        good = bound <= self.limit
        self.tried[candidate.name] = replace(
            self.tried[candidate.name],
            documents=len(self.texts),
            failures=failures,
            bound=bound,
            verdict="keeps the limit" if good else "too many failures on all texts for selection",
        )
        return good

    def best(self) -> Candidate:
        """Return the fastest candidate that keeps the limit on the texts for selection."""
        packed = Candidate(PACKED, preset("dense"))
        self.screen(packed)
        self.admit(packed)
        config = self.original.model.config
        depth = config.encoder_config.num_hidden_layers
        chains = [iter(chain) for chain in untrained_plans(depth, config.head)]
        best = self.fastest([packed, *self._admitted(chains)])
        if self.original.device.type != "cpu":
            return best
        ways = {kind: {"precision": kind} for kind in ("int8", "bfloat16")}
        if threads := torch.get_num_threads() // 2:
            ways[f"{threads} threads"] = {"threads": threads}
        others = [
            Candidate(f"{best.name}, {name}", best.plan, replace(best.execution, **options))
            for name, options in ways.items()
        ]
        return self.fastest([best, *filter(self.admit, filter(self.screen, others))])

    def _admitted(self, chains: list[Iterator[Candidate]]) -> list[Candidate]:
        """The cheapest candidates that keep the limit on all texts for selection.

        Cheapest by their MACs, which no busy machine disturbs; the clock decides among those.
        A chain goes from the boldest to the most careful; its next is looked at when one fails.
        """
        heads = [next(filter(self.screen, chain), None) for chain in chains]
        good: list[Candidate] = []
        while len(good) < ADMITTED and any(heads):
            waiting = [place for place, head in enumerate(heads) if head is not None]
            place = min(waiting, key=lambda place: self.tried[heads[place].name].macs_ratio)
            if self.admit(heads[place]):
                good.append(heads[place])
                heads[place] = None
            else:
                heads[place] = next(filter(self.screen, chains[place]), None)
        return good

    def fastest(self, candidates: list[Candidate]) -> Candidate:
        """Return the one with the least median time, all taking turns."""
        if len(candidates) == 1:
            return candidates[0]
        timings = self.turns(candidates, rounds=3)
        return candidates[int(np.argmin([np.median(timing.seconds) for timing in timings]))]

    def turns(
        self, candidates: list[Candidate], rounds: int, others: Sequence[StockContender] = ()
    ) -> list[Timing]:
        """Time candidates, behind other contenders, on the first of the texts."""
        contenders = [
            *others,
            *(PackedContender(each.build(self.original), each.name) for each in candidates),
        ]
        for contender in contenders:
            contender.prepare(self.texts[:TIMED])
        return take_turns(contenders, rounds)


# ---- the whole ---------------------------------------------------------------------------------


def accelerate(
    source: str | Path | Classifier,
    texts: Sequence[str],
    labels: Sequence[Any] | None = None,
    *,
    limit: float = 0.005,
    device: str = "auto",
    rounds: int = 5,
    seed: int = 0,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[Evidence, Classifier | None]:
    """Find the fastest way to run a fine-tuned classifier that can be proven to keep a limit.

    Args:
        source: a dense classifier, of transformers or of tersely: a directory, a Hub name, or one
            that is loaded.
        texts: documents like those that it will read; it should not have been trained on them.
        labels: their labels; the limit is then on the loss of accuracy.
        limit: the share of failures that is allowed: of other predictions than the original's, or,
            with labels, of right ones that become wrong.
        device: where to run one that is not loaded yet; threads and precisions are tried on a CPU
            only.
        rounds: turns of each in the final comparison.
        seed: of the draw of selection and proof.
        tell: called with a line about each candidate.

    Returns:
        The evidence, and the classifier that was chosen, in float32 and with its execution in its
        configuration, ready for `save`; None if the answer is to keep the original.

    Raises:
        DataError: if there are too few texts to prove the limit, or labels that the model does not
            know.
        ModelError: if the original is no dense classifier, or reads long documents otherwise than
            cut at their end.
    """
    original = source
    if not isinstance(original, Classifier):
        original = Classifier.from_pretrained(original, device=device)
    _check(original)
    selection, proof = split_texts(texts, limit, seed)
    wanted = None if labels is None else original.label_space.encode(labels, unseen="skip")
    # Says once how many are too long; the same texts are encoded again for every candidate.
    original.encode([texts[number] for number in selection])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TerselyWarning)
        chosen_on, judge = _judge(original, texts, wanted, selection)
        search = _Search(original, chosen_on, judge, limit, tell)
        best = search.best()
        finalists, evidence, speeds = _compare(search, best, rounds)
        sizes = {"given": len(texts), "selection": len(selection), "proof": len(proof)}
        evidence = replace(evidence, texts=sizes)
        chosen = finalists[-1]
        if not _gains(speeds[chosen.name]):
            ratio = _slowest(speeds[chosen.name])
            reason = (
                "No gain here: keep the original. The fastest that keeps the limit on the texts "
                f"for selection is {chosen.name}, ×{ratio.median:.2f} the speed of the faster way "
                f"to run it ({ratio.interval[0]:.2f}–{ratio.interval[1]:.2f})"
            )
            return replace(evidence, reason=reason), None
        prove_on, judge = _judge(original, texts, wanted, proof)
        proven, proofs = _prove(finalists, original, prove_on, judge, limit)
    evidence = replace(evidence, proofs=proofs)
    failed = f"the texts set apart do not prove the limit for {chosen.name}, the choice"
    if proven is None or not _gains(speeds[proven.name]):
        return replace(evidence, reason=f"Keep the original: {failed}"), None
    reason = f"Faster: {proven.name}"
    if proven is not chosen:
        reason += f"; {failed}"
    elif chosen.name != best.name:
        ratio = paired_ratio(evidence.seconds[best.name], evidence.seconds[PACKED])
        reason += f", which changes no label; {best.name} is only ×{ratio.median:.2f} its speed"
    evidence = replace(
        evidence,
        answer="faster",
        reason=reason,
        chosen=proven.name,
        execution=proven.execution.to_dict(),
        speed=speeds[proven.name],
    )
    # In float32, so that it can be saved; how it is executed goes into the configuration.
    ready = Candidate(proven.name, proven.plan).build(original)
    execution = proven.execution
    ready.model.config.execution = None if execution == Execution() else execution.to_dict()
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


def _stock(original: Classifier, order: str) -> StockContender:
    """The original as transformers run it, in `"arrival"` order or `"sorted"` by length."""
    name = WAYS[order == "sorted"]
    return StockContender(
        original.model, original.tokenizer, name=name, order=order, max_length=original.limit
    )


def _judge(
    original: Classifier, texts: Sequence[str], wanted: Any, numbers: Sequence[int]
) -> tuple[list[str], Judge]:
    """Some of the texts, and who judges on them: by the original as transformers run it."""
    part = [texts[number] for number in numbers]
    reference = _stock(original, "sorted")
    reference.prepare(part)
    labels = None if wanted is None else wanted[list(numbers)]
    return part, Judge(reference.run(), labels, original.label_space.problem_type)


def _compare(
    search: _Search, best: Candidate, rounds: int
) -> tuple[list[Candidate], Evidence, dict[str, dict[str, Spread]]]:
    """Time the original's two ways, packed, and the choice; say who goes on to the proof."""
    original, packed = search.original, Candidate(PACKED, preset("dense"))
    timed = [packed] if best.name == PACKED else [packed, best]
    ways = [_stock(original, order) for order in ("arrival", "sorted")]
    seconds = {each.name: each.seconds for each in search.turns(timed, rounds, ways)}
    speeds = {
        each.name: {way: paired_ratio(seconds[each.name], seconds[way]) for way in WAYS}
        for each in timed
    }
    finalists = timed
    if len(timed) == 2:
        # Packed changes no label by design: a plan has to be worth what it may change.
        over = paired_ratio(seconds[best.name], seconds[PACKED])
        finalists = timed if over.interval[0] >= GAIN else [packed]
    evidence = Evidence(
        model=Path(original.source).resolve().name,
        answer="keep",
        reason="",
        counts=search.judge.counts,
        limit=search.limit,
        texts={},
        chosen=finalists[-1].name,
        execution=finalists[-1].execution.to_dict(),
        speed=speeds[finalists[-1].name],
        packed_speed=speeds[PACKED],
        seconds=seconds,
        tried=tuple(search.tried.values()),
        timed_documents=min(TIMED, len(search.texts)),
        machine=describe_machine(),
    )
    return finalists, evidence, speeds


def _slowest(speed: dict[str, Spread]) -> Spread:
    """The ratio to the faster way to run the original."""
    return min(speed.values(), key=lambda ratio: ratio.median)


def _gains(speed: dict[str, Spread]) -> bool:
    return _slowest(speed).interval[0] >= GAIN


def _prove(
    finalists: list[Candidate], original: Classifier, texts: list[str], judge: Judge, limit: float
) -> tuple[Candidate | None, tuple[Proof, ...]]:
    """The last finalist that is proven, and the proofs, packed first.

    The order is settled before these texts are looked at, and the first that is not proven ends it.
    So the confidence holds for all together (testing in a fixed sequence), as it does for one.
    """
    proven, proofs = None, []
    for candidate in finalists:
        failures = judge.failures(candidate.build(original).logits(texts))
        bound = upper_bound(failures, len(texts))
        proof = Proof(candidate.name, len(texts), failures, bound, CONFIDENCE, bound <= limit)
        proofs.append(proof)
        if not proof.holds:
            break
        proven = candidate
    return proven, tuple(proofs)
