"""Figures by class against scikit-learn's, coverage by hand, and the verdict's sentence."""

import numpy as np
import pytest
from sklearn.metrics import classification_report

from tersely.text.labels import MULTI_LABEL, SINGLE_LABEL
from tersely.text.metrics import evaluate_logits, report_classes, verdict

NAMES = ["a", "b", "c", "never"]


@pytest.mark.parametrize("several", [False, True])
def test_figures_by_class_are_those_of_scikit_learn(several):
    chance = np.random.default_rng(0)
    logits = chance.normal(size=(60, 4)) - [0, 0, 0, 9]
    labels = chance.integers(0, 2, (60, 4)) if several else chance.integers(0, 4, 60)
    problem = MULTI_LABEL if several else SINGLE_LABEL
    found = report_classes(logits, labels, NAMES, problem)
    predicted = (logits > 0).astype(int) if several else logits.argmax(1)
    numbers = {"labels": range(4), "target_names": NAMES}
    wanted = classification_report(labels, predicted, output_dict=True, zero_division=0, **numbers)
    rows = found.classes | {f"{name} avg": row for name, row in found.averages.items()}
    for name, row in rows.items():
        assert list(row.values()) == pytest.approx(list(wanted[name].values()))
    assert found.averages["macro"]["f1"] == pytest.approx(
        evaluate_logits(logits, labels, problem)["macro_f1"]
    )
    assert found.never_predicted == ["never"]
    right = (predicted == labels).reshape(60, -1).all(axis=1)
    assert found.coverage[0]["error"] == pytest.approx(1 - right.mean())
    assert sorted(found.wrong) == np.flatnonzero(~right).tolist()


def test_the_surest_mistakes_come_first_and_unknown_labels_are_named():
    logits = np.array([[5.0, 0, 0], [1, 0, 0], [0, 2, 0], [9, 0, 0]])
    found = report_classes(logits, [1, 1, 1, -100], NAMES[:3])
    assert found.wrong == [3, 0, 1]
    assert found.confusions == [("b", "a", 2), ("unknown to the model", "a", 1)]
    surest = found.coverage[-1]
    assert surest["coverage"] == 0.25 and surest["error"] == 1 and surest["confidence"] > 0.99


def test_the_verdict_compares_with_the_majority_and_the_linear_stage():
    labels = np.array([0] * 30 + [1] * 30)
    good, bad = np.eye(2)[labels], np.eye(2)[[0] * 60]
    said = verdict(good, labels, NAMES[:2], linear=good)
    assert said.startswith("100.0 % of 60 documents are right (94.0 to 100.0 %), +50.0 points (+")
    assert "against always answering 'a'" in said and "linear stage alone is as good" in said
    said = verdict(bad, labels, NAMES[:2], linear=good)
    assert "+0.0 points (+0.0 to +0.0, not conclusive) against always" in said
    assert "the linear stage alone has 100.0 %, to which the whole adds -50.0 points (-" in said
