"""A cascade served: its audit, which costs nobody an answer, and what people should look at."""

import pytest

from cascades import TEXTS, count_differing
from serving import figures, serving, wait_until
from tersely import Classifier
from tersely.errors import ModelError
from tersely.serve.service import Service


def ask(client):
    for part in (TEXTS[:30], TEXTS[30:]):
        answer = client.post("/predict", json={"inputs": [[text] for text in part]})
        assert answer.status_code == 200


@pytest.mark.filterwarnings("ignore:.*audited documents")
def test_what_differs_is_counted_for_all_who_ask(cascade):
    differing = count_differing(cascade, TEXTS)
    with serving(cascade, audit=1.0) as (client, service, _):
        ask(client)
        wait_until(lambda: service.audit.audited == 60)
        found, told = figures(client), client.get("/info").json()["audit"]
        assert found["tersely_audit_audited"] == 60 and told["limit"] == 0.1
        assert found["tersely_audit_differing"] == told["differing"] == differing > 0
        assert found["tersely_audit_plausible"] == told["plausible"] == (not service.audit.warns)


def test_without_an_audit_and_a_limit_on_the_error_nothing_is_said(cascade):
    with serving(cascade) as (client, _, _):
        ask(client)
        info = client.get("/info").json()
        assert info["audit"] is info["max_error"] is None
        assert not [name for name in figures(client) if "audit" in name]
        assert "review" not in client.post("/predict", json={"inputs": TEXTS[0]}).json()[0]


def test_an_audit_that_fails_costs_nobody_an_answer(cascade, monkeypatch, caplog):
    with serving(cascade, audit=0.5) as (client, service, _):

        def fails(*_):
            raise RuntimeError("no memory")

        monkeypatch.setattr(service.classifier, "watch", fails)
        ask(client)
        assert service.healthy and service.audit.audited == 0
    assert "the reference failed in the audit" in caplog.text


def test_a_model_without_a_cascade_is_refused(dense):
    with pytest.raises(ModelError, match="has no cascade"):
        Service(Classifier.from_pretrained(dense, device="cpu"), share=0.01)


def test_each_answer_says_whether_it_is_set_apart(reviewed):
    sure = Classifier.from_pretrained(reviewed, device="cpu")
    apart = sure.set_apart(sure.forward(sure.encode(TEXTS))).tolist()
    assert apart.count(True) == 30
    with serving(sure) as (client, _, _):
        answer = client.post("/predict", json={"inputs": [[text] for text in TEXTS[:32]]})
        assert [[each["review"] for each in row] for row in answer.json()] == [
            [doubtful] * len(sure.classes_) for doubtful in apart[:32]
        ]
        alone = client.post("/predict", json={"inputs": TEXTS[40]}).json()
        assert {each["review"] for each in alone} == {apart[40]}
        assert client.get("/info").json()["max_error"] == 0.1
        found = figures(client)
        assert found["tersely_documents_for_review_total"] == sum(apart[:32]) + apart[40]
