"""Cards beside saved models: the Hub can read them, they say what is true, and ours alone go."""

import json

import pytest
from huggingface_hub import ModelCard

from tersely import Classifier, TrainingSettings
from tersely.errors import TerselyWarning
from tersely.text import Documents
from words import LABELS, labelled

QUICK = TrainingSettings(epochs=1, learning_rate=5e-3, batch_tokens=256, seed=7)


@pytest.fixture(scope="module")
def trained(encoder):
    classifier = Classifier(encoder, method="focus-pfc", max_length=32)
    return classifier.fit(*labelled(45), settings=QUICK)


def test_the_card_says_what_the_model_is(trained, encoder, tmp_path):
    card = ModelCard.load(trained.save(tmp_path / "my-model") / "README.md")
    data = card.data.to_dict()
    assert data["library_name"] == "tersely" and data["pipeline_tag"] == "text-classification"
    assert {"tersely", "focus-pfc"} <= set(data["tags"])
    # A directory of this machine is no name for anybody else.
    assert "base_model" not in data and str(encoder) not in card.content
    assert "# my-model" in card.text and 'from_pretrained("my-model/")' in card.text
    assert all(f"`{label}`" in card.text for label in LABELS)
    assert "at most 32 tokens" in card.text and "seed 7" in card.text
    assert all(f"`{kind}`" in card.text for kind in ("drop-keys", "combine", "fuzzy-ratio"))
    assert "not evaluated" in card.text and "model-index" not in data
    assert "taught by `the dense stage`" in card.text


def test_a_name_of_the_hub_is_the_base_model(trained, tmp_path, monkeypatch):
    config = trained.model.config.encoder_config
    monkeypatch.setattr(config, "_name_or_path", "someone/some-encoder")
    card = ModelCard.load(trained.save(tmp_path) / "README.md")
    assert card.data.base_model == "someone/some-encoder"


def test_what_was_evaluated_stands_in_the_card(trained, tmp_path):
    found = trained.evaluate(Documents.from_lists(*labelled(12, seed=2)))
    # Review 9: the last figures stood in the card, whatever they were measured on.
    assert "not evaluated" in (trained.save(tmp_path) / "README.md").read_text("utf-8")
    card = ModelCard.load(trained.save(tmp_path, evaluation=found) / "README.md")
    results = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert results == pytest.approx(found.metrics, abs=1e-6)
    assert f"| accuracy | {found['accuracy']:.4f} |" in card.text
    assert "12 documents of `the given texts`" in card.text
    encoded = trained.encode(labelled(12, seed=2)[0])
    assert (found.tokens, found.macs) == (encoded.tokens, trained.forward(encoded).macs)
    assert f"{found.tokens / 12:.0f} tokens and cost {found.macs / 12:.3g} MACs" in card.text


def test_our_card_is_written_again_and_anybody_elses_is_kept(trained, tmp_path):
    path = trained.save(tmp_path) / "README.md"
    trained.save(tmp_path, evaluation=trained.evaluate(Documents.from_lists(*labelled(12, seed=2))))
    assert "| accuracy |" in path.read_text("utf-8")
    for changed in (path.read_text("utf-8") + "\nMy own words.\n", "# Mine\n"):
        path.write_text(changed, "utf-8")
        with pytest.warns(TerselyWarning, match="is kept as it is"):
            trained.save(tmp_path)
        assert path.read_text("utf-8") == changed
        assert json.loads((tmp_path / "training.json").read_text("utf-8"))
