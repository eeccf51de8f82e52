"""The classifier among scikit-learn's: copies, pipelines, cross-validation, columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tersely import Classifier, TrainingSettings, preset
from tersely.errors import DataError, ModelError
from words import LABELS, labelled, save_encoder

QUICK = TrainingSettings(epochs=1, learning_rate=5e-3, batch_tokens=256)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"), num_hidden_layers=2)


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
    assert classifier.plan.name == "topk" and classifier.method_options == {"keep": 0.3}
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
    scores = cross_val_score(pipeline, texts, labels, cv=3, error_score="raise")
    assert len(scores) == 3 and all(0 <= score <= 1 for score in scores)
    by_name = cross_val_score(
        pipeline, texts, labels, cv=3, scoring="neg_log_loss", error_score="raise"
    )
    assert np.isfinite(by_name).all()
    pipeline.fit(texts, labels)
    assert list(pipeline.classes_) == list(LABELS)
    assert pipeline.predict_proba(texts[:4]).shape == (4, 3)
    assert pipeline.score(texts, labels) == np.mean(np.array(pipeline.predict(texts)) == labels)


def test_columns_of_all_kinds_give_the_same_answers(trained):
    pandas = pytest.importorskip("pandas")
    texts, labels = labelled(8, seed=3)
    expected = trained.predict_proba(texts)
    index = list(range(20, 28))
    for column in (
        np.array(texts),
        np.array(texts)[:, None],
        pandas.Series(texts, index=index),
        pandas.DataFrame({"text": texts}, index=index),
        pa.array(texts),
        pa.chunked_array([texts[:3], texts[3:]]),
    ):
        assert np.array_equal(trained.predict_proba(column), expected)
    wanted = pandas.Series(labels, index=index)
    assert trained.score(pandas.Series(texts, index=index), wanted) == trained.score(texts, labels)


def test_numbers_as_classes_are_scored_by_their_names(encoder):
    texts, labels = labelled(30)
    numbers = np.array([LABELS.index(label) for label in labels])
    classifier = Classifier(encoder, method="topk").fit(texts, numbers, settings=QUICK)
    assert classifier.classes_ == ["0", "1", "2"]
    predicted = np.array(classifier.predict(texts)).astype(int)
    assert classifier.score(texts, numbers) == pytest.approx(np.mean(predicted == numbers))


def test_a_regression_is_scored_by_what_it_explains(encoder):
    metrics = pytest.importorskip("sklearn.metrics")
    base = pytest.importorskip("sklearn.base")
    texts, _ = labelled(30)
    lengths = np.array([len(text.split()) / 13 for text in texts])
    classifier = Classifier(encoder, method="topk").fit(texts, lengths, settings=QUICK)
    expected = metrics.r2_score(lengths, classifier.predict(texts))
    assert classifier.score(texts, lengths) == pytest.approx(expected)
    assert base.is_regressor(classifier)


def test_a_text_that_is_no_list_is_refused(trained):
    with pytest.raises(DataError, match="got a single string"):
        trained.predict("cat")
    with pytest.raises(DataError, match="expected a label for each of the 2 documents"):
        trained.score(["cat", "dog"], ["animals"])
