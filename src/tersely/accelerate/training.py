"""Candidates that are fine-tuned briefly: the original under a plan, with itself as teacher.

The teacher's logits are all that is learned from, so texts without labels will do.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

from tersely.accelerate.candidates import Candidate, trainable_plans
from tersely.classifier import Classifier
from tersely.errors import DataError, TerselyWarning
from tersely.modeling import with_plan
from tersely.text.metrics import predict_from_logits
from tersely.training import TrainingSettings
from tersely.training.run import train_model
from tersely.training.trainer import TrainingDocuments

__all__ = ["trained_candidates"]

SETTINGS = TrainingSettings(epochs=2, distillation_weight=1.0)
"""Two passes, the teacher alone; the learning rate is a fifth of that of a new classifier."""


def trained_candidates(
    original: Classifier, texts: Sequence[str], tell: Callable[[str], None]
) -> list[Candidate]:
    """Fine-tune the plans that are worth it.

    Args:
        original: the dense classifier, which teaches.
        texts: what to learn on; none of those that prove.
        tell: called with a line before each.

    Raises:
        DataError: if there are no texts.
    """
    if not texts:
        raise DataError(
            "there are no texts to train on besides those that prove; give others with --train"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TerselyWarning)
        encoded = original.encode(texts)
    logits = original.forward(encoded).logits
    labels = predict_from_logits(logits, original.label_space.problem_type)
    config = original.model.config
    rate = SETTINGS.peak_rate(original.model.backbone.width) / 5
    found = []
    plans = trainable_plans(config.encoder_config.num_hidden_layers, config.head)
    for name, plan in plans:
        tell(f"{name}: training on {len(texts):,} texts")
        model = with_plan(original.model, plan)
        documents = TrainingDocuments(encoded, labels, logits)
        settings = TrainingSettings(**{**SETTINGS.to_dict(), "learning_rate": rate})
        train_model(model, documents, None, settings, progress=False)
        made = Classifier(
            original.source,
            method=plan,
            device=str(original.device),
            batch_tokens=original.batch_tokens,
        )
        made.adopt(model.eval(), original.tokenizer)
        found.append(Candidate(f"{name}, trained", plan, classifier=made))
    return found
