"""Choose what an encoder reads before its first block: accuracy and MACs, untrained.

    python benchmarks/input_selection.py --data $DATA --models .cache/full_size [--only r8]

`--models` is the folder in which `full_size.py` leaves its dense models. A cell is a data set with
a choice, or with a policy for long documents, and one JSON file; one that is there is left as it
is. The linear stage is fitted on all training documents, and so is the network that tells
saliency; nothing else is trained. Test sets of more documents than `--most` are cut to a fixed
draw. "added" puts the linear stage's log-probabilities beside the encoder's, both with weight 1; in
"shared" the stage answers the 60 % of the documents of which it is surest, the encoder and the
stage together the others.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax

from common import RESULTS, drawn, parser, quiet, versions, write
from tersely import Classifier, preset
from tersely.linear import LinearStage
from tersely.methods.input_selection import best_of
from tersely.modeling.cascading import fit_beside, linear_log_probabilities
from tersely.text import Documents, read_documents
from tersely.text.encoding import LONG_POLICIES, EncodedDocuments, best_places
from tersely.text.metrics import evaluate_logits
from tersely.training.settings import TrainingSettings

SETS = ("r8", "bbc", "20ng", "arxiv", "imdb", "sst2")
SCORES = ("linear", "linear-margin", "saliency", "idf", "first", "random")
KEEPS = (0.5, 0.25, 0.15, 0.1, 0.05)
UNITS = ("word", "neighbours", "sentence")
ANSWERED = 0.6
LONG, SHORT = 512, 128
POLICIES = ("truncate", "head-tail", "windows", "select", "select-word", "select-sentence")
SEED = 0


def choices() -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield the choices by name, with the options of `choose`; None for the dense model."""
    yield "dense", None
    for keep in KEEPS:
        for score in SCORES:
            yield f"{score}@{keep:g}", {"score": score, "keep": keep}
    for keep in (0.25, 0.1):
        for unit in UNITS:
            yield f"linear-{unit}@{keep:g}", {"unit": unit, "keep": keep}
    for keep in (0.8, 0.6, 0.4):
        yield f"linear-importance@{keep:g}", {"of": "importance", "keep": keep}
    yield "linear-most@32", {"keep": 1.0, "most": 32}


def surest(evidence: np.ndarray) -> np.ndarray:
    """Return which documents the linear stage answers, 60 % of them, `(documents,)` bool."""
    doubt = -evidence.max(axis=1)
    return doubt <= np.sort(doubt)[int(ANSWERED * len(doubt)) - 1]


def with_evidence(logits: np.ndarray, evidence: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return the metrics of the linear stage, of both added, and of the two that share the work.

    Logits and log-probabilities are `(documents, classes)`.
    """
    added = log_softmax(logits, axis=1) + evidence
    shared = np.where(surest(evidence)[:, None], evidence, added)
    told = {"linear": evidence, "added": added, "shared": shared}
    return {name: evaluate_logits(each, labels) for name, each in told.items()}


class Subject:
    """A dense model with a linear stage beside it, and the documents of its data set."""

    def __init__(self, args: argparse.Namespace, name: str) -> None:
        self.args, self.name = args, name
        self.dense = Classifier.from_pretrained(args.models / f"{name}-start-{SEED}", device="cpu")
        self.test = drawn(self._documents("test"), args.most, in_order=True)
        self.labels = self.dense.label_space.encode(self.test.labels)
        self.encoded = self.dense.encode(self.test.texts, tell=False)

    def _documents(self, split: str) -> Documents:
        return read_documents(self.args.data / self.name / f"{split}.parquet", labels="required")

    @cached_property
    def train(self) -> Documents:
        """The documents that the linear stage and saliency are learned from."""
        return drawn(self._documents("train"), 7500 if self.name == "imdb" else None)

    @cached_property
    def salient(self) -> Classifier:
        """The dense model with the network that tells saliency."""
        how = {"method": "choose", "method_options": {"score": "saliency"}, "device": "cpu"}
        fit = {"settings": TrainingSettings(epochs=0), "validation": 0, "cascade": "off"}
        return Classifier(self.dense.source, **how).fit(
            self.train, classes=self.dense.label_space.names, **fit
        )

    @cached_property
    def stage(self) -> LinearStage:
        """The linear stage, fitted on the training documents in full."""
        train = self.train
        whole = self.dense.encode(train.texts, tell=False, whole=True)
        labels = self.dense.label_space.encode(train.labels)
        return fit_beside(self.dense.model, whole, labels, self.dense.tokenizer).stage

    @cached_property
    def evidence(self) -> np.ndarray:
        """The stage's log-probabilities of what the encoder gets, `(documents, classes)`."""
        return linear_log_probabilities(self.stage, self.encoded).numpy()

    @cached_property
    def sure(self) -> np.ndarray:
        """Whether a document is among those that the linear stage answers, `(documents,)` bool."""
        return surest(self.evidence)

    def choose(self, options: dict[str, Any] | None) -> dict[str, Any]:
        """Answer the test documents with what a choice leaves, alone, with evidence, shared."""
        plan = preset("dense") if options is None else preset("choose", **options)
        owner = self.salient if plan.learns else self.dense
        owner = owner.with_model(owner.model.beside(self.stage))
        chosen, macs = owner.with_model(owner.model.under_plan(plan)), {}
        logits = np.zeros_like(self.evidence)
        for part in (True, False):
            numbers = np.flatnonzero(self.sure == part)
            found = chosen.forward(self.encoded.select(numbers))
            logits[numbers], macs[part] = found.logits, found.macs
        return {
            "macs_per_document": sum(macs.values()) / len(self.test),
            "macs_per_document_shared": macs[False] / len(self.test),
            "alone": evaluate_logits(logits, self.labels),
        } | with_evidence(logits, self.evidence, self.labels)

    # ---- long documents ------------------------------------------------------------------------

    @cached_property
    def long(self) -> tuple[np.ndarray, EncodedDocuments]:
        """The numbers of the documents of more than 128 tokens, and all of what they say."""
        whole = self.dense.encode(self.test.texts, tell=False, whole=True)
        numbers = np.flatnonzero(whole.sizes > SHORT)
        return numbers, whole.select(numbers)

    def read(self, policy: str) -> dict[str, Any]:
        """Answer the documents of more than 128 tokens by 128 of them, or by windows of 128."""
        numbers, whole = self.long
        if policy in LONG_POLICIES:
            reader = self.dense.with_model(self.dense.model.beside(self.stage))
            reader.model_config.max_length, reader.model_config.long = SHORT, policy
            encoded = reader.encode([self.test.texts[i] for i in numbers], tell=False)
        else:
            value = self._words if policy == "select-word" else self._sentences_by_tfidf
            windows = [_shortened(ids, value(ids)) for ids in whole.windows]
            encoded = dataclasses.replace(whole, windows=windows)
        found = self.dense.forward(encoded)
        record = {"tokens_read": encoded.tokens, "macs_per_document": found.macs / len(numbers)}
        for least in (SHORT, LONG):
            part = whole.sizes > least
            scores = evaluate_logits(found.logits[part], self.labels[numbers[part]])
            record[f"over_{least}"] = {"documents": int(part.sum())} | scores
        return record

    def _words(self, ids: np.ndarray) -> np.ndarray:
        row = torch.from_numpy(ids).long()
        units = self.stage.units(row, torch.arange(len(row)), "word")
        return best_of(self.stage.token_scores(row), units).numpy()

    def _sentences_by_tfidf(self, ids: np.ndarray) -> np.ndarray:
        counts = np.bincount(ids)[ids]
        return self.stage.sentence_means(ids, (1 + np.log(counts)) * self.stage.idf.numpy()[ids])


def _shortened(ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the best tokens of a document in their order, between its [CLS] and its [SEP]."""
    return ids[np.r_[0, 1 + best_places(values[1:-1], SHORT - 2), len(ids) - 1]]


def main() -> None:
    """Measure the cells that are not there yet."""
    options = parser(__doc__, None, "data", "models")
    options.add_argument("--results", type=Path, default=RESULTS / "input")
    options.add_argument("--only", nargs="*", choices=SETS, default=SETS)
    options.add_argument("--most", type=int, default=800, help="test documents of a set")
    args = options.parse_args()
    quiet()
    for name in args.only:
        if not (args.models / f"{name}-start-{SEED}" / "model.safetensors").is_file():
            continue
        cells: dict[str, Callable[[Subject], dict[str, Any]]] = {
            cell: lambda subject, given=given: subject.choose(given) for cell, given in choices()
        }
        for policy in (*POLICIES, "tfidf-sentence"):
            cells[f"long-{policy}"] = lambda subject, policy=policy: subject.read(policy)
        subject = None
        for cell, measure in cells.items():
            path = args.results / f"{name}-{cell}.json"
            if path.exists():
                continue
            subject = subject or Subject(args, name)
            about = {"data": name, "cell": cell, "seed": SEED, "test_documents": len(subject.test)}
            about |= {"most": args.most, "drawn_with_seed": 0, "versions": versions()}
            write(path, about | measure(subject))


if __name__ == "__main__":
    main()
