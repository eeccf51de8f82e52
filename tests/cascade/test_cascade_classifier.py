"""A classifier with a cascade, as users have it: another limit, stages in the output, the card."""

import json

import numpy as np
import pytest

from cascades import TEXTS
from commands import run_command
from tersely import Classifier
from tersely.cascade import Cascade, Stage
from tersely.errors import DataError, ModelError, PlanError, TerselyWarning
from tersely.modeling import from_encoder
from tersely.reduction import preset


def test_a_limit_chooses_among_the_certified_points(cascade, dense):
    loaded = Classifier.from_pretrained(cascade, device="cpu")
    assert loaded.certificates.at(0.1).point == 1
    forward = loaded.forward(loaded.encode(TEXTS))
    assert (forward.stages == 0).sum() == 30 and forward.confidence.min() >= 0
    reference = Classifier.from_pretrained(cascade, device="cpu", max_disagreement=0)
    plain = Classifier.from_pretrained(dense, device="cpu")
    assert plain.certificates is None
    np.testing.assert_allclose(
        reference.predict_proba(TEXTS), plain.predict_proba(TEXTS), rtol=1e-4, atol=1e-6
    )
    with pytest.raises(DataError, match="20% .* is not certified .* 10% and 50%"):
        Classifier.from_pretrained(cascade, max_disagreement=0.2)
    with pytest.raises(ModelError, match="has none"):
        Classifier.from_pretrained(dense, max_disagreement=0.1)


def test_predict_says_which_stage_answered_and_how_sure_it_was(cascade, tmp_path):
    data = tmp_path / "new.jsonl"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    done = run_command("predict", cascade, data, "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["stage"] for row in rows].count("reference") == 30
    assert all(0 <= row["confidence"] <= 1 for row in rows)
    done = run_command("predict", cascade, data, "--device", "cpu", "--max-disagreement", 0)
    assert {json.loads(line)["stage"] for line in done.stdout.splitlines()} == {"reference"}


def test_the_card_says_what_was_proven(cascade):
    card = (cascade / "README.md").read_text()
    assert "A cascade answers: topk, then reference" in card
    assert "30 of 60 texts are answered early" in card
    assert "its quality is unknown" not in card  # beside what was proven


@pytest.mark.filterwarnings("ignore:the model was trained with")
def test_another_share_runs_the_reference_alone_and_says_so(dense, tmp_path):
    half = from_encoder(
        str(dense / "encoder"),
        plan=preset("topk", keep=0.5, least=1),
        id2label=dict(enumerate("ab")),
    )
    loaded = Classifier.from_pretrained(dense, device="cpu")
    alone = Cascade((Stage("reference", temperature=3.0),))
    loaded.adopt(half.under_cascade(alone), loaded.tokenizer)
    with pytest.warns(TerselyWarning, match="answers alone, and nothing is certified"):
        other = loaded.with_options(keep=0.25)
    assert other.model.cascade is None and other.certificates is None
    assert other.model_config.cascade is None and loaded.model.cascade == alone
    saved = Classifier.from_pretrained(other.save(tmp_path / "other"), device="cpu")
    assert saved.model.cascade is None
    assert saved.predict(TEXTS).tolist() == other.predict(TEXTS).tolist()


def test_a_certified_error_is_not_that_of_another_share(reviewed):
    sure = Classifier.from_pretrained(reviewed, device="cpu")
    with pytest.raises(PlanError, match="max_error=1"):
        sure._at(preset("topk", keep=0.5))
