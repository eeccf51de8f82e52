"""A trained model as a command asked for it: its limits, and the budget that it is to run at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from tersely.classifier import Classifier
from tersely.cli.messages import say
from tersely.reduction import has_share, plan_share
from tersely.text import Documents

__all__ = ["at_budget", "check_budget", "load_trained", "loading_options"]


def loading_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """What `Classifier.from_pretrained` is told by the options that verbs share."""
    return {
        "device": values["device"],
        "batch_tokens": values["batch_tokens"],
        "max_length": values["max_length"],
        "long": None if values["long"] is None else str(values["long"]),
    }


def check_budget(ctx: typer.Context) -> None:
    """Refuse two settings of one thing, before anything is read."""
    if ctx.params["keep"] is not None and ctx.params["budget"] is not None:
        raise typer.BadParameter("--keep and --budget set the same share; give one of them")


def load_trained(ctx: typer.Context) -> Classifier:
    """The trained model that the command names."""
    check_budget(ctx)
    return Classifier.from_pretrained(ctx.params["model"], **loading_options(ctx.params))


def at_budget(ctx: typer.Context, classifier: Classifier, documents: Documents) -> Classifier:
    """The classifier at the share that `--keep` or `--budget` asks for, with the same weights."""
    keep, budget = ctx.params["keep"], ctx.params["budget"]
    if keep is not None:
        return classifier.with_options(keep=keep)
    if budget is None:
        return classifier
    set_to = classifier.with_budget(budget, documents.texts, documents.pairs)
    if has_share(set_to.plan):
        name, value, _ = plan_share(set_to.plan, set_to.model.plan.depth)
        say(f"{classifier.plan.name} runs with {name}={value:.3g} for a budget of {budget:g}")
    return set_to
