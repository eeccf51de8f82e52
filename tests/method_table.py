"""The one table of methods that all behaviours are tested on, and the tiny models they make.

Presets are here by the examples that they register; a combination of parts that no preset makes
gets an entry, and thereby all tests of `tests/methods/test_methods_table.py`.
"""

import torch
from torch import Tensor, nn

from tersely import TerselyConfig, TerselyForSequenceClassification, preset
from tersely.linear import LinearForm
from tersely.methods.breaking_bert import LearnedNeighbours
from tersely.methods.contrib.power_bert import BlockRatio
from tersely.methods.focus import Combine, FuzzyRatio
from tersely.methods.patterns import GlobalTokens, Lexical, Neighbours, RandomPairs, Syntax, Union
from tersely.methods.tome import Merge
from tersely.reduction import (
    ColumnMean,
    DropKeys,
    DropTokens,
    Knowledge,
    Pattern,
    Plan,
    Ratio,
    Step,
    Threshold,
    find_preset,
    presets,
)
from tiny import VOCABULARY, tiny_config

LABELS = 3
LINEAR = LinearForm("svc", LABELS, vocabulary=VOCABULARY, buckets=50, special_ids=(0, 1, 2))
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}

_OWN = ColumnMean(heads="each", count_combination_tokens=False)


def odd_and_even(ids: list[int]) -> tuple[list[int], list[int]]:
    """A parse: words of up to two tokens, each governed by the word three before it."""
    words = [number // 2 for number in range(len(ids))]
    heads = [max(0, word - 3) for word in range(words[-1] + 1)]
    return [-1, *words[1:]], heads


KNOWLEDGE = Knowledge(parser=odd_and_even, stems=torch.arange(100) // 10)


def _pattern(pattern: Pattern, *steps: Step) -> tuple[Step, ...]:
    return (Step(pattern, {"start": 0}), *steps)


def _ratio(keep: float) -> Ratio:
    return Ratio(keep=keep, least=1)


# Parts of presets in other company, and what learned parts freeze to: what no preset makes.
COMBINATIONS: dict[str, tuple[Step, ...]] = {
    "ltp, frozen": (
        Step(DropTokens(), [0, 2], ColumnMean(), Threshold(thresholds=[0.7, 0.9], least=1)),
    ),
    "power-bert, frozen": (
        Step(
            DropTokens(), [0, 2], ColumnMean(diagonal=False), BlockRatio(keeps=[0.8, 0.5], least=1)
        ),
    ),
    "truncated, then combined": (
        *preset("truncate", keep=0.5, least=1).steps,
        Step(DropKeys(), {"stop": 3}, ColumnMean(heads="each"), _ratio(0.6)),
        Step(Combine(tokens=4), 3),
    ),
    "chosen, then topk": (
        *preset("choose", keep=0.7, least=1).steps,
        Step(DropTokens(), 1, ColumnMean(), _ratio(0.6)),
    ),
    "chosen twice, then merged": (
        *preset("choose", keep=0.8, least=1, score="idf", unit="neighbours").steps,
        *preset("choose", keep=0.7, least=1, score="linear-margin").steps,
        Step(Merge(ratio=0.3, least=1), {"start": 1}),
    ),
    "merged, then topk": (
        Step(Merge(ratio=0.4, least=1), 0),
        Step(DropKeys(), 1, ColumnMean(), _ratio(0.7)),
        Step(DropTokens(), 2, ColumnMean(values=True), _ratio(0.6)),
    ),
    "own tokens score": (
        Step(DropKeys(), {"stop": 3}, _OWN, FuzzyRatio(keep=0.5, least=1)),
        Step(Combine(tokens=4), 3),
    ),
    "neighbours, a share": _pattern(Neighbours(share=0.2)),
    "neighbours, heads": _pattern(Neighbours(width=[0, 3, 1, 2])),
    "neighbours, of each block": _pattern(Neighbours(widths=[3, [1, 2, 0, 4], 1, 2])),
    "global": _pattern(GlobalTokens(tokens=3)),
    "random pairs": _pattern(RandomPairs(share=0.3, seed=5)),
    "lexical": _pattern(Lexical()),
    "lexical, embedding": _pattern(Lexical(by="embedding", share=0.2)),
    "syntax": _pattern(Syntax()),
    "neighbours, tokens dropped": _pattern(
        Neighbours(width=3), Step(DropTokens(), [0, 2], ColumnMean(), _ratio(0.6))
    ),
    "neighbours, merged": _pattern(
        Neighbours(width=3), Step(Merge(ratio=0.3, least=1), {"start": 0})
    ),
    "breaking-bert, heads, dropped": _pattern(
        LearnedNeighbours(heads="each", most=11, cls=False),
        Step(DropKeys(), [0, 1], ColumnMean(heads="each"), _ratio(0.6)),
    ),
    "union, keys dropped, combined": (
        Step(Union(of=[Neighbours(width=3), Lexical(by="embedding")]), {"stop": 3}),
        Step(DropKeys(), {"stop": 3}, ColumnMean(heads="each"), FuzzyRatio(keep=0.5, least=1)),
        Step(Combine(tokens=4), 3),
    ),
}


def examples_of(name: str) -> dict[str, tuple[Plan, Plan | None]]:
    """The plans of a preset's examples, each beside the one that removes nothing, if any."""
    found, plans = find_preset(name), {}
    for example, options in found.examples.items():
        nothing = None if found.nothing is None else found.make(**{**options, **found.nothing})
        plans[f"{name}, {example}" if example else name] = (found.make(**options), nothing)
    return plans


_EXAMPLES = {name: pair for each in presets() for name, pair in examples_of(each).items()}
_OTHERS = {name: Plan(name, steps) for name, steps in COMBINATIONS.items()}
METHODS = {name: plan for name, (plan, _) in _EXAMPLES.items()} | _OTHERS
NO_OPS = {name: nothing for name, (_, nothing) in _EXAMPLES.items() if nothing is not None} | {
    name: Plan(name, _pattern(pattern))
    for name, pattern in {
        "neighbours, a share": Neighbours(share=1.0),
        "neighbours, of each block": Neighbours(widths=[1000, [1000] * 4, 1000, 1000]),
        "global": GlobalTokens(tokens=1000),
        "random pairs": RandomPairs(share=1.0),
        "lexical, embedding": Lexical(by="embedding", share=1.0),
        "neighbours, heads": Neighbours(widths=[[1000] * 4] * 4),
    }.items()
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
        linear=LINEAR.to_dict() if plan.needs_linear else None,
        classifier_dropout=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = TerselyForSequenceClassification(config)
        # Biases and norms start as 0 and 1, and the head near 0, which would hide mistakes.
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 or name.startswith("head."):
                parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
        if model.linear is not None:
            model.linear.weights.copy_(torch.randn_like(model.linear.weights).half())
            model.linear.marks[4:] = (torch.arange(VOCABULARY - 4) % 3).to(torch.uint8)
            model.linear.idf[4:] = (1 + torch.rand_like(model.linear.idf[4:])).half().float()
    model.knowledge = KNOWLEDGE
    return model


def combiner_of(model: TerselyForSequenceClassification) -> nn.Module:
    """The combining module of a model."""
    (block,) = model.plan.replaced
    return model.learned[str(block)]["act"]


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
    return {"input_ids": torch.cat(documents)[None], "cu_seq_lens_q": lengths.cumsum(0).int()}


def checkpointing(model: TerselyForSequenceClassification) -> None:
    """Switch gradient checkpointing on, by the name that this transformers gives it."""
    newer = getattr(model, "activation_checkpointing_enable", None)
    (newer or model.gradient_checkpointing_enable)()
