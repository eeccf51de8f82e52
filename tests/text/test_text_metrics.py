"""Figures worked out by hand, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        (
            one_hot([2, 2], 3),
            [2, 2],
            SINGLE,
            {"accuracy": 1.0, "macro_f1": 1.0, "micro_f1": 1.0},
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
            [[1.0], [0.0]],
            MULTI,
            {"accuracy": 1.0, "macro_f1": 1.0, "micro_f1": 1.0},
        ),
        (
            np.array([[1.0], [2.0], [9.0]]),
            [1, 2, 3],
            "regression",
            {"mse": 12.0, "pearson": 4 / math.sqrt(19), "spearman": 1.0},
        ),
        (
            np.array([[1.0, 3.0], [2.0, 2.0], [9.0, 1.0]]),
            [[1, 1], [2, 2], [3, 3]],
            "regression",
            {"spearman": 0.0},
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


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.randoms())
def test_accuracy_is_the_share_of_equal_labels(wanted, random):
    predicted = [random.randrange(5) for _ in wanted]
    scores = evaluate_logits(one_hot(predicted, 5), wanted)
    assert scores["accuracy"] == pytest.approx(np.mean(np.array(predicted) == wanted))
    assert scores["micro_f1"] == pytest.approx(scores["accuracy"])


@pytest.mark.parametrize(
    ("problem_type", "predicted"), [(SINGLE, [1]), (MULTI, [[0, 1]]), ("regression", [[-1.0, 2.0]])]
)
def test_predictions_of_each_problem_type(problem_type, predicted):
    assert predict_from_logits(np.array([[-1.0, 2.0]]), problem_type).tolist() == predicted


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
    ],
)
def test_what_does_not_fit_is_refused(logits, labels, problem_type, message):
    with pytest.raises(DataError, match=message):
        evaluate_logits(logits, labels, problem_type)


def test_several_targets_have_no_single_prediction():
    logits = np.array([[-1.0, 2.0]])
    with pytest.raises(DataError, match="one target, got one of 2; take the logits"):
        labels_from_logits(logits, "regression", ["a", "b"])
    assert labels_from_logits(logits[:, :1], "regression", ["a"]) == [-1.0]
