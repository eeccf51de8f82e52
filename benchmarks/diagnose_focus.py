"""Look into the combining module of trained Focus on the Core models: why it loses, where it does.

    python benchmarks/diagnose_focus.py --data $DATA --work .cache/full_size r8-focus-pfc-7-0 …

The models are those that `full_size.py` leaves in its `--work`, with the dense ones that they
started from. For each there is one JSON, with the same figures of the start, untrained, beside it:
how full the groups are, how many are empty and how sure the assignment is; what Gumbel noise does
to it, and how soft the gradient's assignment is at several temperatures; accuracy with the hard
assignment, the soft one and noise; how alike the combination tokens are and what they attend to
before they combine; how far each weight moved; and what a logistic regression reads from the mean
of the last tokens, from those of filled groups, from all side by side.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common import RESULTS, drawn, parser, quiet, versions, write
from tersely import Classifier, preset
from tersely.methods.focus import Combiner
from tersely.modeling import TerselyForSequenceClassification, from_encoder
from tersely.modeling.inference import batches
from tersely.text import Documents, read_documents
from tersely.text.encoding import EncodedDocuments

FORMAT = 1
FOLDER = RESULTS / "focus_diagnosis"
TEMPERATURES = (0.25, 0.5, 1.0, 2.0)
FITTED_ON, ATTENDED = 2000, 200  # documents at most
BUDGET = 4096

log = logging.getLogger("diagnose_focus")


def combiner_of(model: TerselyForSequenceClassification) -> tuple[int, Combiner]:
    """Return the block that combines, and its module."""
    for block, roles in model.learned.items():
        for module in roles.values():
            if isinstance(module, Combiner):
                return int(block), module
    raise SystemExit(f"the plan {model.config.plan['name']!r} combines no tokens")


def gumbel(logits: Tensor, chance: torch.Generator) -> Tensor:
    """Draw the noise that training adds."""
    uniform = torch.rand(logits.shape, generator=chance).to(logits).clamp(1e-20, 1 - 1e-7)
    return -(-uniform.log()).log()


def entropy(shares: Tensor) -> Tensor:
    """Return the entropy along the last axis: 0 where one share is all, 1 where all are equal."""
    logs = shares.clamp(min=1e-12).log()
    return -(shares * logs).sum(-1) / np.log(shares.shape[-1])


class Watch:
    """Runs a model with another assignment in its combining module, and notes what it sees."""

    def __init__(self, model: TerselyForSequenceClassification) -> None:
        self.model = model
        self.block, self.combiner = combiner_of(model)
        self.chance = torch.Generator().manual_seed(0)
        self.kind, self.last = "hard", []
        self.sums: dict[str, list[Tensor]] = defaultdict(list)

    def assign(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Stand in for the module's own: `(documents, n, m)` and each token's group."""
        groups, soft = logits.argmax(-1), logits.softmax(-1)
        noise = gumbel(logits, self.chance)
        hard = torch.nn.functional.one_hot(groups, logits.shape[-1]).to(logits)
        if self.kind == "hard":
            noisy = (logits + noise).argmax(-1)
            top = logits.topk(2, -1).values
            self.sums["share"].append(hard.mean(1))
            self.sums["empty"].append((hard.sum(1) == 0).float().mean(1))
            self.sums["entropy"].append(entropy(soft).mean(1))
            self.sums["margin"].append((top[..., 0] - top[..., 1]).mean(1))
            self.sums["spread"].append(logits.std(-1).mean(1))
            self.sums["moved_by_noise"].append((noisy != groups).float().mean(1))
            for temperature in TEMPERATURES:
                drawn_soft = ((logits + noise) / temperature).softmax(-1)
                self.sums[f"entropy_at_{temperature:g}"].append(entropy(drawn_soft).mean(1))
        elif self.kind == "soft":
            hard = soft
        else:
            groups = (logits + noise).argmax(-1)
            hard = torch.nn.functional.one_hot(groups, logits.shape[-1]).to(logits)
        self.last.append(hard.sum(1) > 0.5)
        return hard, groups

    @torch.inference_mode()
    def run(self, encoded: EncodedDocuments, kind: str) -> dict[str, np.ndarray]:
        """Return logits, the last tokens `(documents, m, width)` and which groups are filled."""
        self.kind = kind
        found: dict[str, dict[int, np.ndarray]] = {"logits": {}, "tokens": {}, "filled": {}}
        self.combiner._assign = self.assign
        likeness = self.combiner.register_forward_hook(self._alike)
        head = self.model.head.register_forward_pre_hook(self._keep)
        try:
            for numbers, inputs in batches(encoded, BUDGET, self.model.device):
                self.last = []
                output = self.model(**inputs)
                tokens = self.final.values.unflatten(0, (len(numbers), -1))
                self._note("alike_last", tokens)
                rows = zip(output.logits, tokens, torch.cat(self.last), strict=True)
                for number, parts in zip(numbers, rows, strict=True):
                    for name, value in zip(found, parts, strict=True):
                        found[name][number] = value.float().cpu().numpy()
        finally:
            likeness.remove()
            head.remove()
            del self.combiner._assign
        return {
            name: np.stack([rows[number] for number in range(len(encoded))])
            for name, rows in found.items()
        }

    def _keep(self, module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        self.final = inputs[0]  # the tokens that reach the head

    def _alike(self, module: Combiner, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        self._note("alike_before", inputs[2])
        self._note("alike_after", output[0])

    def _note(self, name: str, tokens: Tensor) -> None:
        """Note the mean cosine of two different tokens of a document, `(documents, m, width)`."""
        if self.kind != "hard":
            return
        unit = torch.nn.functional.normalize(tokens.float(), dim=-1)
        count = unit.shape[1]
        cosines = (unit @ unit.transpose(1, 2)).sum((1, 2)) - count
        self.sums[name].append(cosines / max(1, count * (count - 1)))

    def assignment(self) -> dict[str, Any]:
        """Return what was noted, means over documents."""
        means = {name: torch.cat(rows).mean(0).cpu() for name, rows in self.sums.items()}
        shares = means.pop("share")
        record = {name: float(value) for name, value in means.items()}
        return record | {"share_of_groups": shares.tolist(), "evenness": float(entropy(shares))}


@torch.inference_mode()
def attended(watch: Watch, encoded: EncodedDocuments) -> list[dict[str, float]] | None:
    """Return for each block before the combining one where the combination tokens look.

    Without the pruned keys, so under `focus-c` with the same weights; of encoders without biases on
    positions alone, None of others.
    """
    model, count = watch.model, len(watch.combiner.tokens)
    if model.encoder.config.model_type != "bert":
        return None
    twin = model.under_plan(preset("focus-c", combine_at=watch.block, tokens=count))
    held: dict[str, Tensor] = {}
    sums: list[dict[str, float]] = []
    few = encoded.select(list(range(min(ATTENDED, len(encoded)))))
    hooks = []
    for block in range(watch.block):
        sums.append(dict.fromkeys(("first", "last", "words", "itself", "others"), 0.0))
        query, key = twin.backbone.projections(twin.backbone.blocks[block])[:2]
        for name, module in (("query", query), ("key", key)):
            note = lambda module, inputs, output, name=f"{name}{block}": held.update({name: output})  # noqa: E731
            hooks.append(module.register_forward_hook(note))
    heads = twin.backbone.heads
    for number in range(len(few)):
        for _, inputs in batches(few.select([number]), BUDGET, model.device):
            twin(**inputs)
        for block, own in enumerate(sums):
            query, key = (
                held[f"{name}{block}"].reshape(-1, heads, twin.backbone.width // heads)
                for name in ("query", "key")
            )
            products = torch.einsum("ihd,jhd->hij", query[-count:], key)
            looks = (products / query.shape[-1] ** 0.5).softmax(-1).mean(0)  # (m, n + m)
            itself = looks[:, -count:].diagonal().mean()
            own["first"] += float(looks[:, 0].mean())
            own["last"] += float(looks[:, -count - 1].mean())
            own["words"] += float(looks[:, 1 : -count - 1].sum(1).mean())
            own["itself"] += float(itself)
            own["others"] += float(looks[:, -count:].sum(1).mean() - itself)
    for hook in hooks:
        hook.remove()
    return [{name: value / len(few) for name, value in own.items()} for own in sums]


def read_off(fitted: dict[str, Any], judged: dict[str, Any], labels: tuple[Any, Any]) -> dict:
    """Return what logistic regressions on the last tokens know, by what they are given of them."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def filled(run: dict[str, Any]) -> np.ndarray:
        weights = run["filled"][..., None]
        return (run["tokens"] * weights).sum(1) / np.maximum(weights.sum(1), 1)

    ways = {
        "mean": lambda run: run["tokens"].mean(1),
        "mean of filled groups": filled,
        "side by side": lambda run: run["tokens"].reshape(len(run["tokens"]), -1),
    }
    found = {}
    for name, way in ways.items():
        reader = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        reader.fit(way(fitted), labels[0])
        found[name] = float(reader.score(way(judged), labels[1]))
    return found


def figures(
    classifier: Classifier, model: TerselyForSequenceClassification, parts: dict[str, Documents]
) -> dict[str, Any]:
    """Return everything that is measured of one model."""
    encoded = {name: classifier.encode(part.texts) for name, part in parts.items()}
    labels = {name: classifier.label_space.encode(part.labels) for name, part in parts.items()}
    watch = Watch(model.eval())
    accuracy = {}
    for kind in ("soft", "noisy", "hard"):
        test = watch.run(encoded["test"], kind)
        accuracy[kind] = float((test["logits"].argmax(1) == labels["test"]).mean())
    told = watch.assignment()
    train = watch.run(encoded["train"], "hard")
    return {
        "accuracy": accuracy,
        "assignment": told,
        "attended": attended(watch, encoded["test"]),
        "logistic_regression": read_off(train, test, (labels["train"], labels["test"])),
    }


@torch.no_grad()
def moved(start: Combiner, trained: Combiner) -> dict[str, float]:
    """Return how far each of the module's weights went, over the size that it began with."""
    pairs = zip(start.named_parameters(), trained.parameters(), strict=True)
    return {
        name: float((own - before).norm() / before.norm())
        for (name, before), own in pairs
        if before.any()  # norms' biases begin at 0
    }


def diagnose(args: argparse.Namespace, cell: str) -> dict[str, Any]:
    """Return the record of one model."""
    data, seed = cell.split("-")[0], cell.rpartition("-")[2]
    classifier = Classifier.from_pretrained(args.work / cell)
    model = classifier.torch_model()
    length = "" if model.config.max_length == 256 else f"-{model.config.max_length}"
    untrained = from_encoder(
        str(args.work / f"{data}-start{length}-{seed}"),
        plan=model.config.reduction_plan(),
        head=model.config.head,
        id2label=model.config.id2label,
    ).to(model.device)
    parts = {}
    for name, most in (("train", FITTED_ON), ("test", args.documents)):
        found = read_documents(args.data / data / f"{name}.parquet", labels="required")
        parts[name] = drawn(found, most)
    start, own = combiner_of(untrained)[1], combiner_of(model)[1]
    return {
        "format": FORMAT,
        "cell": cell,
        "documents": {name: len(part) for name, part in parts.items()},
        "temperature": own.temperature,
        "trained": figures(classifier, model, parts),
        "untrained": figures(classifier, untrained, parts),
        "moved": moved(start, own),
        "versions": versions(),
    }


def main() -> None:
    """Write a JSON for each model that has none."""
    options = parser(__doc__, None, "data", "work")
    options.add_argument("cells", nargs="+", help="names of models in --work")
    options.add_argument("--results", type=Path, default=FOLDER)
    options.add_argument("--documents", type=int, help="of the test part; all by default")
    args = options.parse_args()
    quiet()
    for cell in args.cells:
        path = args.results / f"{cell}.json"
        if not path.is_file():
            write(path, diagnose(args, cell))
        record = json.loads(path.read_text())
        if record.get("format") != FORMAT:
            raise SystemExit(f"{path.name} is of another format; move it away")
        log.info("%s %s", cell, record["trained"]["accuracy"])


if __name__ == "__main__":
    main()
