"""A request's own budget: what it costs, whom it is batched with, and models that have one only."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving import save_stock, save_trained, serving
from tersely import Classifier, preset
from tersely.modeling.inference import run_model
from tersely.serve import Budgets
from words import labelled

BUDGETS = [None, 0.5, 0.7, 0.9]


@pytest.fixture(scope="module", params=["lat", "topk"])
def model(request, tmp_path_factory):
    # Documents here are short, and would otherwise keep all of their tokens.
    return save_trained(tmp_path_factory.mktemp("budgets"), request.param, least=1)


@pytest.fixture(scope="module")
def server(model):
    with serving(model) as (client, service, _):
        yield client, service


def ask(client, text, budget, **fields):
    answer = client.post("/predict", json={"inputs": text, "budget": budget, **fields})
    assert answer.status_code == 200, answer.text
    return {each["label"]: each["score"] for each in answer.json()}


def cost(classifier, texts):
    """MACs of texts, over those without any removal."""
    encoded = classifier.encode(texts)
    whole = run_model(classifier.torch_model().under_plan(preset("dense")), encoded, 256)
    return classifier.forward(encoded).macs / whole.macs


def test_a_budget_is_what_the_document_costs(server):
    client, service = server
    texts = labelled(20, words=50)[0]
    text = texts[0]
    for budget in BUDGETS[1:]:
        found = ask(client, text, budget)
        set_to = service.budgets.at(budget)
        # Counted on other texts, which are shorter or longer.
        assert cost(set_to, texts) == pytest.approx(budget, rel=0.1)
        wanted = dict(zip(set_to.classes_, set_to.predict_proba([text])[0].tolist(), strict=True))
        assert found == pytest.approx(wanted, abs=1e-5)
    own = service.classifier.predict_proba([text])[0].tolist()
    wanted = dict(zip(service.classifier.classes_, own, strict=True))
    assert ask(client, text, None) == pytest.approx(wanted, abs=1e-5)


def test_all_budgets_have_the_same_weights_and_near_ones_are_one(server):
    client, service = server
    for budget in (0.6, 0.601, 0.5999, 0.8):
        ask(client, "the cat", budget)
    one, other = (service.budgets.at(budget) for budget in (0.6, 0.8))
    assert one is service.budgets.at(0.6012) and one is not other
    assert one.model.encoder is other.model.encoder is service.classifier.model.encoder
    assert one.model.head is service.classifier.model.head
    assert one.plan != other.plan


def test_batches_hold_one_budget_and_answers_stay_theirs(server):
    client, service = server
    run, batches = service._batcher._run, []
    service._batcher._run = lambda items: batches.append(items) or run(items)
    texts, _ = labelled(12, words=30)
    alone = {(text, budget): ask(client, text, budget) for text in texts for budget in BUDGETS}
    batches.clear()
    asked = list(alone) * 3
    random.Random(0).shuffle(asked)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda pair: ask(client, *pair), asked))
    service._batcher._run = run
    for pair, answer in zip(asked, found, strict=True):
        assert answer == pytest.approx(alone[pair], abs=1e-5)
    assert sum(map(len, batches)) == len(asked) > len(batches)
    assert all(len({id(item.classifier) for item in batch}) == 1 for batch in batches)


def test_what_can_be_asked_for_is_said_and_the_rest_is_422(server):
    client, service = server
    ends = client.get("/info").json()["budget"]
    assert 0 < ends["least"] < 0.5 and 0.9 < ends["most"] < 1
    schema = client.get("/openapi.json").json()["components"]["schemas"]["PredictRequest"]
    number, nothing = schema["properties"]["budget"]["anyOf"]
    assert (number["minimum"], number["maximum"]) == (ends["least"], ends["most"])
    assert nothing == {"type": "null"}
    for budget in ends.values():
        ask(client, "the cat word3", budget)
    low = client.post("/predict", json={"inputs": "a", "budget": 0.01})
    assert low.status_code == 422 and low.json()["error_type"] == "Validation"
    assert low.json()["error"].startswith(f"`budget` must be between {ends['least']:g} and")
    for budget in (0, 1, -1, 1.5, "0.5", True, [0.5]):
        wrong = client.post("/predict", json={"inputs": "a", "budget": budget})
        assert wrong.status_code == 422 and "budget" in wrong.json()["error"]
    assert service._under_way == 0


@pytest.mark.parametrize("kind", ["dense", "focus-pfc", "stock"])
def test_a_model_of_one_budget_says_why(tmp_path, kind):
    folder = save_stock(tmp_path) if kind == "stock" else save_trained(tmp_path, kind)
    with serving(folder) as (client, _, _):
        refused = client.post("/predict", json={"inputs": "the cat", "budget": 0.5})
        assert refused.status_code == 422
        assert "`budget` cannot be set: the plan" in refused.json()["error"]
        ask(client, "the cat", None)
        assert client.get("/info").json()["budget"] is None


def test_an_export_s_place_is_told_to_nobody(model):
    classifier = Classifier.from_pretrained(model, device="cpu", batch_tokens=256)
    classifier.model = None  # as where onnxruntime runs the model
    assert Budgets(classifier).refusal == "the server runs an export, which has one budget"


def test_budgets_are_counted_on_documents_of_ones_own(model):
    classifier = Classifier.from_pretrained(model, device="cpu", batch_tokens=256)
    texts = labelled(100, words=12)[0]
    budgets = Budgets(classifier, classifier.encode(texts))
    assert cost(budgets.at(0.6), texts) == pytest.approx(0.6, rel=0.04)
