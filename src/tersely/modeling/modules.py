"""The modules that a plan's parts bring into a model, and what another plan needs of them.

Most plans need an encoder alone, so that two can run on the same weights. Some bring modules of
their own, or were built with a block less.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from tersely.errors import PlanError
from tersely.reduction import INPUT, Learned, Plan, ResolvedPlan, resolve_blocks


def block_modules(plan: ResolvedPlan, width: int, heads: int) -> nn.ModuleDict:
    """Make the modules of a plan's parts, by block and by role."""
    blocks = nn.ModuleDict()
    for block in (INPUT, *range(plan.depth)):
        parts = [("pattern", plan.patterns.get(block)), ("act", plan.replaced.get(block))]
        steps = plan.inputs if block == INPUT else plan.at(block)
        parts += [pair for step in steps for pair in step.parts.items()]
        made = [(role, part and part.module(width, heads)) for role, part in parts]
        if modules := {role: module for role, module in made if module is not None}:
            blocks[str(block)] = nn.ModuleDict(modules)
    return blocks


def modules_at(learned: nn.ModuleDict, block: int | str) -> dict[str, Learned]:
    """Return the modules at a block by role; none as a rule."""
    return dict(learned[str(block)].items()) if str(block) in learned else {}


@torch.no_grad()
def take_over_learned(new: nn.ModuleDict, old: nn.ModuleDict) -> None:
    """Copy what parts have learned where the same is learned at the same block; else start anew."""
    for block, roles in new.items():
        for role, module in roles.items():
            known = modules_at(old, block).get(role)
            if _alike(known, module):
                module.load_state_dict(known.state_dict())


def check_modules(model: nn.Module, plan: Plan, resolved: ResolvedPlan) -> None:
    """Raise a `PlanError` for a plan for which a model lacks something that has to be trained."""
    for pattern in resolved.patterns.values():
        pattern.check_heads(model.backbone.heads)
    for lacking in _lacking(model, resolved):
        raise PlanError(
            f"the plan {plan.name!r} needs {lacking}, which this model, built for the plan "
            f"{model.config.plan['name']!r}, does not have; train a model under {plan.name!r}"
        )


def _lacking(model: nn.Module, plan: ResolvedPlan) -> Iterator[str]:
    if model.linear is None and any(step.score.needs_linear for step in plan.inputs):
        yield "a linear stage beside the encoder"
    if plan.replaced != model.plan.replaced:
        for block, act in plan.replaced.items():
            yield f"a module for {act.to_dict()} in the place of block {block}"
    for block, module in enumerate(model.backbone.blocks):
        if isinstance(module, nn.Identity) and block not in plan.replaced.keys() | plan.skipped:
            yield f"block {block}"
    wanted = block_modules(plan, model.backbone.width, model.backbone.heads) if plan.learns else {}
    for block, roles in wanted.items():
        known = modules_at(model.learned, block)
        for role in roles:
            if not _alike(known.get(role), roles[role]):
                yield f"what its {role!r} part learns at block {block}"


def _alike(known: Learned | None, module: Learned) -> bool:
    if type(known) is not type(module):
        return False
    mine, other = ({n: t.shape for n, t in m.state_dict().items()} for m in (known, module))
    return mine == other


def frozen_plan(plan: Plan, model: nn.Module) -> Plan:
    """Write what the parts of a model's plan have learned down as plain numbers, if possible."""
    steps = []
    for number, step in enumerate(plan.steps):
        parts = step.parts
        if step.learns:
            blocks = resolve_blocks(step.blocks, model.plan.depth, f"plan.steps[{number}].blocks")
            for role, part in parts.items():
                name = "pattern" if role == "act" and step.act.acts == "attention" else role
                learned = [modules_at(model.learned, block).get(name) for block in blocks]
                parts[role] = part.frozen(learned)
        steps.append(replace(step, **parts))
    return replace(plan, steps=tuple(steps))
