"""Learning from a teacher: from its logits, and from its last hidden states."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tersely.errors import TrainingError
from tersely.modeling import TerselyForSequenceClassification as Model
from tersely.ragged import Ragged
from tersely.reduction import Plan, Stream


def distillation_loss(
    student: Tensor, teacher: Tensor, problem_type: str, temperature: float
) -> Tensor:
    """How far the student's logits are from the teacher's, a mean over documents.

    For one label of several: the KL divergence of the softened distributions, times T² (Hinton et
    al., arXiv 1503.02531). For several labels at once: the same of each label's two outcomes,
    summed over the labels. For regression: the squared difference. Both `(documents, labels)`.
    """
    if problem_type == "regression":
        return F.mse_loss(student, teacher)
    if problem_type == "multi_label_classification":
        # Logits of yes and no, `(documents, labels, 2)`.
        student, teacher = (torch.stack([x, torch.zeros_like(x)], -1) for x in (student, teacher))
    log_student = (student / temperature).log_softmax(-1)
    log_teacher = (teacher / temperature).log_softmax(-1)
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True)
    return divergence.flatten(1).sum(1).mean() * temperature**2


def hidden_distillation_loss(student: Stream, teacher: Stream) -> Tensor:
    """How far the surviving tokens' last states are from the teacher's of the same tokens.

    After DynamicViT (Rao et al., NeurIPS 2021, arXiv 2106.02034), whose weight is 0.5. The mean of
    the squared differences over channels and a document's survivors, then over documents, so that
    each counts the same however many of its tokens survive. No token of the student's is a
    combination token, and the teacher has all of the same documents' tokens.
    """
    places = teacher.layout.offsets[student.layout.segment_ids] + student.origins
    squared = (student.hidden.float() - teacher.hidden[places].float()).square().mean(1)
    return Ragged(squared, student.layout).mean().mean()


def check_hidden_teacher(plan: Plan, student: Model, teacher: Model | None) -> None:
    """Refuse a plan or a teacher whose hidden states cannot be compared with a TrainingError."""
    if not plan.keeps_tokens:
        raise TrainingError(
            "hidden_distillation must be 0 for a plan that combines tokens, since none of a "
            f"document's own tokens survives {plan.name!r}"
        )
    if teacher is None:
        return
    if not teacher.config.reduction_plan().is_dense:
        raise TrainingError(
            "hidden_distillation needs a dense teacher, which has all tokens, got one under "
            f"{teacher.config.plan['name']!r}"
        )
    sizes = {
        "width": (teacher.backbone.width, student.backbone.width),
        "vocabulary": tuple(m.config.encoder_config.vocab_size for m in (teacher, student)),
    }
    for what, (theirs, ours) in sizes.items():
        if theirs != ours:
            raise TrainingError(
                f"hidden_distillation needs a teacher of the same {what}, {ours}, got one of "
                f"{theirs}; take another teacher, or set it to 0"
            )
