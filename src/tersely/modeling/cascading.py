"""How the stages of a cascade run on a model's weights, in one batch.

A stage is the model itself under another plan, or the linear stage that lies beside it; the
reference is the model without its cascade, which is also what trains.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tersely.cascade import LINEAR, Answers, Stage, run_cascade
from tersely.errors import ModelError
from tersely.linear import LinearFit, LinearStage, fit_linear
from tersely.modeling.forward import ForwardPass, PackedInputs
from tersely.ragged import Layout, Ragged
from tersely.text.encoding import EncodedDocuments
from tersely.text.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from tersely.text.syntax import piece_marks

LINEAR_TOKENS = 1 << 16  # that the linear stage reads at once, for the sake of memory


def stage_model(model: Any, stage: Stage) -> Any:
    """Return the model that a stage runs, on the same weights and without the cascade."""
    return model.alone() if stage.plan is None else model.alone().under_plan(stage.plan)


def answer_row(model: Any, inputs: PackedInputs, windows: Sequence[int]) -> Answers:
    """Answer the documents of one packed row, each of so many neighbouring windows."""
    counts = torch.as_tensor(windows, device=model.device)
    owners = torch.arange(len(counts), device=model.device).repeat_interleave(counts)

    def run(stage: Stage, numbers: Tensor) -> Tensor:
        chosen = torch.isin(owners, numbers)
        kept = chosen[inputs.layout.segment_ids]
        layout = Layout.from_lengths(inputs.layout.lengths[chosen])
        types = None if inputs.token_type_ids is None else inputs.token_type_ids[kept]
        spans = Layout.from_lengths(counts[numbers])
        if stage.kind == LINEAR:
            return model.linear(inputs.input_ids[kept], layout.offsets[spans.offsets])
        part = PackedInputs(inputs.input_ids[kept], types, layout)
        logits = ForwardPass(stage_model(model, stage), part).run().logits
        return Ragged(logits, spans).mean()

    return run_cascade(model.cascade, len(counts), run, **about_answers(model))


def linear_log_probabilities(stage: LinearStage, encoded: EncodedDocuments) -> Tensor:
    """Return what a linear stage says of documents, `(documents, classes)`."""
    bounds = np.concatenate([[0], np.cumsum(encoded.sizes)])
    row = torch.from_numpy(np.concatenate(encoded.windows)) if len(encoded) else torch.zeros(0)
    parts = np.unique((bounds[1:] - 1) // LINEAR_TOKENS, return_index=True)[1]
    found = []
    for first, last in zip(parts, [*parts[1:], len(encoded)], strict=True):
        own = torch.from_numpy(bounds[first : last + 1])
        part = row[int(own[0]) : int(own[-1])].to(stage.bias.device)
        found.append(stage(part, (own - own[0]).to(stage.bias.device)))
    return torch.cat(found) if found else torch.zeros(0, stage.form.classes)


def fit_beside(
    model: Any, encoded: EncodedDocuments, labels: np.ndarray, tokenizer: Any, **options: Any
) -> LinearFit:
    """Fit a linear stage of at most a tenth of a model's bytes, with `options` of `fit_linear`."""
    parameters = sum(each.numel() * each.element_size() for each in model.parameters())
    fit = fit_linear(
        torch.from_numpy(np.concatenate(encoded.windows)),
        torch.from_numpy(np.concatenate([[0], np.cumsum(encoded.sizes)])),
        labels,
        classes=model.num_labels,
        vocabulary=model.config.encoder_config.vocab_size,
        special_ids=tuple(tokenizer.all_special_ids),
        problem_type=model.config.problem_type or SINGLE_LABEL,
        most_bytes=parameters // 10,
        **options,
    )
    marks = piece_marks(tokenizer)
    fit.stage.marks[: len(marks)] = marks
    return fit


def about_answers(model: Any) -> dict[str, Any]:
    """Return what `run_cascade` has to know of the answers of a model, or an export of one."""
    several = model.config.problem_type == MULTI_LABEL
    return {"classes": model.config.num_labels, "several": several, "device": model.device}


def at_limit(model: Any, limit: float, criterion: str | None = None) -> Any:
    """Return a model at another certified limit of its cascade; 0 for its reference."""
    if model.cascade is not None:
        return model.under_cascade(model.cascade.at(limit, criterion))
    number = model.config.problem_type == REGRESSION
    why = "classifiers, but it predicts a number" if number else "a cascade, but it has none"
    how = "recalibrate it on labelled documents" if criterion == "error" else "accelerate it"
    how = "" if number else f", or {how} first"
    limit = f"a limit of {100 * limit:g}%"
    raise ModelError(f"the model cannot keep {limit}, which is for {why}; load it without{how}")
