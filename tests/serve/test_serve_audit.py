"""A server's audit: in the metrics and on /info, after the answer, and harmless where it fails."""

import pytest

from cascades import TEXTS
from serving import figures, serving, wait_until
from tersely import Classifier
from tersely.errors import ModelError
from tersely.serve.service import Service


def ask(client):
    answers = [client.post("/predict", json={"inputs": text}) for text in TEXTS]
    assert {answer.status_code for answer in answers} == {200}


@pytest.mark.filterwarnings("ignore:.*audited documents")
def test_what_differs_is_counted_for_all_who_ask(cascade):
    labels = [
        Classifier.from_pretrained(cascade, device="cpu", **limit).predict(TEXTS)
        for limit in ({}, {"max_disagreement": 0})
    ]
    differing = sum(one != other for one, other in zip(*labels, strict=True))
    with serving(cascade, audit=1.0) as (client, service, _):
        ask(client)
        wait_until(lambda: service.audit.audited == 60)
        found, told = figures(client), client.get("/info").json()["audit"]
        assert found["tersely_audit_audited"] == 60 and told["limit"] == 0.1
        assert found["tersely_audit_differing"] == told["differing"] == differing > 0
        assert found["tersely_audit_plausible"] == told["plausible"] == (not service.audit.warns)


def test_without_an_audit_there_is_none(cascade):
    with serving(cascade) as (client, _, _):
        ask(client)
        assert client.get("/info").json()["audit"] is None
        assert not [name for name in figures(client) if "audit" in name]


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
