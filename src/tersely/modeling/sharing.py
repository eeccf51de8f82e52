"""Whether a model has what another plan needs, so that both plans can run on the same weights.

Most plans need an encoder and nothing else. Some were built with a block less, a combining module
in the place of a block, or modules of their own; what lacks would have to be trained.
"""

from __future__ import annotations

from torch import nn

from tersely.errors import PlanError
from tersely.modeling.learned import lacking_modules
from tersely.reduction import Plan, ResolvedPlan

__all__ = ["check_modules"]


def check_modules(model: nn.Module, plan: Plan, resolved: ResolvedPlan) -> None:
    """Refuse a plan for which a model lacks something.

    Args:
        model: the model, built for a plan of its own.
        plan: the other plan.
        resolved: the same, fitted to the model's encoder.

    Raises:
        PlanError: naming what the plan needs, and the plan that the model was built for, or a
            pattern that does not fit the encoder's heads.
    """
    for pattern in resolved.patterns.values():
        pattern.check_heads(model.backbone.heads)
    mine, wanted = ((p.combining, p.combine) for p in (model.plan, resolved))
    if mine != wanted:
        block, combine = wanted
        needs = "every block" if combine is None else f"{combine.tokens} combination tokens"
        at = "" if combine is None else f" at block {block}"
        raise PlanError(
            f"the plan {plan.name!r} needs {needs}{at}, and this model was built for "
            f"{model.config.plan['name']!r}; train a model under that plan"
        )
    empty = {i for i, b in enumerate(model.backbone.blocks) if isinstance(b, nn.Identity)}
    lacking = sorted(empty - {resolved.combining} - resolved.skipped)
    if lacking:
        raise PlanError(
            f"the plan {plan.name!r} needs block {lacking[0]}, which this model was built "
            f"without ({model.config.plan['name']!r}); train a model under that plan"
        )
    for layer, role in lacking_modules(resolved, model):
        raise PlanError(
            f"the plan {plan.name!r} needs what its {role!r} part learns at block {layer}, and "
            f"this model was built for {model.config.plan['name']!r}; train a model under that "
            "plan"
        )
    if resolved.detour and resolved.detour.step.score.by_word and model.words is None:
        raise PlanError(
            f"the plan {plan.name!r} needs the running importance of words, and this model was "
            f"built for {model.config.plan['name']!r}; make a model for that plan"
        )
