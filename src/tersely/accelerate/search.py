"""The search: try what needs no training, choose on one half of the texts, prove on the other.

A candidate is looked at on a few texts first, and on all that are for choosing only if those do not
speak against it; a more careful one of its kind only if it failed. The bound that the proof asks
for is asked of the choosing half already: a choice that just passes there would often fail the
proof, and there is only one. Where that one fails, packed execution without a plan remains.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tersely.accelerate.bound import CONFIDENCE, upper_bound
from tersely.accelerate.candidates import (
    TOKEN_BUDGETS,
    Candidate,
    thread_counts,
    untrained_plans,
)
from tersely.accelerate.evidence import Evidence, Tried
from tersely.accelerate.final import GAIN, TIMED, gains, prove_in_turn, ready, stock, timed, turns
from tersely.accelerate.halves import split_halves
from tersely.accelerate.judge import Judge
from tersely.accelerate.training import trained_candidates
from tersely.bench import Spread, describe_machine, paired_ratio
from tersely.classifier import Classifier
from tersely.errors import ModelError, TerselyWarning, require
from tersely.reduction import preset

__all__ = ["GAIN", "accelerate"]

SCREENED = 96
"""Texts on which a candidate is looked at first."""

ADMITTED = 3
"""Plans that are looked at on all texts for choosing, until so many pass: the cheapest first."""

SLOW = 1.25
"""How much longer than packed a candidate may take in a single run, before it is dropped."""

PACKED = "packed"
_PROMISING = "looked at on a few texts only: others are cheaper"


@dataclass
class _Search:
    """The state of a search: the original, the texts for choosing, and what was tried."""

    original: Classifier
    texts: list[str]
    judge: Judge
    limit: float
    tell: Callable[[str], None]
    tried: dict[str, Tried]
    dense_cost: float = 1.0
    dense_seconds: float = 1.0

    def screen(self, candidate: Candidate) -> bool:
        """Look at a candidate on a few texts: can it keep the limit, and is it faster?"""
        numbers = np.arange(min(SCREENED, len(self.texts)))
        seconds, cost, logits = self._run(candidate, numbers)
        if candidate.name == PACKED:
            self.dense_seconds, self.dense_cost = seconds, cost
        failures = self.judge.failures(logits, numbers)
        verdict = _PROMISING
        test = require("scipy.stats", "bench").binom
        if test.sf(failures - 1, len(numbers), self.limit) < 1 - CONFIDENCE:
            verdict = "too many failures"
        elif seconds > SLOW * self.dense_seconds:
            verdict = "slower than packed"
        self._note(candidate, len(numbers), failures, cost, seconds, verdict)
        return verdict == _PROMISING

    def admit(self, candidate: Candidate) -> bool:
        """Judge a candidate on all texts for choosing, by the bound that the proof will ask for."""
        classifier = candidate.build(self.original)
        failures = self.judge.failures(classifier.logits(self.texts))
        found = self.tried[candidate.name]
        good = upper_bound(failures, len(self.texts)) <= self.limit
        verdict = "keeps the limit" if good else "too many failures on all texts for choosing"
        self.tried[candidate.name] = replace(
            found,
            documents=len(self.texts),
            failures=failures,
            bound=upper_bound(failures, len(self.texts)),
            verdict=verdict,
        )
        return good

    def _run(self, candidate: Candidate, numbers: np.ndarray) -> tuple[float, float, np.ndarray]:
        classifier = candidate.build(self.original)
        encoded = classifier.encode([self.texts[number] for number in numbers])
        started = time.perf_counter()
        forward = classifier.forward(encoded)
        seconds = time.perf_counter() - started
        return seconds, float(forward.encoder_macs), forward.logits

    def note_timed(self, candidate: Candidate, base: Candidate, ratio: Spread) -> None:
        """Keep that a candidate was timed against another that runs the same plan otherwise."""
        said = f"timed only: ×{ratio.median:.2f} the speed of {base.name}"
        self.tried[candidate.name] = replace(
            self.tried[base.name],
            name=candidate.name,
            execution=candidate.execution.to_dict(),
            documents=0,
            failures=0,
            bound=None,
            seconds_ratio=None,
            verdict=said + (", faster in every round" if ratio.minimum > 1.0 else ""),
        )

    def _note(
        self,
        candidate: Candidate,
        documents: int,
        failures: int,
        cost: float,
        seconds: float,
        verdict: str,
    ) -> None:
        self.tried[candidate.name] = Tried(
            name=candidate.name,
            plan=candidate.plan.to_dict(),
            execution=candidate.execution.to_dict(),
            documents=documents,
            failures=failures,
            bound=upper_bound(failures, documents),
            macs_ratio=cost / self.dense_cost,
            seconds_ratio=seconds / self.dense_seconds,
            verdict=verdict,
            trained=candidate.classifier is not None,
        )
        kept = verdict == _PROMISING
        self.tell(f"{candidate.name}: {failures} of {documents}, {'goes on' if kept else verdict}")


def accelerate(
    source: str | Path | Classifier,
    texts: Sequence[str],
    labels: Sequence[Any] | None = None,
    *,
    limit: float = 0.005,
    train: Sequence[str] | None = None,
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
        train: further texts (their labels are not needed), to fine-tune candidates briefly on, with
            the original as teacher; None for no training.
        device: where to run one that is not loaded yet; threads and precisions are tried on a CPU
            only.
        rounds: turns of each in the final comparison.
        seed: of the draw of the two halves.
        tell: called with a line about each candidate.

    Returns:
        The evidence, and the classifier that was chosen, in float32 and with its execution in its
        configuration, ready for `save`; None if the answer is to keep the original.

    Raises:
        DataError: if there are too few texts to prove the limit.
        ModelError: if the original is no dense classifier, or reads long documents otherwise than
            cut at their end.
    """
    original = source
    if not isinstance(original, Classifier):
        original = Classifier.from_pretrained(original, device=device)
    _check(original)
    halves = split_halves(texts, limit, seed)
    wanted = None if labels is None else original.label_space.encode(labels, unseen="skip")
    # Says once how many are too long; the same texts are encoded again for every candidate.
    original.encode([texts[number] for number in halves.choose])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TerselyWarning)
        chosen_on, judge = _judge(original, texts, wanted, halves.choose)
        search = _Search(original, chosen_on, judge, limit, tell, {})
        packed = Candidate(PACKED, preset("dense"))
        best = without = _best_plan(search, packed)
        if train is not None:
            prove = {texts[number] for number in halves.prove}
            best = _best_trained(search, best, [text for text in train if text not in prove])
        best = _best_execution(search, best)
        evidence = Evidence(
            model=Path(original.source).resolve().name,
            answer="keep",
            reason="",
            counts=judge.counts,
            limit=limit,
            texts={"given": len(texts), "choose": len(halves.choose), "prove": len(halves.prove)},
            machine=describe_machine(),
            timed_documents=min(TIMED, len(chosen_on)),
        )
        finalists = [packed] if best.name == PACKED else [packed, best]
        before = without if train is not None else None
        evidence, speeds = timed(evidence, original, chosen_on, finalists, before, rounds)
        evidence = replace(evidence, tried=tuple(search.tried.values()))
        if not gains(speeds[best.name]):
            speed = min(speeds[best.name].values(), key=lambda ratio: ratio.median)
            reason = (
                "No gain here: keep the original. The fastest that keeps the limit on the texts "
                f"for choosing is {best.name}, ×{speed.median:.2f} the speed of the faster way to "
                f"run it ({speed.interval[0]:.2f}–{speed.interval[1]:.2f})"
            )
            return replace(evidence, reason=reason), None
        prove_on, judge = _judge(original, texts, wanted, halves.prove)
        proven, proofs = prove_in_turn(finalists, original, prove_on, judge, limit)
        evidence = replace(evidence, proofs=proofs)
    failed = f"the texts set apart do not prove the limit for {best.name}, the choice"
    if proven is None or not gains(speeds[proven.name]):
        return replace(evidence, reason=f"Keep the original: {failed}"), None
    reason = f"Faster: {proven.name}" + ("" if proven is best else f"; {failed}")
    evidence = replace(
        evidence,
        answer="faster",
        reason=reason,
        chosen=proven.name,
        execution=proven.execution.to_dict(),
        speed=speeds[proven.name],
    )
    return evidence, ready(proven, original)


def _judge(
    original: Classifier, texts: Sequence[str], wanted: Any, numbers: Sequence[int]
) -> tuple[list[str], Judge]:
    """Some of the texts, and who judges on them: by the original as transformers run it."""
    part = [texts[number] for number in numbers]
    reference = stock(original, "sorted")
    reference.prepare(part)
    right = None if wanted is None else wanted[list(numbers)]
    return part, Judge(reference.run(), right, original.label_space.problem_type)


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


def _best_plan(search: _Search, packed: Candidate) -> Candidate:
    """The fastest plan that keeps the limit on the texts for choosing; packed at least."""
    original = search.original
    search.screen(packed)
    search.admit(packed)
    depth = original.model.config.encoder_config.num_hidden_layers
    chains = [
        [Candidate(name, plan) for name, plan in chain]
        for chain in untrained_plans(depth, original.model.config.head)
    ]
    return _fastest(search, [packed, *_admitted(search, chains)])


def _admitted(search: _Search, chains: list[list[Candidate]]) -> list[Candidate]:
    """The cheapest candidates that keep the limit on all texts for choosing.

    Cheapest by their MACs, which no busy machine disturbs; the clock decides among those.
    A chain goes from the boldest to the most careful; its next one is looked at when one fails.
    """
    rest = [iter(chain) for chain in chains]
    heads = [next(filter(search.screen, chain), None) for chain in rest]
    good: list[Candidate] = []
    while len(good) < ADMITTED and any(heads):
        waiting = [place for place, head in enumerate(heads) if head is not None]
        place = min(waiting, key=lambda place: search.tried[heads[place].name].macs_ratio)
        if search.admit(heads[place]):
            good.append(heads[place])
            heads[place] = None
        else:
            heads[place] = next(filter(search.screen, rest[place]), None)
    return good


def _best_trained(search: _Search, best: Candidate, texts: Sequence[str]) -> Candidate:
    """The fastest with those that were fine-tuned briefly, the original teaching."""
    made = trained_candidates(search.original, texts, search.tell)
    return _fastest(search, [best, *_admitted(search, [[candidate] for candidate in made])])


def _fastest(search: _Search, candidates: list[Candidate]) -> Candidate:
    """The one with the least median time, all taking turns."""
    if len(candidates) == 1:
        return candidates[0]
    contenders = [candidate.contender(search.original) for candidate in candidates]
    timings = turns(contenders, search.texts, rounds=3)
    medians = [float(np.median(timing.seconds)) for timing in timings]
    return candidates[int(np.argmin(medians))]


def _best_execution(search: _Search, best: Candidate) -> Candidate:
    """Other precisions, token budgets and threads for the plan, where the machine is faster so."""
    if search.original.device.type != "cpu":
        return best
    for precision in ("int8", "bfloat16"):
        other = _with(best, f"{best.name}, {precision}", precision=precision)
        if search.screen(other) and search.admit(other):
            best = _fastest(search, [best, other])
    for options in (
        [{"threads": count} for count in thread_counts()],
        [{"batch_tokens": budget} for budget in TOKEN_BUDGETS],
    ):
        # These change the order of sums at most, so they are timed only, and proven with the rest.
        others = [_with(best, f"{best.name}, {_words(each)}", **each) for each in options]
        if not others:
            continue
        contenders = [each.contender(search.original) for each in (best, *others)]
        timings = turns(contenders, search.texts, rounds=3)
        ratios = [paired_ratio(each.seconds, timings[0].seconds) for each in timings[1:]]
        for other, ratio in zip(others, ratios, strict=True):
            search.note_timed(other, best, ratio)
        least = [ratio.minimum for ratio in ratios]
        if max(least) > 1.0:
            best = others[int(np.argmax(least))]
            search.tell(f"{best.name}: faster in every round")
    return best


def _words(options: dict[str, int]) -> str:
    [(name, value)] = options.items()
    return f"{value} {'thread' if name == 'threads' else 'tokens a batch'}" + (
        "s" if name == "threads" and value > 1 else ""
    )


def _with(candidate: Candidate, name: str, **options: Any) -> Candidate:
    return replace(candidate, name=name, execution=replace(candidate.execution, **options))
