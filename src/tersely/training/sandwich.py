"""Training for all budgets at once: each step runs the full, the smallest and random lengths.

After Length-Adaptive Transformer (Kim and Cho, ACL 2021, arXiv 2010.07003): the full model learns
from the labels, and the shorter ones from its detached logits, by the KL divergence. All of them
are the same weights under other plans, so that the checkpoint that comes out runs at any of them.

Ours differs from the paper: the shares of the blocks are drawn uniformly between the plan's and 1,
and a document's tokens are rounded up from them, so that lengths are relative to each document; the
KL divergence is the usual one, of the teacher's distribution from the student's (the released code
has them the other way round); no blocks are dropped at random; and there is no evolutionary search
for the best lengths of each block, since `Classifier.with_budget` takes one share for all of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tersely.modeling import TerselyForSequenceClassification
from tersely.reduction import Plan, Step, resolve_layers
from tersely.training.distillation import distillation_loss

__all__ = ["Sandwich"]


class Sandwich:
    """The configurations of a step, and what the shorter ones learn from the full one.

    Args:
        model: the model; its plan is the smallest configuration.
        samples: random configurations a step.
        seed: of the draws, which depend on it and on the step's number alone, so that a run that is
            resumed draws the same.
    """

    def __init__(self, model: TerselyForSequenceClassification, samples: int, seed: int) -> None:
        self.model, self.samples, self.seed = model, samples, seed
        self.plan = model.config.reduction_plan()

    @staticmethod
    def is_asked_for(plan: Plan) -> bool:
        """Whether a plan is to be trained so: if it has a share that training randomises."""
        return any(_is_random(step) for step in plan.steps)

    def full(self) -> TerselyForSequenceClassification:
        """The model without the steps that are randomised."""
        steps = tuple(step for step in self.plan.steps if not _is_random(step))
        return self.model.under_plan(replace(self.plan, steps=steps))

    def draw(self, step: int) -> list[Plan]:
        """The shorter configurations of a training step: the smallest, then random ones."""
        chance = np.random.default_rng([self.seed, step])
        return [self.plan, *(self._random(chance) for _ in range(self.samples))]

    def loss(
        self, inputs: dict[str, Any], full_logits: Tensor, problem_type: str, step: int
    ) -> Tensor:
        """What the shorter configurations lose, the sum over them.

        Args:
            inputs: the batch; its labels are not looked at.
            full_logits: of the full configuration, `(documents, labels)`.
            problem_type: as in transformers.
            step: the training step's number.
        """
        unlabelled = {name: value for name, value in inputs.items() if name != "labels"}
        target = full_logits.detach()
        shorter = [self.model.under_plan(plan)(**unlabelled).logits for plan in self.draw(step)]
        losses = [distillation_loss(logits, target, problem_type, 1.0) for logits in shorter]
        return torch.stack(losses).sum()

    def _random(self, chance: np.random.Generator) -> Plan:
        """Every block of the randomised steps with a share of its own."""
        steps: list[Step] = []
        for step in self.plan.steps:
            if not _is_random(step):
                steps.append(step)
                continue
            for layer in resolve_layers(step.layers, self.model.plan.depth):
                share = float(chance.uniform(step.select.keep, 1))
                select = replace(step.select, keep=share)
                steps.append(replace(step, layers=layer, select=select))
        return replace(self.plan, steps=tuple(steps))


def _is_random(step: Step) -> bool:
    return step.select is not None and step.select.randomised
