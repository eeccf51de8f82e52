"""Warnings of the classifier point at the line of the user that made them."""

from __future__ import annotations

import pytest

from tersely import Classifier, TrainingSettings
from tersely.errors import TerselyWarning
from tersely.text import Documents
from words import labelled, save_encoder

QUICK = TrainingSettings(epochs=1, learning_rate=5e-3, batch_tokens=256)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    encoder = save_encoder(tmp_path_factory.mktemp("encoder"), num_hidden_layers=2)
    texts, labels = labelled(30, words=10)
    return Classifier(
        encoder, method="lat", method_options={"keep": 0.6, "least": 1}, max_length=14
    ).fit(texts, labels, settings=QUICK)


CALLS = {
    "fit": lambda c, _: c.fit(*labelled(30, words=40), settings=QUICK),
    "encode": lambda c, _: c.encode([" ".join(["cat"] * 30), "☃"]),
    "with_options": lambda c, _: c.with_options(keep=0.3),
    "with_budget": lambda c, _: c.with_budget(0.5, ["cat dog rain word1 word2 word3"] * 4),
    "save": lambda c, folder: c.save(folder),
    "evaluate": lambda c, _: c.evaluate(Documents.from_lists(*labelled(9, words=40))),
}


@pytest.mark.parametrize("name", sorted(CALLS, key=lambda name: name == "fit"))
def test_a_warning_points_at_the_users_line(classifier, tmp_path, name):
    (tmp_path / "README.md").write_text("# Somebody else's card\n")
    call = CALLS[name]
    with pytest.warns(TerselyWarning) as said:
        call(classifier, tmp_path)
    # The lambdas are the users here: one line each.
    lines = {(each.filename, each.lineno) for each in said}
    assert lines == {(__file__, call.__code__.co_firstlineno)}
