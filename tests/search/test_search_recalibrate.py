"""New certificates for a model that is there: same stages and path, texts that it has not seen."""

from dataclasses import replace

import numpy as np
import pytest

from commands import run_command
from tersely import Classifier
from tersely.certificates import Part, fingerprint
from tersely.certificates.parts import unused
from tersely.errors import DataError, ModelError, TerselyWarning
from tersely.search import recalibrate
from three_kinds import TEXTS, draw_kinds

LIMIT = 0.05


def label(kinds, texts):
    """Labels by which the model errs in every second of the third of which it is least sure."""
    classifier = Classifier.from_pretrained(kinds, device="cpu")
    shares = np.sort(classifier.predict_proba(texts), axis=1)
    unsure = np.argsort(shares[:, -1] - shares[:, -2])[: len(texts) // 3 : 2]
    labels = classifier.predict(texts)
    for number in unsure:
        labels[number] = "LABEL_0" if labels[number] == "LABEL_1" else "LABEL_1"
    return labels


@pytest.fixture(scope="module")
def new(kinds):
    """Texts of the same kinds that the model has not seen, with their labels."""
    texts, _ = draw_kinds(seed=5)
    return texts, label(kinds, texts)


def test_all_texts_prove_the_path_that_is_there(fast, new):
    steps = []
    made = fast.recalibrate(new[0], progress=lambda *step: steps.append(step))
    stages = fast.model.cascade.stages
    slow = sum(stage.kind != "linear" for stage in stages)
    assert steps[-1][0].endswith("reference") and steps[-1][1:] == (400 * slow, 400 * slow)
    before, after = fast.model.cascade, made.model.cascade
    assert (after.stages, after.path) == (before.stages, before.path)
    proven = made.certificates
    assert proven.documents == len(new[0]) > fast.certificates.documents
    assert proven.at(LIMIT).point == after.point  # the limit that was in use
    # The slow way: each text alone, by the stages and by the reference.
    reference = fast.with_model(fast.model.under_cascade(before.at(0)))
    pairs = zip(made.predict(new[0]), reference.predict(new[0]), strict=True)
    differing = sum(one != other for one, other in pairs)
    assert abs(proven.at(LIMIT).worse - differing) <= 1
    names = [part.name for part in proven.parts]
    assert names == [part.name for part in fast.certificates.parts]
    assert proven.parts[:-1] == fast.certificates.parts[:-1]
    assert fast.model.cascade is before


def test_with_labels_the_limit_may_be_on_the_net_loss(fast, new):
    made = fast.recalibrate(*new, max_loss=0.2)
    assert made.certificates.criterion == "loss"
    with pytest.raises(DataError, match="needs labels, and the given texts has none"):
        fast.recalibrate(new[0], max_loss=0.1)
    with pytest.raises(DataError, match="got max_loss and max_error"):
        fast.recalibrate(*new, max_loss=0.1, max_error=0.1)


def test_a_cascade_that_has_only_estimates_gets_its_certificates(fast, new):
    bare = replace(fast.model.cascade, point=None, certificates=None)
    made = fast.with_model(fast.model.under_cascade(bare)).recalibrate(*new, max_loss=0.2)
    assert [part.name for part in made.certificates.parts] == ["proving"]
    assert made.model.cascade.point == made.certificates.at(0.2).point is not None


def test_a_certified_error_sets_the_others_apart(kinds, new, tmp_path):
    texts, labels = new
    plain = Classifier.from_pretrained(kinds, device="cpu")
    assert plain.set_apart(plain.forward(plain.encode(texts[:3]))) is None
    steps = []
    sure = plain.recalibrate(texts, labels, max_error=0.1, progress=lambda *s: steps.append(s))
    assert steps[-1] == ("answering", 400, 400)
    review = sure.review
    assert sure.model.cascade.is_alone and review.certificate.bound <= 0.1
    again = Classifier.from_pretrained(sure.save(tmp_path / "sure"), device="cpu")
    assert again.model.cascade == sure.model.cascade
    proven = review.certificates
    assert [part.name for part in proven.parts] == ["choosing", "proving"]
    assert again.predict(texts).tolist() == plain.predict(texts).tolist()
    forward = again.forward(again.encode(texts))
    apart = again.set_apart(forward)
    assert 0 < apart.sum() < len(texts)
    right = np.array(again.predict(texts)) == np.array(labels)
    assert right[~apart].mean() > right[apart].mean()
    # On the next texts the path is there, and all of them prove.
    fresh, _ = draw_kinds(seed=6)
    once_more = again.recalibrate(fresh, label(kinds, fresh), max_error=0.1)
    assert once_more.review.path == review.path
    assert once_more.review.certificates.documents == len(set(fresh))


def test_what_was_not_certified_is_refused_with_the_nearest(kinds, fast, new, tmp_path):
    sure = Classifier.from_pretrained(kinds, device="cpu").recalibrate(*new, max_error=0.1)
    folder = sure.save(tmp_path / "sure")
    load = lambda **limits: Classifier.from_pretrained(folder, device="cpu", **limits)  # noqa: E731
    with pytest.raises(DataError, match=r"30% on the error is not certified .* nearest that are: "):
        load(max_error=0.3)
    assert load(max_error=1).review is None
    with pytest.raises(ModelError, match="recalibrate it on labelled documents"):
        Classifier.from_pretrained(kinds, max_error=0.1)
    with pytest.raises(ModelError, match="no limit on the error is certified"):
        Classifier.from_pretrained(fast.save(tmp_path / "fast"), max_error=0.1)
    with pytest.raises(ModelError, match="set max_disagreement"):
        Classifier.from_pretrained(tmp_path / "fast", max_loss=LIMIT)


def test_an_error_is_certified_for_one_point_of_the_cascade(fast, new, tmp_path):
    sure = fast.recalibrate(*new, max_error=0.2)
    assert sure.review.stages_point == fast.model.cascade.point is not None
    assert sure.certificates == fast.certificates
    folder = sure.save(tmp_path / "sure")
    with pytest.warns(TerselyWarning, match="no answer is marked for review"):
        loaded = Classifier.from_pretrained(folder, device="cpu", max_disagreement=0)
    assert loaded.review is None


def test_texts_that_did_something_else_prove_nothing(fast):
    with pytest.warns(TerselyWarning, match="fitted or chose something"):
        made = fast.recalibrate(TEXTS)
    assert made.certificates.documents == fast.certificates.documents
    assert unused(TEXTS, [Part("training", "trained", 400, fingerprint(TEXTS))]) == []
    assert len(unused(TEXTS, [Part("training", "trained", 400, fingerprint(TEXTS[1:]))])) > 390


def test_too_few_texts_and_models_without_stages_are_refused(kinds, fast, new):
    with pytest.raises(DataError, match="299 held-out texts .* got 20, 20 of them .* at least 13"):
        fast.recalibrate(new[0][:20], max_disagreement=0.01)
    plain = Classifier.from_pretrained(kinds, device="cpu")
    with pytest.raises(ModelError, match="no stages to recalibrate"):
        plain.recalibrate(new[0], max_disagreement=0.1)
    plain.torch_model().config.problem_type = "regression"
    with pytest.raises(ModelError, match="predicts numbers"):
        recalibrate(plain, None, {"error": 0.1})


def test_the_verb_writes_where_the_model_is_or_elsewhere(fast, new, tmp_path):
    folder, data = fast.save(tmp_path / "fast"), tmp_path / "new.csv"
    lines = (f"{text},{label}\n" for text, label in zip(*new, strict=True))
    data.write_text("text,label\n" + "".join(lines))
    done = run_command("recalibrate", folder, data, "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    assert "with a different label than the reference" in done.stdout
    assert Classifier.from_pretrained(folder).certificates.documents == len(new[0])
    options = ("--max-error", "20%", "--device", "cpu", "--out", sure := tmp_path / "sure")
    done = run_command("recalibrate", folder, data, *options)
    assert done.exit_code == 1 and "got 0" in done.stderr  # they have chosen the point in use
    assert not sure.exists()
    done = run_command("recalibrate", fast.save(folder), data, *options)
    assert done.exit_code == 0 and "answered texts with a wrong label" in done.stdout
    assert "with a wrong label" in (sure / "README.md").read_text()
    done = run_command("predict", sure, data, "--device", "cpu")
    assert "marked for review; at most" in done.stderr
    assert '"review": true' in done.stdout and '"review": false' in done.stdout
    done = run_command("evaluate", sure, data, "--device", "cpu")
    assert "marked for review" in done.stderr
