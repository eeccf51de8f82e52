"""A cascade on disk as graphs: the same labels and stages as in torch, weights stored once."""

import shutil

import numpy as np
import pytest
from exports import export_of, save_model

from cascades import make_stages
from tersely import Classifier, preset
from tersely.cascade import Cascade, Stage
from tersely.certificates import prove
from tersely.errors import DataError, ModelError
from tersely.export import export_model
from tersely.modeling.cascading import fit_beside
from words import labelled

TEXTS = labelled(48, words=40, seed=1)[0]
PLAN = Stage("plan", preset("topk", keep=0.25, at=0, least=1), temperature=1.5)


@pytest.fixture(scope="module")
def cascade(tmp_path_factory):
    """The linear stage and a plan each answer some of the documents; made-up certificates."""
    folder = tmp_path_factory.mktemp("cascade")
    classifier = Classifier.from_pretrained(save_model(folder, "dense"), device="cpu")
    stage, sure = make_stages(classifier, PLAN, TEXTS)
    thresholds = tuple(float(each.quantile(0.6)) for each in sure)
    early = np.stack([np.zeros(len(TEXTS), bool), (sure[0] > thresholds[0]).numpy()])
    proven = prove(TEXTS, early, early & False, limits=(0.5,), classes=["a"] * len(TEXTS))
    stages = (Stage("linear"), PLAN, Stage("reference", temperature=0.5, weight=0.3))
    made = Cascade(stages, ((1.0, 1.0), thresholds), 1, proven)
    classifier.adopt(classifier.model.under_cascade(made, stage), classifier.tokenizer)
    return classifier.save(folder / "cascaded")


@pytest.fixture(scope="module")
def exported(cascade, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "onnx"
    steps = []
    check = export_of(cascade, folder, TEXTS, progress=lambda *step: steps.append(step))
    assert ("writing graphs", 2, 2) in steps
    assert steps[-1] == ("comparing answers", *[2 * 3 * len(TEXTS)] * 2)
    assert check.agreement == 1 and check.largest_difference < 1e-3
    return folder


def test_graphs_give_the_labels_and_stages_of_torch(cascade, exported):
    torchs, graphs = (
        Classifier.from_pretrained(each, device="cpu") for each in (cascade, exported)
    )
    wanted, found = (each.forward(each.encode(TEXTS)) for each in (torchs, graphs))
    assert set(wanted.stages.tolist()) == {0, 1, 2}
    assert found.stages.tolist() == wanted.stages.tolist() and found.macs == wanted.macs
    np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-4)
    np.testing.assert_allclose(found.confidence, wanted.confidence, atol=1e-5)
    assert list(graphs.predict(TEXTS)) == list(torchs.predict(TEXTS))
    assert [graphs.predict([text])[0] for text in TEXTS[:6]] == list(torchs.predict(TEXTS[:6]))


@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")  # most are longer than 16
def test_choices_by_the_linear_stage_are_the_same_in_an_export(tmp_path):
    """Of a stage, which has its scores in the graph, and of long documents, before it."""
    classifier = Classifier.from_pretrained(save_model(tmp_path, "dense", blocks=1), device="cpu")
    plan = Stage("plan", preset("choose", keep=0.4, least=1, score="linear-margin"))
    labels = np.arange(len(TEXTS)) % 3
    fit = fit_beside(classifier.model, classifier.encode(TEXTS), labels, classifier.tokenizer)
    model = classifier.model.beside(fit.stage)
    model.config.long, model.config.max_length = "select", 16
    answers = Cascade((plan, Stage("reference")), ((0.5,),), 0)
    classifier.adopt(model.under_cascade(answers), classifier.tokenizer)
    wanted = classifier.forward(classifier.encode(TEXTS))
    assert set(wanted.stages.tolist()) == {0, 1}
    assert export_model(classifier, tmp_path / "onnx", TEXTS).agreement == 1
    graphs = Classifier.from_pretrained(tmp_path / "onnx")
    encoded = graphs.encode(TEXTS)
    pairs = zip(encoded.windows, classifier.encode(TEXTS).windows, strict=True)
    assert all(np.array_equal(*each) for each in pairs) and encoded.report.affected
    found = graphs.forward(encoded)
    assert found.stages.tolist() == wanted.stages.tolist() and found.macs == wanted.macs
    np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-4)


def test_an_export_has_the_limits_that_were_certified(cascade, exported):
    for source in (cascade, exported):
        alone = Classifier.from_pretrained(source, device="cpu", max_disagreement=0)
        assert set(alone.forward(alone.encode(TEXTS)).stages.tolist()) == {2}
        with pytest.raises(DataError, match="not certified"):
            Classifier.from_pretrained(source, device="cpu", max_disagreement=0.2)


def test_an_export_is_audited_like_the_model(cascade, exported):
    counts = []
    for source in (cascade, exported):
        classifier = Classifier.from_pretrained(source, device="cpu")
        audit, encoded = classifier.new_audit(), classifier.encode(TEXTS)
        forward = classifier.forward(encoded)
        classifier.watch(audit, encoded, forward, np.ones(len(TEXTS), dtype=bool))
        counts.append((audit.audited, audit.differing))
    assert counts[0] == counts[1] and counts[0][1] > 0


def test_weights_are_stored_once(cascade, exported):
    import onnx

    sizes = {file.name: file.stat().st_size for file in exported.iterdir()}
    large = 0
    for name in ("model.onnx", "stage-1.onnx"):
        graph = onnx.load(exported / name, load_external_data=False).graph
        kept = [each for each in graph.initializer if not each.external_data]
        assert all(len(each.raw_data) < 4096 for each in kept)
        assert not any("linear" in each.name for each in graph.initializer)
        large += len(graph.initializer) - len(kept)
    assert large >= 2  # tiny as the model is, its table of words is a page, and both point to it
    assert large % 2 == 0  # both graphs point to the same ones
    padded = 4096 * large // 2
    assert sizes["weights.data"] < (cascade / "model.safetensors").stat().st_size + padded


@pytest.mark.slow
def test_an_export_takes_the_place_of_another(cascade, exported, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "onnx")
    (folder / "weights.data").write_bytes(b"")
    export_of(cascade, folder, TEXTS)  # which a file of safetensors in it does not forbid
    assert (folder / "weights.data").stat().st_size > 0


def test_all_files_of_an_export_are_known(cascade, exported, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "onnx")
    (folder / "stage-1.onnx").unlink()
    with pytest.raises(ModelError, match="stage-1.onnx, which is not there"):
        Classifier.from_pretrained(folder)
    Classifier.from_pretrained(cascade, device="cpu").save(folder)
    assert not list(folder.glob("*.onnx*")) and not (folder / "linear.safetensors").exists()
    assert not (folder / "weights.data").exists()
