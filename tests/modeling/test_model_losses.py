"""The losses are those of transformers' own classifiers, and so is the guess of the problem."""

from __future__ import annotations

import pytest
import torch
from checkpoints import save_classifier

from method_table import pad
from tersely.modeling import from_encoder
from tiny import tiny_ids

DOCUMENTS = tiny_ids([7, 12, 3, 5])
CLASSES = torch.tensor([0, 2, 1, 1])
SEVERAL = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]])
FIGURES = torch.tensor([0.5, -1.0, 2.0, 0.0])

PROBLEMS = [
    ("single_label_classification", CLASSES, {}),
    ("multi_label_classification", SEVERAL, {}),
    ("regression", FIGURES, {"num_labels": 1}),
    ("regression", SEVERAL, {}),
]


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize(("problem", "labels", "overrides"), PROBLEMS)
@torch.no_grad()
def test_losses_are_the_stock_models_and_so_is_a_guess_from_the_labels(
    stated, problem, labels, overrides, tmp_path
):
    options = {"problem_type": problem} if stated else {}
    stock = save_classifier(tmp_path, **options, **overrides)
    model = from_encoder(tmp_path)
    assert model(**pad(DOCUMENTS)).loss is None
    loss = model(**pad(DOCUMENTS), labels=labels).loss
    torch.testing.assert_close(loss, stock(**pad(DOCUMENTS), labels=labels).loss)
    assert model.config.problem_type == stock.config.problem_type
    assert model.config.problem_type == problem or not stated
