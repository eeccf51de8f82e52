"""Figures worked out by hand, and what is refused."""

import math

import numpy as np
import pytest

from tersely.errors import DataError
from tersely.text.metrics import evaluate_logits, labels_from_logits, predict_from_logits

SINGLE = "single_label_classification"
MULTI = "multi_label_classification"


def one_hot(indices, labels):
    return np.eye(labels)[list(indices)]


@pytest.mark.parametrize(
    ("logits", "labels", "problem_type", "wanted"),
    [
        # Label 0: precision 1, recall 1/2; label 1: precision 1/2, recall 1; label 2 never occurs.
        (
            one_hot([0, 1, 1], 3),
            [0, 0, 1],
            SINGLE,
            {"accuracy": 2 / 3, "macro_f1": 2 / 3, "micro_f1": 2 / 3},
        ),
        # Column 0 is right; column 1 finds one of two; column 2 is absent and counts 0.
        (
            np.array([[3.0, 2.0, -1.0], [-3.0, -2.0, -1.0]]),
            [[1, 1, 0], [0, 1, 0]],
            MULTI,
            {"accuracy": 0.5, "macro_f1": (1 + 2 / 3) / 3, "micro_f1": 0.8},
        ),
        (
            np.array([[3.0], [-3.0]]),
            [[1.0], [0.0]],  # as a trainer hands several labels over
            MULTI,
            {"accuracy": 1.0, "macro_f1": 1.0, "micro_f1": 1.0},
        ),
        (
            np.array([[1.0], [2.0], [9.0]]),
            [1, 2, 3],
            "regression",
            {"mse": 12.0, "pearson": 4 / math.sqrt(19), "spearman": 1.0},
        ),
    ],
)
def test_scores_are_those_worked_out_by_hand(logits, labels, problem_type, wanted):
    scores = evaluate_logits(logits, labels, problem_type)
    assert {name: scores[name] for name in wanted} == pytest.approx(wanted)


def test_a_constant_prediction_has_no_correlation():
    scores = evaluate_logits(np.ones((3, 1)), [1.0, 2.0, 3.0], "regression")
    assert math.isnan(scores["pearson"]) and math.isnan(scores["spearman"])
    assert scores["mse"] == pytest.approx(5 / 3)


@pytest.mark.parametrize(
    ("logits", "labels", "problem_type", "message"),
    [
        (np.ones((2, 3)), [0], SINGLE, "labels of shape"),
        (np.ones((0, 3)), [], SINGLE, "at least one document"),
        (np.ones((2, 3)), [0, 1], MULTI, "labels of shape"),
        (np.ones((2, 3)), [0, 1], "ranking", "problem type out of"),
        (np.ones(2), [0, 1], SINGLE, "logits of shape"),
        (np.ones((2, 3)), ["a", "b"], SINGLE, "whole numbers"),
        (np.ones((2, 3)), [0.5, 1.0], SINGLE, "whole numbers"),
        (np.ones((2, 2)), [0.5, 1.0], "regression", "one target, got one of 2; take the logits"),
    ],
)
def test_what_does_not_fit_is_refused(logits, labels, problem_type, message):
    with pytest.raises(DataError, match=message):
        evaluate_logits(logits, labels, problem_type)


@pytest.mark.parametrize(
    ("problem_type", "indices", "labels"),
    [(SINGLE, [1], ["b"]), (MULTI, [[0, 1]], [["b"]]), ("regression", None, [2.0])],
)
def test_predictions_of_each_problem_type(problem_type, indices, labels):
    logits = np.array([[2.0]]) if indices is None else np.array([[-1.0, 2.0]])
    if indices is not None:
        assert predict_from_logits(logits, problem_type).tolist() == indices
    assert labels_from_logits(logits, problem_type, ["a", "b"]) == labels
