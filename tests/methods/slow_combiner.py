"""The token combining module from its equations, one document and one group at a time."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tersely.methods.focus import Combiner


def combine_document(
    module: Combiner, embedded: Tensor, combination: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """The new combination tokens `(m, width)` and the groups `(n,)`.

    Args:
        module: whose parameters are used, none of its methods.
        embedded: `(n, width)`.
        combination: `(m, width)`.
        noise: `(n, m)`, zero for inference.
    """
    query = module.query(module.combination_norm(combination))
    key = module.key(module.embedded_norm(embedded))
    value = module.value(embedded)
    logits = key @ query.T / embedded.shape[1] ** 0.5 + noise
    similarity = torch.softmax(logits / module.temperature, dim=1)
    groups = similarity.argmax(1)
    hard = one_hot(groups, len(combination)) + similarity - similarity.detach()
    combined = []
    for i, token in enumerate(combination):
        if bool((groups == i).any()):
            mean = (hard[:, i, None] * value).sum(0) / hard[:, i].sum()
            token = token + module.output(mean)
        combined.append(token)
    return torch.stack(combined), groups
