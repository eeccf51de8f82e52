"""A server from its start to its end: probes, load, clients that go away, shutting down."""

import contextlib
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import httpx2
import pytest

from serving import figures, serving, slow_down, wait_until
from tersely import Classifier
from tersely.errors import ServeError
from tersely.serve import Limits
from tersely.serve.app import listen
from words import LABELS, labelled

# ---- probes ------------------------------------------------------------------------------------


def test_it_is_healthy_once_it_is_warm(model):
    classifier = Classifier.from_pretrained(model, device="cpu", batch_tokens=256)
    forward, go = classifier.forward, threading.Event()
    classifier.forward = lambda *args: (go.wait(10), forward(*args))[1]
    with serving(classifier, wait=False) as (client, service, _):
        for path in ("/health", "/ping", "/"):
            cold = client.get(path)
            assert cold.status_code == 503 and cold.json()["error_type"] == "Unhealthy"
        assert client.post("/predict", json={"inputs": "a"}).status_code == 503
        # A probe that came too early is no request that failed.
        assert figures(client)["tersely_requests_total503"] == 1
        go.set()
        wait_until(lambda: client.get("/health").status_code == 200)
        assert client.post("/predict", json={"inputs": "a"}).status_code == 200


def test_a_model_that_cannot_warm_up_says_so(model):
    classifier = Classifier.from_pretrained(model, device="cpu", batch_tokens=256)
    classifier.forward = Mock(side_effect=RuntimeError("no such kernel"))
    # The reason is for the log, not for whoever asks.
    with pytest.warns(match=r"failed before its first answer \(RuntimeError: no such kernel\)"):
        with serving(classifier, wait=False) as (client, service, _):
            wait_until(lambda: "failed" in service.trouble)
            said = client.get("/health").json()["error"]
            assert said == "the model failed on its first batch; the server's log says why"


def test_an_end_that_does_not_wait_is_counted(model):
    with serving(model) as (client, service, server):
        running = slow_down(service, 2.0)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(client.post, "/predict", json={"inputs": [["the cat"], ["a dog"]]})
            assert running.wait(10)
            server.should_exit = server.force_exit = True
            wait_until(lambda: service.cut_off)
            with contextlib.suppress(httpx2.TransportError):
                assert asked.result().status_code == 503
        assert service.cut_off == 2


def test_info_and_metrics(model):
    with serving(model, max_client_batch_size=4) as (client, service, _):
        info = client.get("/info").json()
        names = dict(zip("012", service.classifier.classes_, strict=True))
        assert info["model_type"]["classifier"]["id2label"] == names
        wanted = {"model_id": "tiny", "max_client_batch_size": 4, "method": "focus-pfc"}
        assert wanted.items() <= info.items()
        # Warming up is no traffic.
        assert not any(value for name, value in figures(client).items() if name.endswith("_count"))
        client.post("/predict", json={"inputs": [["the cat"], ["a dog"]]})
        after = figures(client)
        assert after["tersely_requests_total200"] == 1
        for name in ("documents_taken_total", "documents_answered_total", "document_tokens_count"):
            assert after[f"tersely_{name}"] == 2
        assert after["tersely_queue_documents"] == 0
        assert not any("_created" in name for name in after)  # when each was first counted


# ---- many clients, and clients that go ---------------------------------------------------------


def test_no_request_is_lost_under_load(server, model):
    client, service = server
    texts, _ = labelled(60, words=40)
    wanted = Classifier.from_pretrained(model, device="cpu").predict(texts)

    def ask(number: int) -> str:
        answer = client.post("/predict", json={"inputs": texts[number % 60]})
        assert answer.status_code == 200, answer.text
        return answer.json()[0]["label"]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(300)))
    assert found == [wanted[number % 60] for number in range(300)]
    # Together, and not one by one: that is what the queue is for.
    after = figures(client)
    assert after["tersely_batch_documents_sum"] > after["tersely_batch_documents_count"]


def test_clients_that_hang_up_cost_nothing(model):
    with serving(model) as (client, service, _):
        running = slow_down(service, 0.3)
        address = (client.base_url.host, client.base_url.port)
        body = json.dumps({"inputs": "the cat word1"}).encode()
        lines = ["POST /predict HTTP/1.1", "host: x", "content-type: application/json"]
        head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""])
        with ThreadPoolExecutor(1) as pool:
            patient = pool.submit(client.post, "/predict", json={"inputs": "a dog"})
            assert running.wait(10)
            gone = [socket.create_connection(address) for _ in range(10)]
            for number, raw in enumerate(gone):
                # Half of them leave in the middle of the body.
                raw.sendall(head.encode() + (body if number % 2 else body[:5]))
            wait_until(lambda: len(service._batcher) == 5)
            for raw in gone:
                raw.close()
            wait_until(lambda: len(service._batcher) == 0 and service._under_way <= 1)
            assert patient.result().status_code == 200
        wait_until(lambda: figures(client)["tersely_requests_total499"] == 10)
        assert client.post("/predict", json={"inputs": "a dog"}).status_code == 200
        assert service._under_way == 0


def test_shutting_down_answers_what_was_taken(model):
    with serving(model) as (client, service, server):
        running = slow_down(service, 0.1)
        with ThreadPoolExecutor(12) as pool:
            answers = [
                pool.submit(client.post, "/predict", json={"inputs": "the cat " * 30})
                for _ in range(12)
            ]
            assert running.wait(10)
            wait_until(lambda: service._under_way == 12)
            server.should_exit = True
            assert [answer.result().status_code for answer in answers] == [200] * 12
        wait_until(lambda: not service._batcher._thread.is_alive())
        with pytest.raises(httpx2.TransportError):
            client.get("/health")


def test_a_swap_leaves_what_was_asked_to_the_old_model(model):
    with serving(model) as (client, service, _):
        running, body = slow_down(service, 0.3), {"inputs": "the cat word1"}
        new = Classifier.from_pretrained(model, device="cpu", batch_tokens=128)
        new.model_config.id2label = dict(enumerate("xyz"))
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(client.post, "/predict", json=body)
            assert running.wait(10)
            assert service.swap(lambda: new)
        old, later = asked.result().json(), client.post("/predict", json=body).json()
        assert [each["score"] for each in old] == [each["score"] for each in later]
        assert {each["label"] for each in old} == set(LABELS)
        assert {each["label"] for each in later} == set("xyz")
        # Warming the new one up was no traffic.
        assert figures(client)["tersely_batch_documents_sum"] == 2
        with pytest.warns(match=r"\(OSError: no such file\); the one before goes on"):
            assert not service.swap(Mock(side_effect=OSError("no such file")))
        assert client.post("/predict", json=body).json() == later


# ---- before it starts --------------------------------------------------------------------------


def test_limits_and_ports_that_cannot_be():
    with pytest.raises(ServeError, match="must not exceed max_concurrent_requests"):
        Limits(max_concurrent_requests=8)
    bound = listen("127.0.0.1", 0)
    bound.listen()
    with pytest.raises(ServeError, match="choose another port"):
        listen("127.0.0.1", bound.getsockname()[1])
    bound.close()
