"""An export on disk: what is checked, what is refused, and that every verb can use it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from exports import export_of, save_model

from commands import run_command as run
from serving import serving
from tersely import Classifier, preset
from tersely.errors import DeviceError, ExportError, ModelError
from tersely.export import export_model, is_export
from tersely.export.directory import compare_logits
from tersely.export.graph import quantize_graph, scoring_layers
from tersely.reduction import Ratio
from words import labelled

TEXTS, LABELS = labelled(24, words=40, seed=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("original"), preset("topk", keep=0.5), long="windows")


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "onnx"
    export_of(model, folder, TEXTS)
    return folder


@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")  # one is read in windows
def test_the_same_document_gets_the_same_label_everywhere(model, exported):
    """Alone, in any batch, in torch, in ONNX, and from the server."""
    texts = [*TEXTS, " ".join(TEXTS[:9])]  # the last is read in windows
    # Limits of memory make batches of other sizes; the smallest holds one document.
    readers = [Classifier.from_pretrained(model, device="cpu", batch_tokens=n) for n in (16, 4096)]
    readers.append(Classifier.from_pretrained(exported))
    wanted = readers[0].predict_proba(texts)
    labels = list(readers[0].predict(texts))
    drift = 1e-5  # docs/export.md states it
    for reader in readers:
        np.testing.assert_allclose(reader.predict_proba(texts), wanted, rtol=0, atol=drift)
        assert list(reader.predict(texts)) == labels
        assert [reader.predict([text])[0] for text in texts] == labels
    for folder in (model, exported):
        with serving(folder) as (client, _, _):
            rows = client.post("/predict", json={"inputs": [[text] for text in texts]}).json()
            rows.append(client.post("/predict", json={"inputs": texts[-1]}).json())
        assert [row[0]["label"] for row in rows] == [*labels, labels[-1]]
        scores = [row[0]["score"] for row in rows]
        np.testing.assert_allclose(scores[:-1], wanted.max(axis=1), rtol=0, atol=drift)


def test_evaluate_and_bench_take_an_export(exported, model, tmp_path):
    data = tmp_path / "data.jsonl"
    lines = [{"text": t, "label": label} for t, label in zip(TEXTS, LABELS, strict=True)]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    one, other = (run("evaluate", each, data, "--json").stdout for each in (model, exported))
    assert json.loads(one)["metrics"] == json.loads(other)["metrics"]
    options = ("--rounds", 1, "--latency-documents", 1, "--no-memory", "--json")
    bench = run("bench", data, "--models", model, exported, *options)
    results = json.loads(bench.stdout)["results"]
    assert results[0]["macs"] == results[1]["macs"]
    assert results[1]["agreement"] == 1
    assert "ONNX, float32" in run("info", exported).stdout
    assert run("predict", exported, data).exit_code == 0


def test_an_export_is_not_a_model_of_torch(exported, tmp_path):
    classifier = Classifier.from_pretrained(exported)
    for use in (lambda: classifier.save(tmp_path), classifier.torch_model):
        with pytest.raises(ModelError, match="is an export"):
            use()
    with pytest.raises(DeviceError, match="run on the CPU"):
        Classifier.from_pretrained(exported, device="cuda")


def test_directories_that_are_no_export_are_refused(model, exported, tmp_path):
    assert is_export(exported) and not is_export(model)
    broken = shutil.copytree(exported, tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelError, match="cannot be loaded"):
        Classifier.from_pretrained(broken).predict(["cat"])
    (broken / "model.onnx").unlink()
    with pytest.raises(ModelError, match="export again"):
        Classifier.from_pretrained(broken)
    record = json.loads((exported / "export.json").read_text()) | {"version": 9}
    for content, message in (("{", "cannot be read"), (json.dumps(record), "newer tersely")):
        (broken / "export.json").write_text(content)
        with pytest.raises(ModelError, match=message):
            Classifier.from_pretrained(broken)


def test_an_export_that_differs_is_refused_with_the_figure(model, tmp_path, monkeypatch):
    classifier = Classifier.from_pretrained(model, device="cpu")
    wrong = classifier.logits(TEXTS)
    wrong[:6] = -wrong[:6]
    # The graph is beside the point here, and takes seconds.
    monkeypatch.setattr("tersely.export.directory.write_graph", lambda *_: None)
    runner = SimpleNamespace(run=lambda *_: SimpleNamespace(logits=wrong))
    monkeypatch.setattr("tersely.export.directory.OnnxRunner", lambda *_: runner)
    for options, limit in (({}, "100.0%"), ({"min_agreement": 0.9}, "90.0%")):
        with pytest.raises(ExportError, match=f"75.0% of 24 documents.*at least {limit}"):
            export_model(classifier, tmp_path / "out", TEXTS, **options)
    assert not (tmp_path / "out").exists()
    check = export_model(classifier, tmp_path / "out", TEXTS, min_agreement=0.7)
    assert check.agreement == 0.75


def test_a_plan_that_cannot_be_exported_is_named(tmp_path, monkeypatch):
    def branches(self, candidates):
        if bool(candidates.scores.sum() > 1e9):  # on what no graph can know
            raise AssertionError
        return torch.zeros_like(candidates.alive)

    model = save_model(tmp_path, preset("topk"))
    monkeypatch.setattr(Ratio, "losers", branches)
    with pytest.raises(ExportError, match="the plan 'topk' cannot be exported to ONNX"):
        export_of(model, tmp_path / "onnx", TEXTS)
    assert not (tmp_path / "onnx").exists()


@pytest.mark.parametrize(
    ("problem", "original", "exported", "agreement"),
    [
        ("single_label_classification", [[0, 1], [1, 0]], [[0, 2], [0, 1]], 0.5),
        ("multi_label_classification", [[1, -1], [1, 1]], [[2, -3], [1, -1]], 0.5),
        ("regression", [[10.0], [1.0]], [[10.1], [1.2]], 0.5),
    ],
)
def test_what_agrees(problem, original, exported, agreement):
    check = compare_logits(np.array(original, float), np.array(exported, float), problem)
    assert check.agreement == agreement


ALONE = """
import sys

for name in ("tersely", "torch", "transformers"):
    sys.modules[name] = None
{snippet}
import json

print(json.dumps([predict(text) for text in json.load(open("texts.json"))]))
"""


def test_the_snippet_of_the_page_needs_no_tersely(model, exported, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8")
    snippet = next(code for code in re.findall(r"```python\n(.*?)```", page, re.S) if "def" in code)
    (tmp_path / "onnx-model").symlink_to(exported)
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    command = [sys.executable, "-c", ALONE.format(snippet=snippet)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    classifier = Classifier.from_pretrained(model, device="cpu")
    labels, shares = zip(*json.loads(done.stdout.splitlines()[-1]), strict=True)
    assert list(labels) == list(classifier.predict(TEXTS))
    wanted = classifier.predict_proba(TEXTS).max(axis=1)
    np.testing.assert_allclose(shares, wanted, rtol=0, atol=1e-5)


def test_lengths_have_names_and_the_limit_is_saved(model, exported, tmp_path):
    import onnx

    graph = onnx.load(exported / "model.onnx").graph
    shapes = [[d.dim_param for d in each.type.tensor_type.shape.dim] for each in graph.input]
    assert shapes == [["tokens"]] * 2
    names = {d.dim_param for each in graph.value_info for d in each.type.tensor_type.shape.dim}
    assert not [name for name in names if re.search(r"\bs\d", name)]
    classifier = Classifier.from_pretrained(model, device="cpu")
    saved = classifier.save(tmp_path / "saved")
    for folder in (exported, saved):
        config = json.loads((folder / "tokenizer_config.json").read_text())
        assert config["model_max_length"] == classifier.limit


def test_layers_that_choose_stay_in_float32(exported, tmp_path):
    import onnx

    graph = shutil.copytree(exported, tmp_path / "onnx") / "model.onnx"
    whole, exact = onnx.load(graph).graph, scoring_layers(graph)
    # Tokens leave in the first block: its query and key, their product, and what sums it up.
    told = " ".join(str(node.metadata_props) for node in whole.node if node.name in exact)
    assert "layer.0.attention.self.query" in told and "layer.0.attention.self.key" in told
    assert not re.search(r"layer\.0\.(attention\.(self\.value|output)|output)|layer\.[1-9]", told)
    quantize_graph(graph, exact)
    small = onnx.load(graph).graph
    assert set(exact) <= {node.name for node in small.node if node.op_type == "MatMul"}
    assert sum(node.op_type == "MatMulInteger" for node in small.node) >= 10


def test_int8_that_differs_is_tried_again(model, tmp_path, monkeypatch):
    classifier = Classifier.from_pretrained(model, device="cpu")
    right = classifier.logits(TEXTS)
    tried = []
    room = "tersely.export.directory."
    monkeypatch.setattr(room + "write_graph", lambda *_: None)
    monkeypatch.setattr(room + "scoring_layers", lambda *_: ["one"])
    monkeypatch.setattr(room + "quantize_graph", lambda _, exact: tried.append(exact))
    run = Mock(side_effect=lambda *_: SimpleNamespace(logits=right if tried[-1] else -right))
    monkeypatch.setattr(room + "OnnxRunner", lambda *_: SimpleNamespace(run=run))
    with pytest.warns(match="with int8 everywhere, .* layers that decide which tokens leave stay"):
        check = export_model(classifier, tmp_path / "out", TEXTS, int8=True)
    assert tried == [(), ["one"]] and check.agreement == 1


@pytest.mark.slow
def test_int8(model, tmp_path):
    check = export_of(model, tmp_path / "int8", TEXTS, int8=True, min_agreement=0.5)
    assert 0 < check.largest_difference
    small = Classifier.from_pretrained(tmp_path / "int8")
    assert small.dtype_name == "int8" and len(small.predict(TEXTS)) == len(TEXTS)
    import onnx

    kinds = [node.op_type for node in onnx.load(tmp_path / "int8" / "model.onnx").graph.node]
    # Two blocks with six matrices each, and the head.
    assert sum(kind in ("MatMulInteger", "DynamicQuantizeMatMul") for kind in kinds) >= 12


def test_a_directory_is_a_model_or_an_export(model, exported, tmp_path):
    classifier = Classifier.from_pretrained(model)
    folder = shutil.copytree(exported, tmp_path / "both")
    (folder / "notes.txt").write_text("mine")
    classifier.save(folder)
    assert not is_export(folder) and not list(folder.glob("*.onnx*"))
    assert (folder / "notes.txt").read_text() == "mine"
    loaded = Classifier.from_pretrained(folder)
    assert np.array_equal(loaded.logits(TEXTS), classifier.logits(TEXTS))
    with pytest.raises(ExportError, match="holds the weights of a model .*directory of its own"):
        export_of(model, folder, TEXTS)
    assert not is_export(folder)
