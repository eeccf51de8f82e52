"""The one table of methods that all behaviours are tested on, and the tiny models they make.

A new preset, or an option that changes what is computed, gets one line here and thereby all tests
of `test_model_methods.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tersely import TerselyConfig, TerselyForSequenceClassification, preset
from tersely.reduction import (
    ColumnMean,
    Combine,
    DropKeys,
    DropTokens,
    FirstRow,
    FuzzyRatio,
    GlobalTokens,
    Knowledge,
    LearnedNeighbours,
    LearnedShares,
    Lexical,
    LinearRatio,
    Merge,
    Neighbours,
    Pattern,
    Plan,
    RandomPairs,
    Ratio,
    SampledRows,
    Step,
    Syntax,
    Threshold,
    Union,
)
from tiny import tiny_config

__all__ = ["KNOWLEDGE", "LABELS", "METHODS", "NO_OPS", "build", "checkpointing", "pack", "pad"]

LABELS = 3

# Of four blocks, so that keys dropped after the first two are missed by the others, and half of
# the tokens goes where the paper takes a tenth: documents here are short.
_PRUNING = {"keep": 0.5}
_COMBINING = {"combine_at": 0.75, "tokens": 4}
_SAMPLED = SampledRows(rows=4, heads="each", count_combination_tokens=False)


def _pattern(name: str, pattern: Pattern, *steps: Step) -> Plan:
    return Plan(name, (Step(pattern, {"start": 0}), *steps))


def odd_and_even(ids: list[int]) -> tuple[list[int], list[int]]:
    """A parse: words of up to two tokens, each governed by the word three before it."""
    words = [number // 2 for number in range(len(ids))]
    heads = [max(0, word - 3) for word in range(words[-1] + 1)]
    return [-1, *words[1:]], heads


KNOWLEDGE = Knowledge(parser=odd_and_even, stems=torch.arange(100) // 10)

_MERGING = Step(Merge(ratio=0.3), {"start": 0})

METHODS: dict[str, Plan] = {
    "dense": preset("dense"),
    "focus-p": preset("focus-p", **_PRUNING),
    "focus-p, tokens": preset("focus-p", drop="tokens", **_PRUNING),
    "focus-pf": preset("focus-pf", **_PRUNING),
    "focus-pf, tokens": preset("focus-pf", drop="tokens", **_PRUNING),
    "focus-pf, most keys": preset("focus-pf", keep=0.8),
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
    "token drop": preset("token-drop"),
    "lat": preset("lat", keep=0.6),
    "lat, start 2": preset("lat", keep=0.5, start=2, pin="ends", score="first-row"),
    "ltp": preset("ltp", threshold=0.9),
    "ltp-once": preset("ltp-once", threshold=0.9),
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
    "truncated, then combined": Plan(
        "truncated, then combined",
        (
            *preset("truncate", keep=0.5).steps,
            Step(DropKeys(), {"stop": 3}, ColumnMean(heads="each"), Ratio(keep=0.6)),
            Step(Combine(tokens=4), 3),
        ),
    ),
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
    "neighbours": _pattern("neighbours", Neighbours(width=2)),
    "neighbours, without [CLS]": _pattern("neighbours", Neighbours(width=1, cls=False)),
    "neighbours, a share": _pattern("neighbours", Neighbours(share=0.2)),
    "neighbours, heads": _pattern("neighbours", Neighbours(width=[0, 3, 1, 2])),
    "global": _pattern("global", GlobalTokens(tokens=3)),
    "random pairs": _pattern("random pairs", RandomPairs(share=0.3, seed=5)),
    "lexical": _pattern("lexical", Lexical()),
    "lexical, stems": _pattern("lexical, stems", Lexical(by="stem")),
    "lexical, embedding": _pattern("lexical, embedding", Lexical(by="embedding", share=0.2)),
    "syntax": _pattern("syntax", Syntax()),
    "union": _pattern(
        "union", Union(of=[Neighbours(width=1), RandomPairs(share=0.1), GlobalTokens(tokens=2)])
    ),
    "neighbours, tokens dropped": _pattern(
        "neighbours, tokens dropped",
        Neighbours(width=3),
        Step(DropTokens(), [0, 2], ColumnMean(), Ratio(keep=0.6)),
    ),
    "breaking-bert": preset("breaking-bert", most=8, start=0),
    "breaking-bert, ramp": _pattern(
        "breaking-bert, ramp", LearnedNeighbours(by="ramp", heads="each", most=6, ramp=4)
    ),
    "breaking-bert, heads, dropped": _pattern(
        "breaking-bert, heads, dropped",
        LearnedNeighbours(heads="each", most=11, cls=False),
        Step(DropKeys(), [0, 1], ColumnMean(heads="each"), Ratio(keep=0.6)),
    ),
    "neighbours, of each block": _pattern(
        "neighbours, of each block", Neighbours(widths=[3, [1, 2, 0, 4], 1, 2])
    ),
    "neighbours, merged": _pattern("neighbours, merged", Neighbours(width=3), _MERGING),
    "union, keys dropped, combined": Plan(
        "union, keys dropped, combined",
        (
            Step(Union(of=[Neighbours(width=3), Lexical(by="embedding")]), {"stop": 3}),
            Step(DropKeys(), {"stop": 3}, ColumnMean(heads="each"), FuzzyRatio(keep=0.5)),
            Step(Combine(tokens=4), 3),
        ),
    ),
}


_NOTHING = {
    "keep": 1.0,
    "ratio": 0.0,
    "threshold": 0.0,
    "width": 1000,
    "tokens": 1000,
    "share": 1.0,
}


def _with_nothing_to_remove(plan: dict) -> dict:
    for step in plan["steps"]:
        parts = [step["act"], step.get("select", {}), *step["act"].get("of", [])]
        for part in parts:
            for name, value in _NOTHING.items():
                if part.get(name) is not None:
                    part[name] = [value] * 4 if isinstance(part[name], list) else value
            if part.get("widths"):
                part["widths"] = [1000] * 4
            if part.get("thresholds"):
                part["thresholds"] = [0.0] * len(part["thresholds"])
            if part.get("keeps"):
                part["keeps"] = [1.0] * len(part["keeps"])
    return plan


# What follows from the words alone leaves something out at any setting.
_FIXED = ("syntax", "lexical", "lexical, stems")

# The methods that have a setting at which they remove nothing.
NO_OPS: dict[str, Plan] = {
    name: Plan.from_dict(_with_nothing_to_remove(plan.to_dict()))
    for name, plan in METHODS.items()
    if plan.combine is None
    and not plan.is_dense
    and not plan.is_soft
    and name not in _FIXED
    # Their networks have no such setting.
    and name not in ("power-bert, straight", "transkimmer")
}


def build(
    plan: Plan, family: str = "bert", head: str = "mean", **overrides: object
) -> TerselyForSequenceClassification:
    """A tiny model with random weights, the same ones for the same arguments."""
    config = TerselyConfig(
        encoder_config=tiny_config(family, **{"num_hidden_layers": 4, **overrides}),
        plan=plan.to_dict(),
        head=head,
        num_labels=LABELS,
        classifier_dropout=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = TerselyForSequenceClassification(config)
        # Biases and norms start as 0 and 1, and the head near 0, which would hide mistakes.
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 or name.startswith("head."):
                parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    model.knowledge = KNOWLEDGE
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


def checkpointing(model: TerselyForSequenceClassification) -> None:
    """Switch gradient checkpointing on, by the name that this transformers gives it."""
    newer = getattr(model, "activation_checkpointing_enable", None)
    (newer or model.gradient_checkpointing_enable)()
