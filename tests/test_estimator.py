"""The classifier among scikit-learn's: copies, pipelines, cross-validation, columns."""

import numpy as np
import pyarrow as pa
import pytest

from tersely import Classifier, TrainingSettings, preset
from tersely.errors import DataError, ModelError
from tersely.text import Documents
from words import LABELS, labelled

QUICK = TrainingSettings(epochs=1, learning_rate=5e-3, batch_tokens=256)


@pytest.fixture(scope="module")
def trained(encoder):
    return Classifier(encoder, method="topk").fit(*labelled(45), settings=QUICK)


class Quick(Classifier):
    """One that trains for a moment, since cross-validation passes no settings."""

    def fit(self, texts, labels):
        return super().fit(texts, labels, settings=QUICK, validation=0)


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
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    texts, labels = map(np.array, labelled(45))
    lower = FunctionTransformer(lambda texts: np.char.lower(texts))
    pipeline = make_pipeline(lower, Quick(encoder, method="topk"))
    pipeline.set_params(quick__max_length=16)
    for scoring in (None, "neg_log_loss"):
        options = {"cv": 3, "scoring": scoring, "error_score": "raise"}
        assert np.isfinite(cross_val_score(pipeline, texts, labels, **options)).all()
    pipeline.fit(texts, labels)
    assert list(pipeline.classes_) == list(LABELS)
    assert pipeline.predict_proba(texts[:4]).shape == (4, 3)
    assert pipeline.score(texts, labels) == np.mean(np.array(pipeline.predict(texts)) == labels)


def test_columns_of_all_kinds_give_the_same_answers(trained):
    pandas = pytest.importorskip("pandas")
    texts, labels = labelled(8, seed=3)
    frame = pandas.DataFrame({"text": texts, "label": labels}, index=range(20, 28))
    expected = trained.predict_proba(texts)
    for column in (np.array(texts), frame[["text"]], frame["text"], pa.array(texts)):
        assert np.array_equal(trained.predict_proba(column), expected)
    assert trained.score(frame["text"], frame["label"]) == trained.score(texts, labels)


def test_numbers_as_classes_are_scored_by_their_names(encoder):
    texts, labels = labelled(30)
    numbers = np.array([LABELS.index(label) for label in labels])
    classifier = Classifier(encoder, method="topk").fit(texts, numbers, settings=QUICK)
    assert classifier.classes_ == ["0", "1", "2"]
    predicted = np.array(classifier.predict(texts)).astype(int)
    assert classifier.score(texts, numbers) == pytest.approx(np.mean(predicted == numbers))


def test_a_regression_is_scored_by_what_it_explains(encoder):
    metrics = pytest.importorskip("sklearn.metrics")
    texts, _ = labelled(30)
    lengths = np.array([len(text.split()) / 13 for text in texts])
    classifier = Classifier(encoder, method="topk").fit(texts, lengths, settings=QUICK)
    predicted = classifier.predict(texts)
    assert all(isinstance(value, float) for value in predicted)
    assert classifier.score(texts, lengths) == pytest.approx(metrics.r2_score(lengths, predicted))
    assert set(classifier.evaluate(Documents.from_lists(texts, lengths))) >= {"mse", "pearson"}
    assert pytest.importorskip("sklearn.base").is_regressor(classifier)
    with pytest.raises(ModelError, match="no probabilities"):
        classifier.predict_proba(texts)
