"""A classifier that chooses its tokens fits its linear stage by itself, and is loaded with it."""

import pytest

from tersely import Classifier
from tersely.errors import ModelError
from tersely.explain.document import explain_document
from tersely.training.settings import TrainingSettings
from words import PLAIN, labelled

QUICK = TrainingSettings(epochs=1, batch_tokens=512, **PLAIN)


@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")
@pytest.mark.parametrize(
    "options",
    [{"method": "choose", "method_options": {"keep": 0.4}}, {"long": "select", "max_length": 16}],
    ids=["choose", "select"],
)
def test_it_fits_its_linear_stage_and_is_loaded_with_it(encoder, tmp_path, options):
    texts, labels = labelled(30, words=40)
    classifier = Classifier(encoder, device="cpu", **options).fit(texts, labels, settings=QUICK)
    loaded = Classifier.from_pretrained(classifier.save(tmp_path), device="cpu")
    assert loaded.torch_model().linear.form.classes == 3
    assert loaded.predict_proba(texts).tolist() == classifier.predict_proba(texts).tolist()
    tokens = [token for word in explain_document(loaded, texts[0]).words for token in word.tokens]
    assert sum(token.read for token in tokens) == len(loaded.encode(texts[:1]).windows[0]) - 2


@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")
def test_a_model_without_a_linear_stage_cannot_select(encoder):
    texts, labels = labelled(30, words=40)
    dense = Classifier(encoder, method="dense", device="cpu").fit(texts, labels, settings=QUICK)
    dense.model.config.long = "select"
    with pytest.raises(ModelError, match="chooses tokens by a linear stage"):
        dense.predict(texts)
