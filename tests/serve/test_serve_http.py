"""The server through a real socket: its answers, its errors and its limits."""

import re
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from transformers import pipeline

from serving import figures, save_stock, serving, slow_down
from tersely import Classifier
from words import LABELS, labelled

# ---- answers -----------------------------------------------------------------------------------


def test_the_shapes_are_those_of_tei(server):
    client, _ = server

    def ask(inputs):
        return client.post("/predict", json={"inputs": inputs}).json()

    answer = client.post("/predict", json={"inputs": "the cat word3"})
    single, headers = answer.json(), answer.headers
    assert {each["label"] for each in single} == set(LABELS)
    scores = [each["score"] for each in single]
    assert scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1, abs=1e-5)
    batch = ask([["the cat word3"], ["the cat", "a dog"]])
    for alone, together in zip((single, ask(["the cat", "a dog"])), batch, strict=True):
        assert [each["label"] for each in alone] == [each["label"] for each in together]
        for one, other in zip(alone, together, strict=True):
            assert one["score"] == pytest.approx(other["score"], abs=1e-5)
    assert ask(["the cat word3"]) == single
    assert client.post("/", json={"inputs": "the cat word3"}).json() == single
    assert int(headers["x-compute-tokens"]) == 5 and int(headers["x-compute-characters"]) == 13
    assert headers["x-compute-type"] == "cpu" and headers["x-inference-time"].isdigit()


def test_scores_are_those_of_the_classifier(server, model):
    client, _ = server
    classifier = Classifier.from_pretrained(model, device="cpu")
    text = labelled(1, words=40)[0][0]
    for raw, use in ((False, classifier.predict_proba), (True, classifier.logits)):
        answer = client.post("/predict", json={"inputs": text, "raw_scores": raw}).json()
        wanted = dict(zip(classifier.classes_, use([text])[0].tolist(), strict=True))
        assert {each["label"]: each["score"] for each in answer} == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    "fields",
    [
        {"problem_type": None},
        {"problem_type": "single_label_classification"},
        {"problem_type": "multi_label_classification"},
        {"problem_type": "regression", "id2label": {0: "grade"}},
        {"problem_type": None, "id2label": {0: "yes"}},
    ],
    ids=lambda fields: f"{fields['problem_type']}-{len(fields.get('id2label', LABELS))}",
)
def test_answers_are_those_of_the_pipeline(tmp_path, fields):
    folder = save_stock(tmp_path, **fields)
    texts = [[text] for text in labelled(6, words=30)[0]] + [["the cat word1", "a dog word2"]]
    inputs = [dict(zip(("text", "text_pair"), text, strict=False)) for text in texts]
    classify = pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
    golden = [classify(each) for each in inputs]
    with serving(folder) as (client, _, _):
        found = client.post("/predict", json={"inputs": texts}).json()
    for wanted, got in zip(golden, found, strict=True):
        assert [each["label"] for each in wanted] == [each["label"] for each in got]
        scores = [each["score"] for each in wanted]
        assert [each["score"] for each in got] == pytest.approx(scores, rel=5e-6, abs=2e-6)


def test_long_documents_are_cut_and_counted_or_refused(server):
    client, service = server
    limit = service.classifier.limit
    text = "word1 " * (limit + 10)
    before = figures(client)
    cut = client.post("/predict", json={"inputs": text})
    assert cut.status_code == 200 and int(cut.headers["x-compute-tokens"]) == limit
    assert int(cut.headers["x-unread-tokens"]) == 12
    name = "tersely_documents_shortened_total"
    assert figures(client)[name] == before[name] + 1
    refused = client.post("/predict", json={"inputs": text, "truncate": False})
    assert refused.status_code == 422 and refused.json()["error_type"] == "Validation"
    assert f"at most {limit} tokens" in refused.json()["error"]


# ---- errors and limits -------------------------------------------------------------------------


INVALID = [3, [], ["a", "b", "c"], [["a", "b", "c"]], [[]], [["a"], "b"]]
WRONG = [{}, [], *({"inputs": each} for each in INVALID)]
WRONG += [{"inputs": "a", "raw_scores": "maybe"}, {"inputs": "a", "truncation_direction": "left"}]


def test_what_is_not_valid_is_422(server):
    client, _ = server
    for body in WRONG:
        answer = client.post("/predict", json=body)
        assert answer.status_code == 422, body
        assert set(answer.json()) == {"error", "error_type"}
        assert answer.json()["error_type"] == "Validation"


def test_other_errors_have_tei_s_bodies(server):
    client, _ = server
    many = client.post("/predict", json={"inputs": [["a"]] * 5})
    assert many.status_code == 422
    assert many.json()["error"] == "batch size 5 > maximum allowed batch size 4"
    for content in (b"a" * 30_000, (b"a" * 1000 for _ in range(30))):
        large = client.post("/predict", content=content)
        assert large.status_code == 413 and "20000 bytes" in large.json()["error"]
    assert client.get("/nothing").status_code == 404
    assert client.get("/predict").status_code == 405


def test_the_reason_is_said(server, model):
    """Review 6, F13 and F14: a refusal says why, and what would be right."""
    client, _ = server

    def said(content: bytes, kind: str | None = "application/json") -> str:
        headers = {} if kind is None else {"content-type": kind}
        answer = client.post("/predict", content=content, headers=headers)
        assert answer.status_code == 422
        return answer.json()["error"]

    assert said(b"{inputs: 1}").startswith("the body is not JSON: Expecting property name")
    assert said(b'{"inputs": ').endswith("Expecting value, at character 11")
    assert said(b'["a"]').startswith("`body`: ")
    assert "of whole characters" in said(b'{"inputs": "\\ud800"}')
    assert "or a batch [[text]" in said(b'{"inputs": ["a", "b", "c"]}')
    assert said(b'{"inputs": "a"}', None) == (
        "the header content-type must be application/json, got none"
    )
    assert "must be application/json, got text/json" in said(b'{"inputs": "a"}', "text/json")
    assert "/docs says what there is" in client.get("/nothing").json()["error"]
    windows = Classifier.from_pretrained(model, device="cpu", batch_tokens=256, long="windows")
    with serving(windows) as (client, _, _):
        pair = client.post("/predict", json={"inputs": ["the cat", "a dog"]})
        assert pair.status_code == 422 and pair.json()["error_type"] == "Tokenizer"
        assert "works on single texts, got text pairs" in pair.json()["error"]


def test_a_model_of_single_texts_refuses_pairs(model):
    classifier = Classifier.from_pretrained(model, device="cpu", batch_tokens=256)
    classifier.model_config.pairs = False
    with serving(classifier) as (client, _, _):
        for inputs in (["the cat", "a dog"], [["the cat"], ["the cat", "a dog"]]):
            answer = client.post("/predict", json={"inputs": inputs})
            assert answer.status_code == 422
            assert "trained on single texts, got a pair; send" in answer.json()["error"]
        assert client.post("/predict", json={"inputs": [["the cat"]]}).status_code == 200


def test_head_answers_what_get_answers_without_its_body(server):
    client, _ = server
    for path in ("/health", "/ping", "/", "/info", "/metrics", "/docs", "/openapi.json"):
        told, whole = client.head(path), client.get(path)
        assert told.status_code == whole.status_code == 200 and told.content == b""
        assert told.headers.get("content-type") == whole.headers.get("content-type")
    assert client.head("/predict").status_code == 405


def test_the_description_needs_no_network_and_names_everything(server):
    client, _ = server
    page, schema = client.get("/docs").text, client.get("/openapi.json").json()
    assert not re.search(r"https?:|//|@import|src=", page.replace("</", ""))
    bodies = schema["components"]["schemas"].values()
    fields = {name for body in bodies for name in body["properties"]}
    told = schema["paths"]["/predict"]["post"]
    assert {*schema["paths"], *fields, *told["responses"]} <= {*re.findall(r"[\w/]+", page)}
    assert "A list of two texts is a pair, not a batch." in page


def test_the_key_opens_what_it_should(model):
    with serving(model, api_key="secret") as (client, _, _):
        body = {"inputs": "the cat"}
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}):
            answer = client.post("/predict", json=body, headers=headers)
            assert answer.status_code == 401 and answer.json()["error_type"] == "Unauthorized"
        assert client.post("/", json=body).status_code == 401
        assert client.get("/info").status_code == 401
        right = {"authorization": "Bearer secret"}
        assert client.post("/predict", json=body, headers=right).status_code == 200
        for path in ("/health", "/ping", "/metrics", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200
        assert figures(client)["tersely_requests_total401"] == 5


def test_too_many_documents_are_429_and_the_others_are_answered(model):
    with serving(model, max_concurrent_requests=6, max_client_batch_size=4) as (client, service, _):
        slow_down(service, 0.2)
        body = {"inputs": [["the cat"], ["a dog"]]}
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: client.post("/predict", json=body), range(20)))
        codes = [answer.status_code for answer in answers]
        assert set(codes) == {200, 429} and codes.count(200) >= 3
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json() == {"error": "Model is overloaded", "error_type": "Overloaded"}
        assert refused.headers["retry-after"]
        assert client.post("/predict", json=body).status_code == 200
        assert service._under_way == 0
        assert figures(client)["tersely_requests_total429"] == codes.count(429)


def test_an_answer_that_is_late_is_504_and_its_work_is_dropped(model):
    with serving(model, request_timeout=0.3) as (client, service, _):
        running = slow_down(service, 1.0)
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(client.post, "/predict", json={"inputs": "one"})
            assert running.wait(10)
            second = client.post("/predict", json={"inputs": "two"})
            assert second.status_code == first.result().status_code == 504
        assert second.json()["error_type"] == "Timeout"
        assert len(service._batcher) == 0 and service._under_way == 0


def test_a_model_that_fails_is_424_for_that_document_alone(model):
    with serving(model) as (client, service, _):
        run = service._batcher._run

        def fails_on_long(items):
            if any(asked.encoded.sizes[number] > 20 for asked, number in items):
                raise RuntimeError("no memory")
            return run(items)

        service._batcher._run = fails_on_long
        bad = client.post("/predict", json={"inputs": "word1 " * 30})
        assert bad.status_code == 424 and bad.json()["error_type"] == "Backend"
        assert client.post("/predict", json={"inputs": "the cat"}).status_code == 200
        nothing = np.full(3, np.nan, np.float32), False
        service._batcher._run = lambda items: [nothing] * len(items)
        assert client.post("/predict", json={"inputs": "a"}).json()["error"] == "score is NaN"


def test_a_body_that_never_ends_is_408(model):
    with serving(model, request_timeout=0.3) as (client, _, _):
        with socket.create_connection((client.base_url.host, client.base_url.port)) as raw:
            raw.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
            raw.settimeout(10)
            assert b" 408 " in raw.recv(4096)
