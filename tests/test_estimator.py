"""The classifier among scikit-learn's: copies, pipelines, cross-validation, columns."""

import numpy as np
import pyarrow as pa
import pytest

from tersely import Classifier, TrainingSettings, preset
from tersely.errors import DataError, ModelError, TerselyError
from tersely.text import Documents
from words import LABELS, labelled

QUICK = TrainingSettings(epochs=1, learning_rate=5e-3, batch_tokens=256)


@pytest.fixture(scope="module")
def trained(encoder):
    return Classifier(encoder, method="topk").fit(*labelled(45), settings=QUICK)


class Quick(Classifier):
    """One that trains for a moment, since cross-validation passes no settings."""

    def fit(self, texts, labels, sample_weight=None):
        how = {"settings": QUICK, "validation": 0}
        return super().fit(texts, labels, sample_weight=sample_weight, **how)


def test_a_clone_has_the_same_parameters_and_no_model(trained):
    base = pytest.importorskip("sklearn.base")
    copy = base.clone(trained)
    assert copy is not trained and copy.get_params() == trained.get_params()
    assert copy.plan == Classifier("x", method="topk").plan
    with pytest.raises(ModelError, match="not trained yet"):
        copy.predict(["cat"])
    assert base.is_classifier(trained) and not base.is_regressor(trained)

    options = {"method_options": {"keep": 0.5}, "revision": "main"}
    copy = base.clone(Classifier("x", method="topk", **options))
    assert copy.get_params()["revision"] == "main" and copy.loading == {"revision": "main"}
    assert copy.plan == preset("topk", keep=0.5)


def test_parameters_are_set_for_the_next_fit(encoder):
    classifier = Classifier(encoder).set_params(method="topk", method_options={"keep": 0.3})
    assert classifier.plan == preset("topk", keep=0.3)
    assert classifier.set_params() is classifier
    with pytest.raises(DataError, match="'keeps' is not a parameter; the parameters are model"):
        classifier.set_params(keeps=0.3)


def test_it_stands_in_a_pipeline_and_is_cross_validated(encoder):
    pytest.importorskip("sklearn")
    from sklearn.model_selection import cross_validate
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    texts, labels = map(np.array, labelled(45))
    lower = FunctionTransformer(lambda texts: np.char.lower(texts))
    pipeline = make_pipeline(lower, Quick(encoder, method="topk"))
    pipeline.set_params(quick__max_length=16)
    scoring = {"own": lambda pipeline, *data: pipeline.score(*data), "loss": "neg_log_loss"}
    options = {"cv": 2, "scoring": scoring, "error_score": "raise"}
    found = cross_validate(pipeline, texts, labels, **options)
    assert np.isfinite([found["test_own"], found["test_loss"]]).all()
    pipeline.fit(texts, labels)
    assert list(pipeline.classes_) == list(LABELS)
    assert pipeline.predict_proba(texts[:4]).shape == (4, 3)
    assert pipeline.score(texts, labels) == np.mean(pipeline.predict(texts) == labels)


def test_answers_are_arrays_and_it_says_what_it_is(trained, encoder):
    texts, labels = labelled(6)
    predicted = trained.predict(texts)
    assert isinstance(predicted, np.ndarray) and predicted.shape == (6,)
    assert {type(label) for label in predicted} == {str}
    assert (trained.classes_ == np.array(LABELS)).all()
    assert trained.predict([]).dtype == object and len(trained.predict([])) == 0
    names, device = ", ".join(map(repr, LABELS)), trained.device
    told = f"{names}; at most {trained.limit} tokens, float32 on {device}"
    assert repr(trained) == f"<Classifier {encoder} (topk): {told}>"
    assert repr(Classifier("x", method="lat")) == "<Classifier x (lat): not trained yet>"


def test_whole_numbers_come_back_as_such_and_other_labels_as_names(encoder, tmp_path):
    texts, names = labelled(30)
    numbers = np.array([10 * LABELS.index(name) - 10 for name in names])
    whole = Classifier(encoder, method="dense").fit(texts, numbers, settings=QUICK, validation=0)
    assert whole.classes_.tolist() == [-10, 0, 10] and whole.predict(texts).dtype.kind == "i"
    assert whole.score(texts, numbers) == np.mean(whole.predict(texts) == numbers)
    again = Classifier.from_pretrained(whole.save(tmp_path / "whole"))
    assert (again.predict(texts) == whole.predict(texts)).all()
    assert again.label_space.names == ("-10", "0", "10")
    flags = Classifier(encoder, method="dense").fit(texts, numbers > 0, settings=QUICK)
    assert flags.classes_.tolist() == ["False", "True"]


def test_columns_of_all_kinds_give_the_same_answers(trained):
    pandas = pytest.importorskip("pandas")
    texts, labels = labelled(8, seed=3)
    frame = pandas.DataFrame({"text": texts, "label": labels}, index=range(20, 28))
    expected = trained.predict_proba(texts)
    for column in (np.array(texts), frame[["text"]], frame["text"], pa.array(texts)):
        assert np.array_equal(trained.predict_proba(column), expected)
    assert trained.score(frame["text"], frame["label"]) == trained.score(texts, labels)


def test_documents_may_count_more_than_others_in_a_score(trained):
    metrics = pytest.importorskip("sklearn.metrics")
    texts, labels = labelled(12, seed=5)
    weights = np.linspace(0.1, 3, 12)
    labels[:6] = ["music"] * 6
    wanted = metrics.accuracy_score(labels, trained.predict(texts), sample_weight=weights)
    assert trained.score(texts, labels, sample_weight=weights) == pytest.approx(wanted)


def test_it_is_calibrated_by_scikit_learn(encoder):
    calibration = pytest.importorskip("sklearn.calibration")
    texts, labels = map(np.array, labelled(60))
    options = {"cv": 2, "ensemble": False, "method": "sigmoid"}
    calibrated = calibration.CalibratedClassifierCV(Quick(encoder, method="dense"), **options)
    calibrated.fit(texts, labels, sample_weight=np.linspace(0.5, 1, 60))
    assert list(calibrated.classes_) == list(LABELS)
    np.testing.assert_allclose(calibrated.predict_proba(texts[:5]).sum(1), 1)
    assert set(calibrated.predict(texts)) <= set(LABELS)


# What scikit-learn checks of any estimator and can be asked of one that takes texts; the others
# fit tables of numbers, which `check_estimator` itself says and leaves out.
CHECKS = """estimator_cloneable estimator_repr estimator_tags_renamed valid_tag_types
    mixin_order get_params_invariance
    set_params parameters_default_constructible no_attributes_set_in_init
    do_not_raise_errors_in_init_or_set_params""".split()
DIFFERENT = {
    # A plan is made, and options are judged, before anything is read: errors come at once.
    "no_attributes_set_in_init": "settings are resolved in the constructor",
    "do_not_raise_errors_in_init_or_set_params": "what cannot be is refused in the constructor",
}


@pytest.mark.filterwarnings("ignore:.*It is recommended to delay", "ignore:.*does not inherit")
@pytest.mark.parametrize("name", CHECKS)
def test_it_passes_the_checks_of_scikit_learn_that_texts_allow(encoder, name):
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    check, classifier = getattr(checks, f"check_{name}"), Classifier(encoder, method="dense")
    if name not in DIFFERENT:
        check("Classifier", classifier)
        return
    with pytest.raises((AssertionError, TypeError, TerselyError)):
        check("Classifier", classifier)


def test_a_regression_is_scored_by_what_it_explains(encoder):
    metrics = pytest.importorskip("sklearn.metrics")
    texts, _ = labelled(30)
    lengths = np.array([len(text.split()) / 13 for text in texts])
    classifier = Classifier(encoder, method="topk").fit(texts, lengths, settings=QUICK)
    predicted = classifier.predict(texts)
    assert predicted.dtype == float and predicted.shape == (30,)
    for weights in (None, np.linspace(0.1, 3, 30)):
        wanted = metrics.r2_score(lengths, predicted, sample_weight=weights)
        assert classifier.score(texts, lengths, weights) == pytest.approx(wanted, rel=1e-5)
    assert set(classifier.evaluate(Documents.from_lists(texts, lengths))) >= {"mse", "pearson"}
    assert pytest.importorskip("sklearn.base").is_regressor(classifier)
    with pytest.raises(ModelError, match="no probabilities"):
        classifier.predict_proba(texts)
