"""What is tried: plans that need no training, and how a model is run.

The plans are the ones that hold up best on models which were trained dense: tokens leave or merge
in the later blocks, where each has seen the others, or a few of them at every block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from tersely.bench import PackedContender
from tersely.classifier import Classifier
from tersely.modeling import Execution, with_plan
from tersely.reduction import Plan, preset

__all__ = ["Candidate", "thread_counts", "trainable_plans", "untrained_plans"]

TOKEN_BUDGETS = (2048, 8192)
"""Beside the usual 4,096."""


@dataclass(frozen=True)
class Candidate:
    """A way to run the original: a plan, and how it is executed.

    Attributes:
        name: how the evidence calls it.
        plan: the reduction; dense for none.
        execution: token budget, threads, precision.
        classifier: a fine-tuned one under that plan; None to put the plan on the original.
    """

    name: str
    plan: Plan
    execution: Execution = field(default_factory=Execution)
    classifier: Classifier | None = field(default=None, compare=False)

    def build(self, original: Classifier) -> Classifier:
        """The classifier: the original's weights under the plan, in the candidate's precision."""
        source = self.classifier or original
        made = Classifier(
            source.source,
            method=self.plan,
            device=str(original.device),
            batch_tokens=self.execution.batch_tokens,
        )
        if self.classifier is not None:
            model = self.classifier.model
        else:
            model = with_plan(original.model, self.plan)
        made.adopt(model, original.tokenizer, self.execution)
        return made

    def contender(self, original: Classifier) -> PackedContender:
        """The candidate, for the clock."""
        return PackedContender(self.build(original), self.name)


def untrained_plans(depth: int, head: str) -> Iterator[list[tuple[str, Plan]]]:
    """Chains of plans with their names, each from the boldest to the most careful.

    Args:
        depth: blocks of the encoder.
        head: the kind of head; the family's own reads [CLS], which pooling would blur.
    """
    ratios = (0.15, 0.1, 0.06)
    yield [(f"tome ratio={ratio:g}", preset("tome", ratio=ratio)) for ratio in ratios]
    if depth > 2:
        yield [
            (f"tome ratio={ratio:g} start=1/2", preset("tome", ratio=ratio, start=0.5))
            for ratio in (0.3, 0.2, 0.12, 0.06)
        ]
    methods = ("topk", "fca", "pool") if head == "mean" else ("topk", "fca")
    for place in _late_blocks(depth):
        for method in methods:
            yield [
                (f"{method} keep={keep:g} at={place}", preset(method, keep=keep, at=place))
                for keep in (0.25, 0.5, 0.75)
            ]


def trainable_plans(depth: int, head: str) -> Iterator[tuple[str, Plan]]:
    """Plans that are worth a brief training, the most careful first."""
    for share in (2 / 3, 1 / 2, 1 / 3):
        place = round(share * depth)
        if 0 < place < depth:
            yield f"topk keep=0.25 at={place}", preset("topk", keep=0.25, at=place)
            if head == "mean" and place < depth - 1:
                yield f"focus-c at={place}", preset("focus-c", combine_at=place)


def thread_counts() -> list[int]:
    """Other numbers of threads than the one in use: fewer, down to one, by halves."""
    count, found = torch.get_num_threads() // 2, []
    while count >= 1:
        found.append(count)
        count //= 2
    return found


def _late_blocks(depth: int) -> list[int]:
    places = {round(share * depth) for share in (1 / 3, 1 / 2, 2 / 3)}
    return sorted(place for place in places if 0 < place < depth)
