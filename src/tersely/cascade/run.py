"""Who answers which document: stages in a row, each on those that the ones before were unsure of.

How a stage is run is not known here, so that a batch in a model's forward pass and a whole file go
the same way, and a document gets the same stage and label in any company.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tersely.cascade.stages import LINEAR, Cascade, Stage


class Answers(NamedTuple):
    """What a cascade says of documents.

    Logits `(documents, classes)`, whose softmax, or each one's sigmoid where several labels may
    hold, is the probability; which stage answered `(documents,)` int64, counted from 0; and how
    sure it was `(documents,)`, from 0 to 1.
    """

    logits: Tensor
    stages: Tensor
    confidence: Tensor


def confidence(log_probabilities: Tensor, several: bool) -> Tensor:
    """Return how sure answers are, `(documents,)` from 0 to 1, by `(documents, classes)`.

    It is the distance of the two likeliest classes' probabilities; of several labels, the distance
    of the least sure label's probability from that of its absence.

    Example:
        >>> confidence(torch.tensor([[0.7, 0.2, 0.1]]).log(), several=False)
        tensor([0.5000])
    """
    chances = log_probabilities.exp()
    if several:
        return (2 * chances - 1).abs().amin(dim=1)
    best = chances.topk(2, dim=1).values
    return best[:, 0] - best[:, 1]


def to_log_probabilities(
    logits: Tensor, stage: Stage, several: bool, linear: Tensor | None = None
) -> Tensor:
    """Turn a stage's logits `(documents, classes)` into calibrated log-probabilities.

    A stage with a weight adds what the linear stage says of the same documents, `linear` of the
    same shape.
    """
    if stage.kind == LINEAR:  # they are already
        return logits
    scaled = logits.float() / stage.temperature
    if stage.weight:
        scaled = scaled + stage.weight * to_logits(linear, several)
    return F.logsigmoid(scaled) if several else scaled.log_softmax(dim=1)


def to_logits(log_probabilities: Tensor, several: bool) -> Tensor:
    """Turn log-probabilities `(documents, classes)` into logits that a label is read from.

    Of several labels they are log-odds, above 0 for a label that holds; otherwise the same.

    Example:
        >>> to_logits(torch.tensor([[0.5, 0.9]]).log(), several=True).round(decimals=1)
        tensor([[0.0000, 2.2000]])
    """
    if not several:
        return log_probabilities
    return log_probabilities - (-log_probabilities.expm1()).clamp(min=1e-30).log()


def run_cascade(
    cascade: Cascade,
    documents: int,
    run: Callable[[Stage, Tensor], Tensor],
    *,
    classes: int,
    several: bool = False,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Answers:
    """Answer documents, each by the first stage that is sure enough.

    `run` gives a stage's logits `(n, classes)` for documents of the numbers `(n,)`, of the linear
    stage its log-probabilities, which are asked for once: stages with a weight add them. A stage
    that nobody can pass is not run. `progress` is told how many more are done.
    """
    found = torch.zeros(documents, classes, device=device)
    stages = torch.full((documents,), len(cascade.stages) - 1, device=device)
    sure = torch.zeros(documents, device=device)
    left = torch.arange(documents, device=device)
    linear = None  # what the linear stage says of those who are left
    for number, (stage, threshold) in enumerate(
        zip(cascade.stages, (*cascade.thresholds, -1.0), strict=True)
    ):
        if threshold >= 1 or not len(left):
            continue
        if linear is None and (stage.kind == LINEAR or stage.weight):
            linear = run(Stage(LINEAR), left)
        logits = linear if stage.kind == LINEAR else run(stage, left)
        answers = to_log_probabilities(logits, stage, several, linear)
        certain = confidence(answers, several)
        answered = certain > threshold
        rows = left[answered]
        found[rows], stages[rows], sure[rows] = answers[answered], number, certain[answered]
        left = left[~answered]
        linear = None if linear is None else linear[~answered]
        if progress is not None:
            progress(len(rows))
    return Answers(to_logits(found, several), stages, sure)
