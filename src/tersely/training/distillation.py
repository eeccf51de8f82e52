"""Learning from logits: a teacher's, or, for all budgets at once, the model's own at full length.

For all budgets each step runs the full, the smallest and random lengths. That is the sandwich rule
of slimmable networks (J. Yu and T. Huang, ICCV 2019, arXiv 1903.05134), as Length-Adaptive
Transformer (G. Kim and K. Cho, ACL 2021, arXiv 2010.07003) has it for lengths: the full model
learns from the labels, and the shorter ones from its detached logits, by the KL divergence. All of
them are the same weights under other plans, so that the checkpoint that comes out runs at any.

Ours differs from the paper: the shares of the blocks are drawn uniformly between the plan's and 1,
and a document's tokens are rounded up from them, so that lengths are relative to each document; the
KL divergence is the usual one, of the teacher's distribution from the student's (the released code
has them the other way round); no blocks are dropped at random; and there is no evolutionary search
for the best lengths of each block, since `Classifier.with_budget` takes one share for all of them.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tersely.reduction import Plan, Step, resolve_blocks


def distillation_loss(
    student: Tensor, teacher: Tensor, problem_type: str, temperature: float
) -> Tensor:
    """How far the student's logits are from the teacher's, a mean over documents.

    For one label of several: the KL divergence of the softened distributions, times T² (Hinton et
    al., arXiv 1503.02531). For several labels at once: the same of each label's two outcomes,
    summed over the labels. For regression: the squared difference. Both `(documents, labels)`.
    """
    if problem_type == "regression":
        return F.mse_loss(student, teacher)
    if problem_type == "multi_label_classification":
        # Logits of yes and no, `(documents, labels, 2)`.
        student, teacher = (torch.stack([x, torch.zeros_like(x)], -1) for x in (student, teacher))
    log_student = (student / temperature).log_softmax(-1)
    log_teacher = (teacher / temperature).log_softmax(-1)
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True)
    return divergence.flatten(1).sum(1).mean() * temperature**2


def draw_plans(plan: Plan, depth: int, samples: int, seed: int, number: int) -> list[Plan]:
    """Return what a training step runs of a plan: the full one, itself, then so many random ones.

    None where training randomises no share. The draws depend on the seed and the step's number
    alone, so that a run that is resumed draws the same.
    """
    if not plan.is_randomised:
        return []
    chance = np.random.default_rng([seed, number])
    full = tuple(step for step in plan.steps if not step.is_randomised)
    drawn = [_random_plan(plan, depth, chance) for _ in range(samples)]
    return [replace(plan, steps=full), plan, *drawn]


def _random_plan(plan: Plan, depth: int, chance: np.random.Generator) -> Plan:
    """Give every block of the randomised steps a share of its own."""
    steps: list[Step] = []
    for step in plan.steps:
        if not step.is_randomised:
            steps.append(step)
            continue
        for block in resolve_blocks(step.blocks, depth):
            share = float(chance.uniform(step.select.keep, 1))
            steps.append(replace(step, blocks=block, select=replace(step.select, keep=share)))
    return replace(plan, steps=tuple(steps))


def shorter_loss(full: Tensor, shorter: Sequence[Tensor], problem_type: str) -> Tensor:
    """Sum what the shorter configurations lose; the full one's logits teach them."""
    target = full.detach()
    losses = [distillation_loss(logits, target, problem_type, 1.0) for logits in shorter]
    return torch.stack(losses).sum()
