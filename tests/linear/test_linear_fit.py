"""Fitting a linear stage: what is chosen, against scikit-learn, and what cannot be fitted."""

import json
from collections import Counter

import numpy as np
import pytest
import slow_linear as slow
import torch
from hypothesis import given
from hypothesis import strategies as st

from tersely.errors import DataError, ModelError, TerselyWarning
from tersely.linear import fit_linear
from tersely.linear.calibration import calibrate, fit_stacking
from tersely.linear.candidates import BOTH, CANDIDATES, COST, SMOOTHING
from tersely.linear.fit import fold_numbers
from tersely.text.labels import MULTI_LABEL, REGRESSION

CLASSES = 3


def drawn(count, *, seed=0, clear=0.5):
    """Documents whose pieces speak for their class now and then, and the classes."""
    random = np.random.default_rng(seed)
    labels = random.integers(CLASSES, size=count)
    documents = []
    for label in labels:
        length = random.integers(2, 9)
        pieces = random.integers(2, slow.VOCABULARY, size=length)
        telling = random.random(length) < clear
        documents.append([1, *np.where(telling, 2 + 2 * label, pieces).tolist(), 0])
    return documents, labels


def fitted(documents, labels, **options):
    options = {
        "classes": CLASSES,
        "vocabulary": slow.VOCABULARY,
        "special_ids": slow.SPECIAL,
    } | options
    return fit_linear(*slow.row(documents), np.asarray(labels), **options)


def only(monkeypatch, name):
    for other in set(CANDIDATES) - {name}:
        monkeypatch.delitem(CANDIDATES, other)


# ---- against scikit-learn ------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(CANDIDATES))
def test_it_is_scikit_learns_model_on_the_same_features(monkeypatch, name):
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.naive_bayes import ComplementNB
    from sklearn.svm import LinearSVC

    only(monkeypatch, name)
    documents, labels = drawn(80)
    fit = fitted(documents, labels)
    owners = fit.stage.owners.tolist()
    counts = np.zeros((len(documents), fit.stage.form.features))
    for number, document in enumerate(documents):
        for feature, times in Counter(f for f, _ in slow.occurrences(document, owners)).items():
            counts[number, feature] = times
    vectors = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    if name == "naive-bayes":
        model = ComplementNB(alpha=SMOOTHING).fit(vectors, labels)
        wanted = model.predict_joint_log_proba(vectors)
    else:
        model = LinearSVC(C=COST, class_weight="balanced", random_state=0, tol=1e-6)
        wanted = model.fit(vectors, labels).decision_function(vectors)
    margins = fit.stage.margins(*slow.row(documents)).numpy()
    centred = (figures - figures.mean(axis=1, keepdims=True) for figures in (margins, wanted))
    ours, theirs = (figures / figures.std() for figures in centred)
    np.testing.assert_allclose(ours, theirs, atol=0.03)
    assert (margins.argmax(1) == wanted.argmax(1)).mean() > 0.98


# ---- what comes out ------------------------------------------------------------------------------


def test_out_of_fold_answers_are_of_models_that_did_not_see_the_document(monkeypatch):
    def count_classes(vectors, wanted, weight, several):
        return np.zeros((vectors.shape[1], CLASSES)), wanted.sum(axis=0) / 100

    only(monkeypatch, "svc")
    monkeypatch.setitem(CANDIDATES, "svc", count_classes)
    documents, labels = drawn(60)
    fit = fitted(documents, labels)
    seen = np.stack([np.bincount(labels[fit.folds != part]) for part in fit.folds])
    logits, counts = (f - f.mean(1, keepdims=True) for f in (fit.log_probabilities, seen))
    np.testing.assert_allclose(logits / logits.std(), counts / counts.std(), atol=0.01)


def test_the_record_is_plain_and_the_better_candidate_is_chosen():
    documents, labels = drawn(80)
    fit = fitted(documents, labels)
    record = json.loads(json.dumps(fit.record()))
    scores = [entry["accuracy"] + entry["macro_f1"] for entry in record["candidates"]]
    assert [entry["name"] for entry in record["candidates"]][0] == fit.stage.form.kind
    assert {entry["name"] for entry in record["candidates"]} == {BOTH, *CANDIDATES}
    assert scores == sorted(scores, reverse=True)
    right = (fit.log_probabilities.argmax(1) == labels).mean()
    assert right == pytest.approx(record["candidates"][0]["accuracy"])
    np.testing.assert_allclose(np.exp(fit.log_probabilities).sum(1), 1, atol=1e-5)


def test_the_fit_is_what_its_file_holds():
    fit = fitted(*drawn(40))
    tables = fit.stage.weights, fit.stage.idf
    assert all(torch.equal(table, table.half().float()) for table in tables)


def test_weights_of_documents_count_as_copies(monkeypatch):
    only(monkeypatch, "naive-bayes")
    documents, labels = drawn(30)
    twice = fitted(documents, labels, sample_weight=np.full(30, 2.0), folds=2)
    once = fitted(documents, labels, folds=2)
    # Smoothing is all that tells them apart.
    torch.testing.assert_close(twice.stage.weights, once.stage.weights, atol=0.2, rtol=0.1)
    heavy = fitted(documents, labels, sample_weight=np.where(labels == 0, 50.0, 1.0), folds=2)
    assert not torch.allclose(heavy.stage.weights, once.stage.weights, atol=0.2)


def test_several_labels():
    documents, labels = drawn(90, clear=0.8)
    both = np.zeros((90, CLASSES), dtype=np.int64)
    both[np.arange(90), labels] = 1
    both[:, 2] = 1  # a label of every document
    fit = fitted(documents, both, problem_type=MULTI_LABEL)
    assert fit.record()["candidates"][0]["accuracy"] > 0.8
    answers = fit.stage(*slow.row(documents)).exp().numpy()
    assert answers.shape == (90, CLASSES) and (answers[:, 2] > 0.9).all()


def test_the_stage_keeps_to_its_bytes():
    documents, labels = drawn(80)
    most = 2 * (4 * slow.VOCABULARY + 5 * 3) + slow.VOCABULARY
    fit = fitted(documents, labels, most_bytes=most)
    assert fit.stage.form.buckets == 3 and fit.record()["bytes"] <= most
    with pytest.warns(TerselyWarning, match="without any pairs"):
        fit = fitted(documents, labels, most_bytes=10)
    assert fit.stage.form.buckets == 0


def test_scores_of_pieces_out_of_fold_know_nothing_of_the_fold():
    own = list(range(20, 40))  # a piece that no other document holds
    documents = [[0, 3 + number % 3, 6, own[number]] for number in range(20)]
    options = {"classes": 3, "vocabulary": 40, "special_ids": (0,), "scores": True}
    fit = fit_linear(*slow.row(documents), np.arange(20) % 3, **options)
    found = [fit.piece_scores[fold][piece] for fold, piece in zip(fit.folds, own, strict=True)]
    assert found == [0.0] * 20 and (fit.stage.piece_scores()[own] > 0).all()


# ---- documents that are few or odd ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        ([0, 1], {}),
        ([0, 0, 0, 1], {}),
        ([0, 0, 1, 1, 2, 2, 2, 0, 1, 2], {"classes": 5}),
        ([[1, 0], [0, 0], [1, 0]], {"classes": 2, "problem_type": MULTI_LABEL}),
    ],
)
def test_few_documents_give_a_stage(labels, options):
    documents = [[1, 2 + number % 9, 3, 0] for number in range(len(labels) - 1)] + [[1, 0]]
    fit = fitted(documents, labels, **options)
    answers = fit.stage(*slow.row(documents))
    assert answers.isfinite().all() and np.isfinite(fit.log_probabilities).all()


@pytest.mark.parametrize(
    ("documents", "labels", "options", "match"),
    [
        ([[2], [3]], [0, 0], {}, "at least two classes"),
        ([[2], [3]], [[1], [1]], {"classes": 1, "problem_type": MULTI_LABEL}, "two classes"),
        ([[2]], [0], {}, "at least two classes"),
        ([], [], {}, "at least two classes"),
        ([[1, 0], []], [0, 1], {}, "documents with text"),
        ([[2], [3]], [0], {}, "labels must be"),
        ([[2], [3]], [0, 3], {}, "labels must be whole numbers from 0 to 2"),
        ([[2], [3]], [0.5, 1], {}, "labels must be"),
        ([[2], [3]], [0, 1], {"sample_weight": [1.0]}, "sample_weight must be"),
        ([[2], [3]], [0, 1], {"sample_weight": [1.0, np.nan]}, "sample_weight must be"),
        ([[2], [3]], [0, 1], {"sample_weight": [1.0, 0.0]}, "sample_weight must be"),
        ([[2], [3]], [0, 1], {"folds": 1}, "folds must be"),
    ],
)
def test_what_cannot_be_fitted_is_said(documents, labels, options, match):
    with pytest.raises(DataError, match=match):
        fitted(documents, labels, **options)


def test_a_regression_is_refused():
    with pytest.raises(ModelError, match="a regression has none"):
        fitted([[2], [3]], [0.5, 1.5], problem_type=REGRESSION)


# ---- folds and probabilities ---------------------------------------------------------------------


@given(st.lists(st.integers(0, 3), min_size=2, max_size=40), st.integers(2, 5))
def test_folds_are_even_in_size_and_in_classes(labels, folds):
    wanted = np.array(labels)[:, None] == np.arange(4)
    numbers = fold_numbers(wanted, folds)
    for rows in (np.ones(len(labels), bool), *wanted.T):
        sizes = np.bincount(numbers[rows], minlength=folds)
        assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("several", [False, True])
def test_calibrated_margins_are_as_sure_as_they_are_right(several):
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, CLASSES)) * 2
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wanted = random.random((4000, 1)) < chances.cumsum(1)
    wanted &= ~np.roll(wanted, 1, axis=1) | (np.arange(CLASSES) == 0)
    shift = np.zeros(CLASSES)
    if several:
        shift = np.array([0.5, 0.0, -0.5])
        wanted = random.random(logits.shape) < 1 / (1 + np.exp(-logits))
    found = calibrate(0.1 * (logits - shift), wanted, np.ones(4000), several)
    assert found.temperature == pytest.approx(0.1, rel=0.1)
    np.testing.assert_allclose(found.shifts, 0.1 * shift, atol=0.02)


def test_margins_that_are_all_right_are_not_certain():
    labels = np.arange(200) % 2
    wanted = labels[:, None] == np.arange(2)
    found = calibrate(wanted * 2.0 - 1, wanted, np.ones(200), several=False)
    unsure = 1 / (1 + np.exp(2 / found.temperature))
    assert 1e-4 < unsure < 0.02


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_a_fitted_weight_is_the_one_that_answers_were_drawn_with(several, weight):
    random = np.random.default_rng(0)
    logits, evidence = random.normal(size=(2, 6000, 3)) * 2
    both = logits / 2.5 + weight * evidence
    if several:
        wanted = random.random(both.shape) < 1 / (1 + np.exp(-both))
    else:
        chances = np.exp(both) / np.exp(both).sum(1, keepdims=True)
        wanted = np.array([random.multinomial(1, row) for row in chances]).astype(bool)
    temperature, found = fit_stacking(logits, evidence, wanted, several)
    assert temperature == pytest.approx(2.5, rel=0.15)
    assert found == pytest.approx(weight, abs=0.07)
