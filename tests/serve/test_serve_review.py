"""With a limit on the error the server says which documents people should look at."""

from cascades import TEXTS, save_reviewed
from serving import figures, serving
from tersely import Classifier


def test_each_answer_says_whether_it_is_set_apart(cascade, tmp_path):
    sure = Classifier.from_pretrained(save_reviewed(cascade, tmp_path / "sure"), device="cpu")
    apart = sure.set_apart(sure.forward(sure.encode(TEXTS))).tolist()
    assert apart.count(True) == 30
    with serving(sure) as (client, _, _):
        answer = client.post("/predict", json={"inputs": [[text] for text in TEXTS[:32]]})
        assert [[each["review"] for each in row] for row in answer.json()] == [
            [doubtful] * len(sure.classes_) for doubtful in apart[:32]
        ]
        (one,) = {
            each["review"] for each in client.post("/predict", json={"inputs": TEXTS[40]}).json()
        }
        assert one is apart[40]
        assert client.get("/info").json()["max_error"] == 0.1
        found = figures(client)
        assert found["tersely_documents_for_review_total"] == sum(apart[:32]) + apart[40]


def test_without_a_limit_nothing_is_said(cascade):
    with serving(cascade) as (client, _, _):
        assert "review" not in client.post("/predict", json={"inputs": TEXTS[0]}).json()[0]
        assert client.get("/info").json()["max_error"] is None
