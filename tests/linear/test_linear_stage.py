"""The linear stage: its answers, its form, its file."""

import json

import numpy as np
import pytest
import slow_linear as slow
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from tersely.errors import ModelError
from tersely.linear import LinearForm, LinearStage, buckets_within
from tersely.linear.stage import stage_bytes
from tersely.ragged import ExportLayout, Layout
from tersely.text.labels import MULTI_LABEL, REGRESSION
from tersely.text.syntax import ALONE, ENDS_SENTENCE, GOES_ON

DOCUMENTS = [[1, 5, 6, 5, 6, 7, 0], [], [0, 1], [8, 9, 2, 3, 8, 9], [4]]
FORM = LinearForm("svc", 3, slow.VOCABULARY, 7, slow.SPECIAL, temperature=0.5)


@given(slow.DOCUMENTS, slow.DOCUMENTS, slow.BUCKETS)
def test_margins_and_contributions_are_those_of_loops(fitted, documents, buckets):
    stage = slow.random_stage(buckets, fitted)
    ids, bounds = slow.row(documents)
    margins, contributions = stage.margins(ids, bounds), stage.contributions(ids, Layout(bounds))
    wanted = np.array([slow.margins(document, stage) for document in documents])
    np.testing.assert_allclose(margins.numpy(), wanted, atol=1e-5)
    each = np.concatenate([slow.contributions(document, stage) for document in documents])
    np.testing.assert_allclose(contributions.numpy(), each, atol=1e-5)
    for document in filter(None, documents):  # as an exported graph has it
        found = stage.contributions(torch.tensor(document), ExportLayout(len(document)))
        np.testing.assert_allclose(found, slow.contributions(document, stage), atol=1e-5)


@pytest.mark.parametrize("problem_type", ["single_label_classification", MULTI_LABEL])
def test_answers_are_log_probabilities_of_margins(problem_type):
    stage = slow.random_stage(7, DOCUMENTS, problem_type=problem_type, temperature=0.5)
    inputs = slow.row(DOCUMENTS)
    logits = 2 * stage.margins(*inputs)
    wanted = logits.sigmoid() if problem_type == MULTI_LABEL else logits.softmax(1)
    torch.testing.assert_close(stage(*inputs).exp(), wanted)


@given(st.permutations(range(len(DOCUMENTS))), st.integers(1, len(DOCUMENTS)))
def test_a_document_gets_bitwise_the_same_in_any_company(order, count):
    stage = slow.random_stage(60, DOCUMENTS)
    chosen = order[:count]
    together = stage(*slow.row([DOCUMENTS[number] for number in chosen]))
    alone = torch.cat([stage(*slow.row([DOCUMENTS[number]])) for number in chosen])
    assert torch.equal(together, alone)


def test_an_empty_batch_and_empty_documents():
    stage = slow.random_stage(7)
    assert stage(*slow.row([])).shape == (0, 3)
    torch.testing.assert_close(stage.margins(*slow.row([[], [0]])), stage.bias.expand(2, 3))


def test_token_scores_are_the_largest_deviation_times_idf():
    stage = slow.random_stage(7)
    ids = torch.tensor([0, 5, 5, 11])
    weights, idf = stage.weights.tolist(), stage.idf.tolist()
    wanted = [
        0.0 if i in slow.SPECIAL else idf[i] * max(abs(w - sum(weights[i]) / 3) for w in weights[i])
        for i in ids.tolist()
    ]
    torch.testing.assert_close(stage.token_scores(ids), torch.tensor(wanted))


def test_a_token_is_worth_the_mean_of_its_sentence():
    stage = slow.random_stage(7)
    stage.marks[:] = torch.tensor([ALONE, ALONE, 0, GOES_ON, ENDS_SENTENCE, *[0] * 7])
    ids = [0, 5, 3, 4, 4, 6, 1, 7, 2, 0]
    values = np.arange(10.0) ** 2
    sentences = [[0], [1, 2, 3], [4], [5], [6], [7, 8], [9]]
    wanted = [values[own].mean() for own in sentences for _ in own]
    np.testing.assert_allclose(stage.sentence_means(ids, values), wanted)


def test_of_two_classes_a_label_of_several_is_one():
    one = slow.random_stage(0, classes=1, problem_type=MULTI_LABEL)
    two = slow.random_stage(0, classes=2)
    two.weights.copy_(torch.cat([-one.weights / 2, one.weights / 2], dim=1))
    two.idf.copy_(one.idf)
    ids = torch.arange(slow.VOCABULARY)
    torch.testing.assert_close(one.token_scores(ids), two.token_scores(ids))


@pytest.mark.parametrize("assign", [False, True])
def test_it_comes_back_from_the_same_file_as_an_encoder(tmp_path, assign):
    model = nn.ModuleDict({"encoder": nn.Linear(2, 2), "linear": slow.random_stage(7, DOCUMENTS)})
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    kept = load_file(tmp_path / "model.safetensors")
    assert kept["linear.weights"].dtype == kept["linear.idf"].dtype == torch.float16
    form = LinearForm.from_dict(json.loads(json.dumps(model["linear"].form.to_dict())))
    again = nn.ModuleDict({"encoder": nn.Linear(2, 2), "linear": LinearStage(form)})
    again.load_state_dict(kept, assign=assign)
    inputs = slow.row(DOCUMENTS)
    assert torch.equal(again["linear"](*inputs), model["linear"](*inputs))


def test_half_precision_of_the_model_leaves_the_tables_alone():
    stage = slow.random_stage(7, DOCUMENTS)
    before = stage(*slow.row(DOCUMENTS))
    assert torch.equal(stage.bfloat16()(*slow.row(DOCUMENTS)), before)
    assert stage.to("meta").weights.device.type == "meta"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"version": 1}, "train it again"),
        ({"kind": ""}, "linear.kind must be a name"),
        ({"classes": 1}, "linear.classes must be a number from 2 on"),
        ({"classes": True}, "linear.classes"),
        ({"vocabulary": 0}, "linear.vocabulary"),
        ({"buckets": -1}, "linear.buckets"),
        ({"special_ids": [99]}, "linear.special_ids"),
        ({"special_ids": 3}, "linear.special_ids"),
        ({"temperature": 0}, "linear.temperature"),
        ({"temperature": float("nan")}, "linear.temperature"),
        ({"problem_type": "ranking"}, "linear.problem_type"),
        ({"problem_type": REGRESSION}, "a regression has none"),
        ({"more": 1}, "linear.more is not a field"),
    ],
)
def test_a_form_that_is_wrong_is_refused(change, match):
    with pytest.raises(ModelError, match=match):
        LinearForm.from_dict(FORM.to_dict() | change)


def test_a_form_that_is_none_is_refused():
    with pytest.raises(ModelError, match="must be an object"):
        LinearForm.from_dict([])
    short = FORM.to_dict()
    del short["kind"]
    with pytest.raises(ModelError, match="linear.kind is missing"):
        LinearForm.from_dict(short)


@given(st.integers(0, 10**7), st.integers(1, 300))
def test_buckets_fill_the_bytes_and_no_more(most, classes):
    least = stage_bytes(1000, 0, classes)
    buckets = buckets_within(most, 1000, classes)
    assert buckets == 0 or stage_bytes(1000 + buckets, buckets, classes) <= most
    assert buckets or most < least + stage_bytes(1, 1, classes)
    assert stage_bytes(1001 + buckets, buckets + 1, classes) > most
