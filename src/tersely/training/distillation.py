"""Learning from a teacher's logits."""

import torch
from torch import Tensor
from torch.nn import functional as F


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
