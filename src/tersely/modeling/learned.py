"""What a plan's parts learn, inside the model: their modules, and the penalty on what they spend.

The penalty compares MACs with those of the dense model. They are counted as the trace
counts them, with the tokens that count as left in place of those that are: the figures agree, and
these carry gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from tersely.modeling.pricing import Prices
from tersely.reduction import Learned, Plan, ResolvedPlan, Spent, resolve_layers

__all__ = [
    "Spending",
    "frozen_plan",
    "lacking_modules",
    "learned_modules",
    "spread",
    "take_over_learned",
]


def learned_modules(plan: ResolvedPlan, width: int, heads: int) -> nn.ModuleDict:
    """The modules of a plan's parts, by block and by role."""
    blocks = nn.ModuleDict()
    for layer in range(plan.depth):
        pattern = plan.patterns.get(layer)
        learns = pattern is not None and pattern.learns
        modules = {"pattern": pattern.module(width, heads)} if learns else {}
        for step in plan.at(layer):
            made = {role: part.module(width, heads) for role, part in step.parts.items()}
            modules |= {role: module for role, module in made.items() if module is not None}
        if modules:
            blocks[str(layer)] = nn.ModuleDict(modules)
    return blocks


@torch.no_grad()
def take_over_learned(new: nn.ModuleDict, old: nn.ModuleDict) -> None:
    """Copy what parts have learned where the same is learned at the same block; else start anew."""
    for layer, roles in new.items():
        for role, module in roles.items():
            known = _find(old, layer, role)
            if _alike(known, module):
                module.load_state_dict(known.state_dict())


def lacking_modules(plan: ResolvedPlan, model: nn.Module) -> Iterator[tuple[str, str]]:
    """Blocks and roles at which a plan's parts would use what a model has not learned."""
    if not plan.learns:
        return
    for layer, roles in learned_modules(plan, model.backbone.width, model.backbone.heads).items():
        for role, module in roles.items():
            if not _alike(_find(model.learned, layer, role), module):
                yield layer, role


def _alike(known: Learned | None, module: Learned) -> bool:
    """Whether two modules learn the same, in the same shapes."""
    if type(known) is not type(module):
        return False
    mine, other = known.state_dict(), module.state_dict()
    shapes = {name: tensor.shape for name, tensor in mine.items()}
    return shapes == {name: tensor.shape for name, tensor in other.items()}


def _find(learned: nn.ModuleDict, layer: int | str, role: str) -> Learned | None:
    block = learned[str(layer)] if str(layer) in learned else ()
    return block[role] if role in block else None


def frozen_plan(plan: Plan, model: nn.Module) -> Plan:
    """A plan with what its parts have learned written down as plain numbers, where it can be.

    Args:
        plan: the model's plan.
        model: the model, as it was trained.
    """
    steps = []
    for number, step in enumerate(plan.steps):
        parts = step.parts
        if step.learns:
            layers = resolve_layers(step.layers, model.plan.depth, f"plan.steps[{number}].layers")
            for role, part in parts.items():
                name = "pattern" if role == "act" and step.act.connects else role
                parts[role] = part.frozen([_find(model.learned, i, name) for i in layers])
        steps.append(replace(step, **parts))
    return replace(plan, steps=tuple(steps))


def spread(own: Tensor, embedded: Tensor) -> Tensor:
    """Values of the documents' own tokens on a row with others among them, 0 for those."""
    row = own.new_zeros(len(embedded))
    row[embedded] = own
    return row


class Spending:
    """Counts what a forward pass takes, differentiable in what selectors learn.

    Args:
        lengths: `(documents,)`, tokens of each document before anything left.
        dense: the prices of the dense model's blocks.
    """

    def __init__(self, lengths: Tensor, dense: list[Prices]) -> None:
        tokens = lengths.float()
        pairs = tokens.square().sum()
        self.dense = sum(price.total(tokens.sum(), pairs, tokens.sum()) for price in dense)
        self.taken = tokens.new_zeros(())
        self.masks: list[Tensor] = []
        self.lessons: list[Tensor] = []
        self.shares: list[Tensor] = []

    def add(
        self,
        prices: Prices,
        entered: Tensor,
        keys: Tensor | float = 0.0,
        left: Tensor | float = 0.0,
    ) -> None:
        """Count a block: tokens that entered, the keys of each, tokens left; `(documents,)`."""
        pairs, left = (entered * keys).sum(), torch.as_tensor(left).sum()
        self.taken = self.taken + prices.total(entered.sum(), pairs, left)

    def note(self, mask: Tensor | None, lesson: Tensor | None) -> None:
        """Keep what a block's step gave for the penalty: a mask `(tokens, 1)`, a loss."""
        if mask is not None:
            self.masks.append(mask.mean())
        if lesson is not None:
            self.lessons.append(lesson)

    def penalty(self, plan: ResolvedPlan, others: int) -> Tensor | None:
        """What the plan's parts add to the loss, a scalar; None for nothing.

        Args:
            plan: the plan.
            others: MACs beside the blocks, the same for the dense model.
        """
        spent = Spent((self.taken + others) / (self.dense + others), self.masks, self.shares)
        parts = [
            part for step in plan.whole for part in (step.select, step.act) if part is not None
        ]
        terms = [term for part in parts if (term := part.penalty(spent)) is not None]
        terms.extend(self.lessons)
        return torch.stack(terms).sum() if terms else None
