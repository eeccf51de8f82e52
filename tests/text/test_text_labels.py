"""The label space: its order, its arrays, and what it says about labels it does not know."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.errors import DataError, TerselyWarning
from tersely.text import LabelSpace
from tersely.text.metrics import calibration_error, evaluate_logits, right_documents

SINGLE = "single_label_classification"
MULTI = "multi_label_classification"


@pytest.mark.parametrize(
    ("labels", "names", "problem_type"),
    [
        (["b", "a", "b"], ("a", "b"), SINGLE),
        (["10", "9", "1"], ("1", "9", "10"), SINGLE),
        (["10", "9", "x"], ("10", "9", "x"), SINGLE),
        (["1", "01"], ("01", "1"), SINGLE),
        ([["b"], [], ["a", "b"]], ("a", "b"), MULTI),
        ([1.0, 2.5], ("score",), "regression"),
    ],
)
def test_inferred_space(labels, names, problem_type):
    space = LabelSpace.infer(labels)
    assert (space.names, space.problem_type) == (names, problem_type)
    assert space.id2label == dict(enumerate(names))
    assert space.label2id == {name: index for index, name in enumerate(names)}


@pytest.mark.parametrize(
    ("labels", "problem_type", "message"),
    [
        (None, None, "labels are needed"),
        (["a", "a"], None, "at least two classes .* only 'a'"),
        ([[], []], None, "no label at all"),
        (["a", "b"], MULTI, "labels for multi.* and these are for 'single"),
        (["a", ["b"]], None, "labels for single.* and these are for 'multi"),
        (["a", "b"], "ranking", "must be one of"),
        ([float("nan")], None, "finite float"),
    ],
)
def test_labels_that_make_no_space(labels, problem_type, message):
    with pytest.raises(DataError, match=message):
        LabelSpace.infer(labels, problem_type)


@given(st.lists(st.text(min_size=1), min_size=2).filter(lambda labels: len(set(labels)) > 1))
def test_single_labels_come_back(labels):
    space = LabelSpace.infer(labels)
    encoded = space.encode(labels)
    assert encoded.dtype == np.int64 and encoded.shape == (len(labels),)
    assert [space.id2label[index] for index in encoded.tolist()] == labels


@given(st.lists(st.sets(st.sampled_from("abcde")), min_size=1))
def test_several_labels_come_back(labels):
    space = LabelSpace(tuple("abcde"), MULTI)
    encoded = space.encode([sorted(names) for names in labels])
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


def test_documents_without_any_label_are_measured():
    assert LabelSpace(("a", "b"), MULTI).encode([[], []], unseen="skip").tolist() == [[0, 0]] * 2
