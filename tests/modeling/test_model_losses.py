"""The losses are those of transformers' own classifiers, and so is the guess of the problem."""

from __future__ import annotations

import pytest
import torch
from checkpoints import save_classifier

from method_table import METHODS, build, pad
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


@pytest.mark.parametrize(("problem", "labels", "overrides"), PROBLEMS)
@torch.no_grad()
def test_losses_are_the_stock_models(problem, labels, overrides, tmp_path):
    stock = save_classifier(tmp_path, problem_type=problem, **overrides)
    model = from_encoder(tmp_path).eval()
    assert model.config.problem_type == problem
    expected = stock(**pad(DOCUMENTS), labels=labels).loss
    loss = model(**pad(DOCUMENTS), labels=labels).loss
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    assert model(**pad(DOCUMENTS)).loss is None


@pytest.mark.parametrize(("problem", "labels", "overrides"), PROBLEMS[:3])
@torch.no_grad()
def test_the_problem_is_guessed_from_the_labels_as_transformers_does(
    problem, labels, overrides, tmp_path
):
    stock = save_classifier(tmp_path, **overrides)
    model = from_encoder(tmp_path).eval()
    loss = model(**pad(DOCUMENTS), labels=labels).loss
    torch.testing.assert_close(loss, stock(**pad(DOCUMENTS), labels=labels).loss)
    assert model.config.problem_type == stock.config.problem_type == problem


def test_a_problem_that_is_stated_is_not_guessed():
    model = build(METHODS["focus-c"])
    model.config.problem_type = "multi_label_classification"
    with pytest.raises(ValueError, match="Target size"):
        model(**pad(DOCUMENTS), labels=CLASSES)
