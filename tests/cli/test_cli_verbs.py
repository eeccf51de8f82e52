"""Each verb once, from its arguments to what it prints where."""

import json
import sys

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest
from typer.main import get_command

from commands import rows, write_csv
from tersely import Classifier, TrainingSettings, __version__
from tersely.cli import app
from tersely.score import Predictor
from tersely.text import read_documents, write_table

SMALL = "--learning-rate 1e-3 --batch-tokens 256 --device cpu".split()


SERVICE = """
import numpy as np
from tersely.bench import TextContender

class Service(TextContender):
    name, about = "service", "looks for a word"

    def scores(self, texts):
        good = np.array(["good" in t or "great" in t for t in texts], float)
        return np.stack([1 - good, good], axis=1)
"""


def records(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_train_then_evaluate(run, encoder, reviews, tmp_path):
    out = tmp_path / "model"
    trained = run(
        *("train", reviews, "--out", out, "--model", encoder, "--epochs", 1, "--json", *SMALL),
        *("--method", "topk", "--method-option", "keep=0.5", "--method-option", "at=1"),
        *("--max-length", 9),
    )
    assert trained.exit_code == 0, trained.stderr
    (record,) = records(trained.stdout)
    assert record["documents"] == 36 and record["steps"] >= 1
    assert {"loss", "accuracy", "macro_f1"} <= set(record["metrics"])
    messages = trained.stderr.splitlines()
    assert all(line.startswith("tersely: ") for line in messages)
    assert "texts in 'text', labels in 'label'" in messages[0] and "2 labels: 'neg'" in messages[0]
    assert "validating on a tenth of the documents" in messages[1]
    # Of training and validation together, and once.
    assert "of 40 documents are longer than 9" in messages[2]
    assert messages[2].endswith("; --long windows reads all")
    assert "longer than" not in " ".join(messages[3:])
    assert "4 of 4 validation documents nearly duplicate" in messages[3]
    assert "the linear stage alone: " in messages[4] and "no cascade: " in messages[5]
    assert "compared with always predicting" in messages[-1] and record["verdict"] in messages[-1]
    assert json.loads((out / "training.json").read_text())["verdict"] == record["verdict"]
    assert not (out / "checkpoints").exists()
    plan = json.loads((out / "config.json").read_text())["plan"]
    assert plan["steps"][0]["select"]["keep"] == 0.5

    table = run("evaluate", out, reviews, "--train", reviews)
    assert "40 rows (first 1, 2, 3, 4, 5) of 40 documents of " in table.stderr
    assert "accuracy" in table.stdout
    assert "documents from" in table.stderr and "documents from" not in table.stdout
    assert "macro average" in table.stdout and "confidence from" in table.stdout
    assert " are classified correctly (" in table.stdout and "always predicting" in table.stdout
    wrong = tmp_path / "wrong.jsonl"
    plots = tmp_path / "plots"
    also = ("--errors", wrong, "--save-plots", plots)
    (record,) = records(run("evaluate", out, reviews, "--json", *also).stdout)
    drawn = {path.name: path.read_text() for path in plots.iterdir()}
    assert ("confusions.svg" in drawn) == bool(record["confusions"]) and "coverage.svg" in drawn
    assert all(text.startswith("<svg") for text in drawn.values())
    refused = run("evaluate", out, reviews, "--save-plots", plots)
    assert refused.exit_code == 1 and "plots exists; name another" in refused.stderr
    found = records(wrong.read_text())
    assert [row["score"] for row in found] == sorted((r["score"] for r in found), reverse=True)
    assert all(row["label"] != row["predicted"] for row in found)
    assert len(found) == sum(times for *_, times in record["confusions"])
    assert record["classes"]["neg"]["support"] == 20 and record["coverage"][0]["coverage"] == 1
    assert record["documents"] == 40 and 0 <= record["metrics"]["accuracy"] <= 1


def test_no_epochs_put_a_method_on_a_dense_model(run, dense_model, reviews, tmp_path):
    how = ("--epochs", 0, "--method", "choose", "--method-option", "score=saliency")
    trained = run("train", reviews, "--out", tmp_path / "told", "--model", dense_model, *how)
    assert trained.exit_code == 0, trained.stderr
    assert "on validation documents: accuracy" in trained.stderr


def test_train_searches_for_settings(run, encoder, reviews, tmp_path):
    pytest.importorskip("optuna")
    command = ("train", reviews, "--out", tmp_path / "model", "--model", encoder, *SMALL)
    said = run(*command, "--epochs", 1, "--tune", 2, "--cascade", "off").stderr
    lines = [line for line in said.splitlines() if line.startswith("tersely: trial ")]
    assert [line.split(":")[1] for line in lines[:2]] == [" trial 1 of 2", " trial 2 of 2"]
    record = json.loads((tmp_path / "model" / "training.json").read_text())
    assert len(record["tuning"]["trials"]) == 2 and record["lines"][0] in lines[2]
    assert record["lines"][0] in (tmp_path / "model" / "README.md").read_text()


def test_train_replaces_a_model_only_when_told_to(run, encoder, reviews, model, tmp_path):
    out = tmp_path / "model"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    command = ("train", reviews, "--out", out, "--model", encoder, "--epochs", 1, *SMALL)
    assert run(*command).exit_code == 1
    result = run(*command, "--overwrite", "--teacher", model)
    assert result.exit_code == 0, result.stderr
    assert (out / "notes.txt").read_text() == "mine"
    assert json.loads((out / "training.json").read_text())["teacher"] == "model"


def test_predict_adds_columns(run, model, tmp_path):
    texts = [text for text, _ in rows(5)]
    lines = [(str(i), text) for i, text in enumerate(texts)]
    data = write_csv(tmp_path / "new.csv", lines, header=("id", "text"))
    printed = run("predict", model, data, "--probabilities")
    assert printed.exit_code == 0 and printed.stderr == ""
    out = tmp_path / "labels.csv"
    written = run("predict", model, data, "--probabilities", "--out", out)
    assert written.stdout == "" and "5 labelled documents" in written.stderr
    names = ["id", "text", "label", "score", "probability_neg", "probability_pos"]
    assert arrow_csv.read_csv(out).column_names == names
    found = records(printed.stdout)
    assert [list(row) for row in found] == [names] * 5
    assert [row["text"] for row in found] == texts
    for row in found:
        shares = {"neg": row["probability_neg"], "pos": row["probability_pos"]}
        assert row["score"] == shares[row["label"]] == max(shares.values())
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)


def test_predict_one_document_on_standard_input(run, model):
    text = "it was a very good film"
    label, score = run("predict", model, stdin=text).stdout.split()
    (record,) = records(run("predict", model, "-", "--json", stdin=text).stdout)
    assert record == {"label": label, "score": pytest.approx(float(score), abs=1e-4)}
    assert run("predict", model, stdin=b"\xff").exit_code == 1
    every = run("predict", model, "--probabilities", stdin=text).stdout
    lines = [line.split("\t") for line in every.splitlines()]
    assert lines[0] == [label, score] and {name for name, _ in lines} == {"neg", "pos"}
    assert sum(float(share) for _, share in lines) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("labels", "problem_type", "columns"),
    [
        ([["a"], ["a", "b"], ["b"], []], "multi_label_classification", ["label", "score"]),
        ([0.5, 1.5, 2.5, 3.5], "regression", ["prediction"]),
    ],
)
def test_other_problems(run, encoder, tmp_path, labels, problem_type, columns):
    data = tmp_path / "data.jsonl"
    lines = [{"text": text, "label": labels[i % 4]} for i, (text, _) in enumerate(rows(20))]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = tmp_path / "model"
    trained = run(
        *("train", data, "--out", out, "--model", encoder, "--epochs", 1, *SMALL),
        *("--problem-type", problem_type),
    )
    assert trained.exit_code == 0, trained.stderr
    said = "predicts a number" if problem_type == "regression" else "any number of labels"
    assert said in (out / "README.md").read_text("utf-8")
    new = write_csv(tmp_path / "new.csv", [(text,) for text, _ in rows(3)], header=("text",))
    found = records(run("predict", out, new, "--json").stdout)
    assert [list(row) for row in found] == [["text", *columns]] * 3
    if problem_type == "regression":
        assert run("predict", out, new, "--probabilities").exit_code == 1
        assert float(run("predict", out, stdin="good").stdout)
    else:
        assert all(len(row["label"]) == len(row["score"]) for row in found)
    judged = run("evaluate", out, data)
    assert judged.exit_code == 0
    for said in (trained.stderr, judged.stdout) if problem_type == "regression" else ():
        assert "compared with always predicting the mean." in " ".join(said.split())
    if problem_type == "regression":  # before anything is read in full
        refused = run("evaluate", out, data, "--errors", tmp_path / "wrong.csv")
        assert refused.exit_code == 1 and "a regression has none" in refused.stderr
    # The model says what a cell of the training documents holds.
    compared = run(
        *("bench", data, "--train", data, "--models", out, "--contenders", "tfidf", "--no-memory"),
        *("--rounds", 1, "--latency-documents", 1),
    )
    if problem_type == "regression":
        assert compared.exit_code == 1 and "a regression has none" in compared.stderr
    else:
        assert compared.exit_code == 0, compared.stderr


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_whole_numbers_of_a_file_come_back_as_such(run, encoder, tmp_path, suffix):
    texts, names = zip(*rows(40), strict=True)
    table = pa.table({"text": texts, "class": [-1 if name == "neg" else 1 for name in names]})
    data, out = write_table(tmp_path / f"a.{suffix}", table, {}), tmp_path / "model"
    settings = TrainingSettings(epochs=1, batch_tokens=256)
    made = Classifier(encoder, device="cpu").fit(read_documents(data), settings=settings)
    assert made.save(out) and made.classes_.tolist() == [-1, 1]
    found = records(run("predict", out, data).stdout)
    assert [row["label"] for row in found] == made.predict(texts).tolist()
    assert run("predict", out, data, "--out", tmp_path / "out.parquet").exit_code == 0
    assert parquet.read_schema(tmp_path / "out.parquet").field("label").type == pa.int64()
    assert run("predict", out, stdin="good").stdout.split()[0] in ("-1", "1")
    assert not read_documents(write_table(tmp_path / "a.csv", table, {})).whole_labels
    scored = Predictor(str(out))
    for part in (table, table[:0]):
        assert scored(part).column("label").type == pa.int64()


def test_bench_with_contenders_and_models_at_budgets(run, lat_model, dense_model, reviews):
    options = "--rounds 1 --latency-documents 1 --no-memory --baseline dense-model --limit 8"
    command = ("bench", reviews, "--models", lat_model, dense_model, *options.split())
    table = run(*command, "--contenders", "pipeline", "sorted")
    assert table.exit_code == 0, table.stderr
    assert all(name in table.stdout for name in ("dense-model", "pipeline", "sorted"))
    found = run(*command, "--budget", 0.8, "--keep", 0.9, "--json")
    assert found.exit_code == 0, found.stderr
    (report,) = records(found.stdout)
    assert report["baseline"] == "dense-model" and report["documents"] == 8
    macs = {each["name"]: each["macs"] for each in report["results"]}
    assert list(macs) == ["lat", "dense-model", "lat, keep 0.9", "lat, budget 0.8"]
    whole, dense, kept, budget = macs.values()
    assert whole < kept < dense and budget < dense
    refused = run("bench", reviews, "--models", dense_model, "--budget", 0.5)
    assert refused.exit_code == 1 and "with the method lat" in refused.stderr


def test_bench_takes_a_contender_of_ones_own_into_its_report(
    run, dense_model, reviews, tmp_path, monkeypatch
):
    (tmp_path / "their_service.py").write_text(SERVICE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    report = tmp_path / "report.html"
    result = run(
        *("bench", reviews, "--train", reviews, "--models", dense_model, "--device", "cpu"),
        *("--contenders", "their_service:Service", "tfidf", "onnx", "--timed", 12, "--rounds", 2),
        *("--no-memory", "--latency-documents", 6, "--report", report, "--json"),
    )
    assert result.exit_code == 0, result.stderr
    assert f"40 of 40 documents of {reviews} nearly duplicate" in result.stderr
    (record,) = records(result.stdout)
    found = {each["name"]: each for each in record["results"]}
    assert list(found) == ["dense-model", "service", "tfidf"] and "onnx" in record["skipped"]
    assert found["service"]["quality"]["accuracy"] == 1.0
    assert (record["documents"], record["judged"]) == (12, 40)
    assert found["dense-model"]["tokenising"] > 0 and found["service"]["tokenising"] is None
    page = report.read_text()
    assert "looks for a word" in page and "onnx</b> was skipped" in page
    assert "it was a very" not in page


def test_predict_and_evaluate_at_a_budget(run, lat_model, reviews):
    plain = run("predict", lat_model, reviews)
    at = run("predict", lat_model, reviews, "--budget", 0.9)
    assert at.exit_code == 0 and at.stdout != plain.stdout
    assert "lat runs with keep=0." in at.stderr and "for a budget of 0.9; --keep 0." in at.stderr
    lower = run("evaluate", lat_model, reviews, "--keep", 0.5, "--json")
    assert "trained down to keep=0.8 and runs with keep=0.5" in lower.stderr
    assert run("predict", lat_model, reviews, "--keep", 0.8, "--budget", 0.5).exit_code == 2


def test_version_methods_and_info(run, model):
    assert run("--version").stdout.strip() == f"tersely {__version__}"
    listed = run("methods")
    assert "focus-pfc" in listed.stdout and "combine_at=0.583" in listed.stdout
    (facts,) = records(run("info", model, "--json").stdout)
    assert facts["labels"] == ["neg", "pos"] and facts["method"] == "focus-pfc"
    assert any("combine (tokens=8" in step for step in facts["steps"])
    shown = run("info", model).stdout
    named = [line.split() for line in shown.splitlines() if not line.startswith(" ")]
    assert "focus-pfc" in shown and all(len(words) > 1 for words in named)


@pytest.mark.parametrize("verb", ["", *get_command(app).commands])
def test_help_fits_the_terminal(run, verb):
    result = run(*verb.split(), "--help")
    assert result.exit_code == 0 and result.stderr == ""
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert f"tersely {verb}".strip() in result.stdout


def test_score_and_go_on(run, model, tmp_path):
    (tmp_path / "in").mkdir()
    table = pa.table({"text": [*(text for text, _ in rows(9)), None]})
    parquet.write_table(table, tmp_path / "in" / "a.parquet")
    out = tmp_path / "out"
    words = ("score", model, tmp_path / "in" / "*.parquet", out, "--device", "cpu", "--workers", 1)
    done = run(*words, "--probabilities", "--json")
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["rows"], record["bad"], record["shards"], record["resumed"]) == (10, 1, 1, 0)
    assert "holds 9 labelled rows in 1 part" in done.stderr
    assert "warning: 1 of 10 rows have no label" in done.stderr
    table = parquet.read_table(out)
    assert table.column_names[-2:] == ["probability_neg", "probability_pos"]
    again = run(*words, "--probabilities")
    assert again.exit_code == 0 and "10 rows of them by earlier runs" in again.stderr


def test_suggest_names_documents_to_label(run, model, tmp_path):
    texts = [(str(n), text) for n, (text, _) in enumerate(rows(12))]
    data = write_csv(tmp_path / "new.csv", [*texts, ("12", "")], header=("id", "text"))
    result = run("suggest", model, data, "--count", 3)
    assert result.exit_code == 0, result.stderr
    found = records(result.stdout)
    assert [list(row) for row in found] == [["id", "text", "row", "predicted", "score"]] * 3
    assert len({row["text"] for row in found}) == 3
    assert all(int(row["id"]) == row["row"] - 1 for row in found)
    out = tmp_path / "next.jsonl"
    result = run("suggest", model, data, "--count", 50, "--out", out)
    chosen = records(out.read_text())
    assert chosen[:3] == found and len({row["text"] for row in chosen}) == len(chosen) < 13
    assert all(row["text"] for row in chosen) and "add nothing new" in result.stderr
