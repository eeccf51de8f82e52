"""Tiny classifiers with a cascade; half of a saved one's documents are answered early."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tersely import Classifier
from tersely.cascade import Cascade, Review, Stage, confidence
from tersely.certificates import prove
from tersely.linear import LinearStage
from tersely.modeling import from_encoder
from tersely.modeling.cascading import fit_beside, linear_log_probabilities
from tersely.modeling.inference import run_model
from tersely.reduction import preset
from words import LABELS, labelled, save_encoder, tokenizer

PLAN = Stage("plan", preset("topk", keep=0.25, at=0, least=1))
TEXTS = labelled(60)[0]


def save_dense(folder: Path) -> Path:
    """A dense classifier with a random head."""
    model = from_encoder(save_encoder(folder / "encoder"), id2label=dict(enumerate(LABELS)))
    torch.manual_seed(0)
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def save_cascade(dense: Path, folder: Path, criterion: str = "disagreement") -> Path:
    """The same with a cascade, and certificates of made-up marks at 10 and 50 %."""
    original = Classifier.from_pretrained(dense, device="cpu")
    logits = run_model(original.model.under_plan(PLAN.plan), original.encode(TEXTS), 4096).logits
    sure = confidence(torch.from_numpy(logits).log_softmax(1), several=False)
    half = float(sure.quantile(0.5))
    early = np.zeros((2, 60), dtype=bool)
    early[1] = (sure > half).numpy()
    nobody = early & False
    options = {"limits": (0.1, 0.5), "classes": ["a"] * 60, "criterion": criterion}
    better = nobody if criterion == "loss" else None
    certificates = prove(TEXTS, early, nobody, better, **options)
    made = Cascade((PLAN, Stage("reference")), ((1.0,), (half,)), 1, certificates)
    original.adopt(original.model.under_cascade(made), original.tokenizer)
    return original.save(folder)


def count_differing(cascade: Path, texts: list[str]) -> int:
    """How many answers have another label than the reference's, the plain way."""
    limits: tuple[dict, dict] = ({}, {"max_disagreement": 0})
    ways = [Classifier.from_pretrained(cascade, device="cpu", **limit) for limit in limits]
    return sum(a != b for a, b in zip(*(way.predict(texts) for way in ways), strict=True))


def make_stages(
    classifier: Classifier, plan: Stage, texts: list[str]
) -> tuple[LinearStage, list[torch.Tensor]]:
    """A linear stage, and how sure it and a plan are of each text."""
    encoded, model = classifier.encode(texts), classifier.model
    labels = np.arange(len(texts)) % 3
    stage = fit_beside(model, encoded, labels, classifier.tokenizer).stage
    linear = linear_log_probabilities(stage, encoded)
    logits = torch.from_numpy(run_model(model.under_plan(plan.plan), encoded, 4096).logits)
    stacked = logits / plan.temperature + plan.weight * linear
    return stage, [confidence(each, several=False) for each in (linear, stacked.log_softmax(1))]


def save_reviewed(cascade: Path, folder: Path) -> Path:
    """A cascade whose surest half is certified to be right, at 10 and 50 %; the rest is wrong."""
    sure = Classifier.from_pretrained(cascade, device="cpu")
    confidences = sure.forward(sure.encode(TEXTS)).confidence
    path = (1.0, float(np.sort(confidences)[29]), 0.0)
    early = confidences > np.array(path)[:, None]
    wrong = early & ~early[1]
    proven = prove(TEXTS, early, wrong, criterion="error", limits=(0.1, 0.5), first=1)
    made = sure.model.cascade
    review = Review(path, proven, made.point, proven.at(0.1).point)
    sure.adopt(sure.model.under_cascade(replace(made, review=review)), sure.tokenizer)
    return sure.save(folder)
