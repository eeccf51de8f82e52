"""Labels as arrays, the figures made of them, and the part of them that is set apart."""

import math
import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import classification_report

from tersely.errors import DataError, TerselyWarning
from tersely.text import Documents, LabelSpace, split_numbers
from tersely.text.metrics import (
    calibration_error,
    evaluate_logits,
    report_classes,
    right_documents,
    verdict,
)

SINGLE = "single_label_classification"
MULTI = "multi_label_classification"


@pytest.mark.parametrize(
    ("labels", "names", "problem_type"),
    [
        (["b", "a", "b"], ("a", "b"), SINGLE),
        (["10", "9", "1"], ("1", "9", "10"), SINGLE),
        (["10", "9", "x"], ("10", "9", "x"), SINGLE),
        ([["b"], [], ["a", "b"]], ("a", "b"), MULTI),
        ([1.0, 2.5], ("score",), "regression"),
    ],
)
def test_inferred_space(labels, names, problem_type):
    space = LabelSpace.infer(labels)
    assert (space.names, space.problem_type) == (names, problem_type)


@pytest.mark.parametrize(
    ("labels", "problem_type", "message"),
    [
        (None, None, "labels are needed"),
        (["a", "a"], None, "at least two classes .* only 'a'"),
        ([[], []], None, "no label at all"),
        (["a", "b"], MULTI, "labels for multi.* and these are for 'single"),
        (["a", ["b"]], None, "labels for single.* and these are for 'multi"),
        (["a", "b"], "ranking", "must be one of"),
    ],
)
def test_labels_that_make_no_space(labels, problem_type, message):
    with pytest.raises(DataError, match=message):
        LabelSpace.infer(labels, problem_type)


def test_labels_that_spell_a_missing_value_are_counted():
    labels = ["NaN", "pos", "N/A", "NaN", "banana"]
    with pytest.warns(TerselyWarning, match="3 of 5 labels are 'N/A', 'NaN', as missing values"):
        assert len(LabelSpace.infer(labels).names) == 4


@given(st.lists(st.text(min_size=1), min_size=2).filter(lambda labels: len(set(labels)) > 1))
def test_single_labels_come_back(labels):
    space = LabelSpace.infer(labels)
    encoded = space.encode(labels)
    assert encoded.dtype == np.int64 and [space.names[index] for index in encoded] == labels


@given(st.lists(st.sets(st.sampled_from("abcde")), min_size=1))
def test_several_labels_come_back(labels):
    space = LabelSpace(tuple("abcde"), MULTI)
    encoded = space.encode([sorted(names) for names in labels], unseen="skip")
    assert encoded.dtype == np.float32 and encoded.shape == (len(labels), 5)
    assert [{space.names[i] for i in np.flatnonzero(row)} for row in encoded] == labels


def test_unseen_labels_are_named_and_counted():
    space = LabelSpace(("a", "b"), SINGLE)
    unseen = ["c", "c", *"defghi"]
    with pytest.raises(DataError, match=r"8 labels of 7 kinds .*'c \(2\)', .* and 2 more; .*'a'"):
        space.encode(["a", *unseen])
    with pytest.warns(TerselyWarning, match="8 labels of 7 kinds .* count as errors"):
        assert space.encode(["b", *unseen], unseen="skip").tolist() == [1] + [-100] * 8


def test_unseen_of_several_labels_count_as_errors():
    """Review 3: they were dropped, so that a prediction of the others alone was right."""
    space = LabelSpace(("a", "b"), MULTI)
    with pytest.warns(TerselyWarning, match=r"'c \(1\)'"):
        labels = space.encode([["a", "c"], ["b"]], unseen="skip")
    assert labels.tolist() == [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    logits = np.array([[9.0, -9.0], [-9.0, 9.0]])
    scores = evaluate_logits(logits, labels, MULTI)
    assert scores == pytest.approx({"accuracy": 0.5, "macro_f1": 2 / 3, "micro_f1": 0.8})
    assert right_documents(logits, labels, MULTI).tolist() == [False, True]
    # Of six decisions the one about "c" is wrong, and was as sure as can be.
    assert calibration_error(logits, labels, MULTI) == pytest.approx(1 / 6, abs=1e-3)


@pytest.mark.parametrize("unseen", ["error", "skip"])
@pytest.mark.parametrize(
    ("labels", "problem_type"), [(["1", "2", "2"], SINGLE), ([["1"], [], ["2", "1"]], MULTI)]
)
def test_a_model_that_knows_no_label_of_the_data_is_refused(labels, problem_type, unseen):
    """F3: a measure over labels that cannot be right was 0, or proved whatever was asked."""
    space = LabelSpace(("neg", "pos"), problem_type)
    with pytest.raises(DataError, match="the data has '1', '2', and the model knows 'neg', 'pos'"):
        space.encode(labels, unseen=unseen)


# ---- figures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logits", "labels", "problem_type", "wanted"),
    [
        # Label 0: precision 1, recall 1/2; label 1: precision 1/2, recall 1; label 2 never occurs.
        ([[1, 0, 0], [0, 1, 0], [0, 1, 0]], [0, 0, 1], SINGLE, (2 / 3, 2 / 3, 2 / 3)),
        # Column 0 is right; column 1 finds one of two; column 2 is absent and counts 0. A trainer
        # hands them over as floats.
        ([[3, 2, -1], [-3, -2, -1]], [[1.0, 1, 0], [0, 1, 0]], MULTI, (0.5, (1 + 2 / 3) / 3, 0.8)),
        ([[1.0], [2.0], [9.0]], [1, 2, 3], "regression", (12.0, 4 / math.sqrt(19), 1.0)),
    ],
)
def test_scores_are_those_worked_out_by_hand(logits, labels, problem_type, wanted):
    scores = evaluate_logits(np.array(logits), labels, problem_type)
    assert [*scores.values()] == pytest.approx([*wanted])


def test_logits_that_do_not_fit_the_labels_are_refused():
    with pytest.raises(DataError, match="labels of shape"):
        evaluate_logits(np.ones((2, 3)), [0], SINGLE)
    with pytest.raises(DataError, match="one target, got one of 2; take the logits"):
        evaluate_logits(np.ones((2, 2)), [0.5, 1.0], "regression")


# ---- the validation split ------------------------------------------------------------------------


def make(labels, count=None):
    return Documents.from_lists(["text"] * (len(labels) if labels else count), labels)


@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=6).filter(lambda c: max(c) > 1),
    fraction=st.floats(0.05, 0.95),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_document_is_in_one_part_and_classes_have_their_share(counts, fraction, seed):
    labels = [name for name, count in zip("abcdef", counts, strict=False) for _ in range(count)]
    documents = make(labels[::2] + labels[1::2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TerselyWarning)
        training, validation = split_numbers(documents, fraction, seed)
        assert split_numbers(documents, fraction, seed) == (training, validation)
    assert sorted(training + validation) == list(range(len(documents)))
    assert training == sorted(training) and validation == sorted(validation) != []
    held = Counter(documents.labels[number] for number in validation)
    for label, count in Counter(documents.labels).items():
        if count == 1:
            assert label not in held
        else:
            assert 1 <= held[label] < count and abs(held[label] - count * fraction) <= 1


@pytest.mark.parametrize("labels", [[["a"], [], ["a", "b"]] * 10, [0.5, 1.0, 1.5] * 10, None])
def test_other_labels_are_shuffled_by_the_seed(labels):
    splits = [split_numbers(make(labels, 30), 0.2, seed) for seed in range(3)]
    assert {(len(training), len(validation)) for training, validation in splits} == {(24, 6)}
    assert len({tuple(validation) for _, validation in splits}) == 3


def test_classes_of_one_document_stay_in_training_and_are_named():
    with pytest.warns(TerselyWarning, match="1 of 3 classes .* 'c'"):
        training, validation = split_numbers(make(["a"] * 20 + ["b"] * 20 + ["c"]), 0.1)
    assert 40 in training and len(validation) == 4
    for labels in (["a"], ["a", "b"], [["a"]]):
        with pytest.raises(DataError, match="too few of a class"):
            split_numbers(make(labels), 0.5)


# ---- figures by class --------------------------------------------------------------------------

NAMES = ["a", "b", "c", "never"]


@pytest.mark.parametrize("several", [False, True])
def test_figures_by_class_are_those_of_scikit_learn(several):
    chance = np.random.default_rng(0)
    logits = chance.normal(size=(60, 4)) - [0, 0, 0, 9]
    labels = chance.integers(0, 2, (60, 4)) if several else chance.integers(0, 4, 60)
    problem = MULTI if several else SINGLE
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
    said = verdict(good, labels, NAMES[:2], linear=good, times=61.4)
    assert said.startswith("100.0 % of 60 documents are classified correctly (94.0 to 100.0 %)")
    assert " %), +50.0 points (+" in said
    assert "compared with always predicting 'a'" in said and "linear stage alone is as good" in said
    assert "can tell: 100.0 % at 61 times the speed, and the full model adds +0.0 points" in said
    # Few documents that one of them has right alone do not make the two as good.
    half = np.eye(2)[np.r_[np.ones(3, int), labels[3:]]]
    said = verdict(good[:20], labels[:20], NAMES[:2], linear=half[:20])
    assert "alone reaches 85.0 % at 1 times the speed, and the full model adds +15.0" in said
    said = verdict(bad, labels, NAMES[:2], linear=good)
    assert "+0.0 points (+0.0 to +0.0, not conclusive) compared with always" in said
    assert "the linear stage alone is better: 100.0 % at " in said and "adds -50.0" in said


def test_the_verdict_on_numbers_compares_with_their_mean():
    labels = np.arange(40.0)
    said = verdict(labels[:, None] + 1, labels, ["score"], "regression")
    assert said.startswith("the mean squared error of 40 documents is 1, -132 (-1")
    assert said.endswith(") compared with always predicting the mean.")
