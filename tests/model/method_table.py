"""The one table of methods that all behaviours are tested on, and the tiny models they make.

A new preset, or an option that changes what is computed, gets one line here and thereby all tests
of `test_model_methods.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from laconic import LaconicConfig, LaconicForSequenceClassification, preset
from laconic.reduction import (
    ColumnMean,
    Combine,
    DropKeys,
    DropTokens,
    FirstRow,
    FuzzyRatio,
    LearnedShares,
    LinearRatio,
    Merge,
    Plan,
    Ratio,
    SampledRows,
    Step,
    Threshold,
)
from tiny import tiny_config

__all__ = ["LABELS", "METHODS", "NO_OPS", "build", "checkpointing", "pack", "pad"]

LABELS = 3

# Of four blocks, so that keys dropped after the first two are missed by the others, and half of
# the tokens goes where the paper takes a tenth: documents here are short.
_PRUNING = {"keep": 0.5}
_COMBINING = {"combine_at": 0.75, "tokens": 4}
_SAMPLED = SampledRows(rows=4, heads="each", count_combination_tokens=False)

METHODS: dict[str, Plan] = {
    "dense": preset("dense"),
    "focus-p": preset("focus-p", **_PRUNING),
    "focus-p, tokens": preset("focus-p", drop="tokens", **_PRUNING),
    "focus-pf": preset("focus-pf", **_PRUNING),
    "focus-pf, tokens": preset("focus-pf", drop="tokens", **_PRUNING),
    "focus-pf, heads mean": preset("focus-pf", heads="mean", **_PRUNING),
    "focus-pf, complement": preset("focus-pf", reading="complement", **_PRUNING),
    "focus-pf, pin first": preset("focus-pf", pin="first", **_PRUNING),
    "focus-c": preset("focus-c", **_COMBINING),
    "focus-pfc": preset("focus-pfc", **_PRUNING, **_COMBINING),
    "focus-pfc, tokens": preset("focus-pfc", drop="tokens", **_PRUNING, **_COMBINING),
    "first row": Plan("first row", (Step(DropTokens(), [0, 2], FirstRow(), Ratio(keep=0.5)),)),
    "topk": preset("topk", keep=0.5),
    "topk, linear": preset("topk", keep=0.3, linear=True),
    "threshold": preset("threshold", threshold=0.9),
    "ltp": preset("ltp", threshold=0.9),
    "ltp, gradients": preset("ltp", threshold=0.9, gradients=True),
    "ltp, soft": preset("ltp-paper", threshold=0.9),
    "ltp, frozen": Plan(
        "ltp",
        (Step(DropTokens(), [0, 2], ColumnMean(), Threshold(thresholds=[0.7, 0.9], pin="first")),),
    ),
    "power-bert, soft": preset("power-bert", bins=10),
    "power-bert, straight": Plan(
        "power-bert",
        (Step(DropTokens(), {"start": 0}, ColumnMean(), LearnedShares(bins=10, target=0.5)),),
    ),
    "power-bert, frozen": Plan(
        "power-bert",
        (Step(DropTokens(), [0, 2], ColumnMean(diagonal=False), LinearRatio(keeps=[0.8, 0.5])),),
    ),
    "transkimmer": preset("transkimmer", bias=0.3),
    "adapler": preset("adapler", threshold=0.999),
    "random": preset("random", keep=0.5),
    "truncate": preset("truncate", keep=0.5),
    "fewer layers": preset("fewer-layers"),
    "pool": preset("pool", keep=0.4),
    "tome": preset("tome", ratio=0.3),
    "tome, norm": preset("tome", ratio=0.3, rule="norm", start=1),
    "tome, prune": preset("tome", ratio=0.3, rule="prune"),
    "fca": preset("fca", keep=0.4),
    "fca, five": preset("fca", keep=0.3, tokens=5, weighted=False),
    **{
        f"topk by {score}": preset("topk", keep=0.5, score=score)
        for score in ("first-row-values", "row-max", "hidden-change", "column-mean-values")
    },
    "merged, then topk": Plan(
        "merged, then topk",
        (
            Step(Merge(ratio=0.4), 0),
            Step(DropKeys(), 1, ColumnMean(), Ratio(keep=0.7)),
            Step(DropTokens(), 2, ColumnMean(values=True), Ratio(keep=0.6)),
        ),
    ),
    "sampled rows": Plan(
        "sampled rows",
        (
            Step(DropKeys(), {"stop": 3}, _SAMPLED, FuzzyRatio(keep=0.5)),
            Step(Combine(tokens=4), 3),
        ),
    ),
}


def _with_nothing_to_remove(plan: dict) -> dict:
    for step in plan["steps"]:
        for part in (step["act"], step.get("select", {})):
            for name, value in {"keep": 1.0, "ratio": 0.0, "threshold": 0.0}.items():
                if name in part:
                    part[name] = value
            if part.get("thresholds"):
                part["thresholds"] = [0.0] * len(part["thresholds"])
            if part.get("keeps"):
                part["keeps"] = [1.0] * len(part["keeps"])
    return plan


# The methods that have a setting at which they remove nothing.
NO_OPS: dict[str, Plan] = {
    name: Plan.from_dict(_with_nothing_to_remove(plan.to_dict()))
    for name, plan in METHODS.items()
    if plan.combine is None
    and not plan.is_dense
    and not plan.is_soft
    # Their networks have no such setting.
    and name not in ("power-bert, straight", "transkimmer")
}


def build(
    plan: Plan, family: str = "bert", head: str = "mean", **overrides: object
) -> LaconicForSequenceClassification:
    """A tiny model with random weights, the same ones for the same arguments."""
    config = LaconicConfig(
        encoder_config=tiny_config(family, **{"num_hidden_layers": 4, **overrides}),
        plan=plan.to_dict(),
        head=head,
        num_labels=LABELS,
        classifier_dropout=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LaconicForSequenceClassification(config)
        # Biases and norms start as 0 and 1, and the head near 0, which would hide mistakes.
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 or name.startswith("head."):
                parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    return model


def pad(documents: list[Tensor], filler: int = 0) -> dict[str, Tensor]:
    """A padded batch as transformers' tokenizers make it."""
    longest = max(len(document) for document in documents)
    ids = torch.full((len(documents), longest), filler)
    mask = torch.zeros_like(ids)
    for row, document in enumerate(documents):
        ids[row, : len(document)] = document
        mask[row, : len(document)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def pack(documents: list[Tensor]) -> dict[str, Tensor]:
    """A packed row as transformers' flattening collator makes it."""
    lengths = torch.tensor([0, *(len(document) for document in documents)])
    return {
        "input_ids": torch.cat(documents)[None],
        "cu_seq_lens_q": lengths.cumsum(0).int(),
    }


def checkpointing(model: LaconicForSequenceClassification) -> None:
    """Switch gradient checkpointing on, by the name that this transformers gives it."""
    newer = getattr(model, "activation_checkpointing_enable", None)
    (newer or model.gradient_checkpointing_enable)()
