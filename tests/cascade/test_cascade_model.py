"""A model with a cascade: the same answers through every way in, and in any company."""

import copy

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, pipeline

from cascades import TEXTS, make_stages
from tersely import Classifier
from tersely.cascade import Cascade, Stage, confidence
from tersely.errors import ModelError, TerselyError
from tersely.linear import LinearForm, LinearStage
from tersely.modeling import from_encoder
from tersely.modeling.cascading import linear_log_probabilities
from tersely.modeling.inference import run_model
from tersely.reduction import preset
from tersely.text import Documents
from words import LABELS

PLAN = Stage("plan", preset("topk", keep=0.25, at=0, least=1), temperature=1.5, weight=0.6)
STAGES = (Stage("linear"), PLAN, Stage("reference", temperature=0.5, weight=0.3))


@pytest.fixture(scope="module")
def plain(dense):
    return Classifier.from_pretrained(dense, device="cpu")


@pytest.fixture(scope="module")
def cascaded(plain):
    """Thresholds in the middle of what the stages are sure of."""
    stage, sure = make_stages(plain, PLAN, TEXTS)
    middle = tuple(float(each.quantile(0.5)) for each in sure)
    return plain.model.under_cascade(Cascade(STAGES, ((1.0, 1.0), middle), 1), stage)


def expected(cascaded, plain):
    """Answer stage by stage, document by document."""
    answers, stages = [], []
    for text in TEXTS:
        encoded = plain.encode([text])
        ids = torch.from_numpy(encoded.windows[0])
        bounds = torch.tensor([0, len(ids)])
        for stage, threshold in zip(STAGES, (*cascaded.cascade.thresholds, -1), strict=True):
            if stage.kind == "linear":
                logs = cascaded.linear(ids, bounds)
            else:
                plan = stage.plan or preset("dense")
                model = cascaded.alone().under_plan(plan).eval()
                with torch.inference_mode():
                    logits = model(ids[None].long(), cu_seq_lens_q=bounds).logits
                added = stage.weight * cascaded.linear(ids, bounds)
                logs = (logits / stage.temperature + added).log_softmax(1)
            if float(confidence(logs, several=False)) > threshold:
                break
        answers.append(logs[0])
        stages.append(STAGES.index(stage))
    return torch.stack(answers), stages


def test_every_way_in_gives_the_same_answers_and_stages(cascaded, plain):
    wanted, stages = expected(cascaded, plain)
    assert set(stages) == {0, 1, 2}
    found = run_model(cascaded, plain.encode(TEXTS), 128)
    np.testing.assert_allclose(found.logits, wanted, atol=1e-4)
    assert found.stages.tolist() == stages
    assert found.encoder_macs < run_model(cascaded.alone(), plain.encode(TEXTS), 128).encoder_macs
    batch = plain.tokenizer(TEXTS[:20], padding=True, return_tensors="pt")
    with torch.inference_mode():
        output = cascaded.eval()(**batch)
    torch.testing.assert_close(output.logits, wanted[:20], atol=1e-4, rtol=1e-4)
    assert output.stages.tolist() == stages[:20]


def test_an_evaluation_compares_with_the_linear_stage_alone(cascaded, plain):
    whole = copy.copy(plain)
    whole.adopt(cascaded, plain.tokenizer)
    found = whole.evaluate(Documents.from_lists(TEXTS, [LABELS[i % 3] for i in range(60)]))
    encoded = plain.encode(TEXTS)
    alone = linear_log_probabilities(cascaded.linear, encoded).argmax(1).numpy()
    share = 100 * (alone == np.arange(60) % 3).mean()
    assert (
        "the linear stage alone" in found.verdict
        and f" {share:.1f} % at " in found.verdict
        and " times the speed, and the full model adds " in found.verdict
    )
    assert "linear stage" not in plain.evaluate(Documents.from_lists(TEXTS, [*LABELS] * 20)).verdict


@pytest.fixture(scope="module")
def choosing(cascaded, plain):
    """A stage that chooses its tokens before the first block, and answers half of the documents."""
    chooses = Stage("plan", preset("choose", keep=0.4, least=1, score="linear-margin"))
    model = plain.model.beside(cascaded.linear)
    logits = run_model(model.under_plan(chooses.plan), plain.encode(TEXTS), 4096).logits
    sure = confidence(torch.from_numpy(logits).log_softmax(1), several=False)
    half = float(sure.quantile(0.5))
    return model.under_cascade(Cascade((chooses, Stage("reference")), ((half,),), 0))


@pytest.mark.parametrize("name", ["cascaded", "choosing"])
def test_a_document_gets_the_same_answer_in_any_company(name, plain, request):
    model = request.getfixturevalue(name)
    whole = run_model(model, plain.encode(TEXTS), 4096)
    assert len(set(whole.stages.tolist())) == len(model.cascade.stages)
    for numbers in (range(7), range(59, -1, -3)):
        part = run_model(model, plain.encode([TEXTS[n] for n in numbers]), 64)
        np.testing.assert_allclose(part.logits, whole.logits[list(numbers)], atol=1e-4)
        assert part.stages.tolist() == whole.stages[list(numbers)].tolist()


def test_a_saved_cascade_loads_and_works_in_a_pipeline(cascaded, plain, tmp_path):
    wanted = run_model(cascaded, plain.encode(TEXTS), 4096)
    cascaded.save_pretrained(tmp_path)
    plain.tokenizer.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert again.cascade == cascaded.cascade
    found = run_model(again.eval(), plain.encode(TEXTS), 4096)
    np.testing.assert_allclose(found.logits, wanted.logits, atol=2e-3)  # float16 tables
    pipe = pipeline("text-classification", model=again, tokenizer=plain.tokenizer)
    labels = [each["label"] for each in pipe(TEXTS, batch_size=8)]
    assert labels == [LABELS[number] for number in wanted.logits.argmax(1)]
    classifier = Classifier.from_pretrained(tmp_path, device="cpu")
    assert list(classifier.predict(TEXTS)) == labels


def test_training_and_traces_are_the_references(cascaded, plain):
    batch = plain.tokenizer(TEXTS[:4], padding=True, return_tensors="pt")
    labels = torch.tensor([0, 1, 2, 0])
    reference = cascaded.alone().train()(**batch, labels=labels).logits
    assert cascaded.train()(**batch, labels=labels).logits.shape == reference.shape
    assert cascaded(**batch, labels=labels).stages is None
    traced = cascaded.eval()(**batch, output_trace=True)
    assert traced.trace is not None and traced.stages is None
    torch.testing.assert_close(traced.logits, cascaded.alone()(**batch).logits)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((Stage("linear"), Stage("reference")), "needs a linear stage"),
        ((Stage("plan", preset("topk", at=9)), Stage("reference")), "block"),
    ],
)
def test_cascades_that_do_not_fit_are_refused(plain, stages, message):
    with pytest.raises(ModelError if "linear" in message else TerselyError, match=message):
        plain.model.under_cascade(Cascade(stages, ((0.5,),), 0))


def test_a_linear_stage_of_other_labels_is_refused(plain):
    form = LinearForm("svc", 2, plain.model.config.encoder_config.vocab_size, 0, ())
    with pytest.raises(ModelError, match="must be 3, the number of labels"):
        plain.model.under_cascade(
            Cascade((Stage("linear"), Stage("reference")), ((0.5,),), 0), LinearStage(form)
        )


def test_training_from_a_cascade_begins_without_it(cascaded, plain, tmp_path):
    """What answered before was fitted to weights that are about to change."""
    cascaded.save_pretrained(tmp_path)
    again = from_encoder(str(tmp_path))
    assert again.cascade is None and again.linear is None
    assert again.config.cascade is None and again.config.linear is None
    assert not any(name.startswith("linear.") for name in again.state_dict())


def test_a_reference_alone_is_stacked_through_every_way_in(cascaded, plain):
    alone = cascaded.under_cascade(Cascade((Stage("reference", weight=0.8),)))
    encoded = plain.encode(TEXTS)
    found = run_model(alone, encoded, 4096)
    bare = torch.from_numpy(run_model(cascaded.alone(), encoded, 4096).logits)
    linear = linear_log_probabilities(cascaded.linear, encoded)
    wanted = (bare + 0.8 * linear).log_softmax(1)
    np.testing.assert_allclose(found.logits, wanted, atol=1e-4)
    assert not found.stages.any()
    batch = plain.tokenizer(TEXTS[:20], padding=True, return_tensors="pt")
    with torch.inference_mode():
        torch.testing.assert_close(alone.eval()(**batch).logits, wanted[:20], atol=1e-4, rtol=1e-4)
    part = run_model(alone, plain.encode(TEXTS[::-7]), 64)
    np.testing.assert_allclose(part.logits, wanted[torch.arange(59, -1, -7)], atol=1e-4)
    with pytest.raises(ModelError, match="needs a linear stage"):
        plain.model.under_cascade(Cascade((Stage("reference", weight=0.8),)))
