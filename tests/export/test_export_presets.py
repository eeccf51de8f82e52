"""Every preset as a graph: the same labels, logits and MACs as the model, at any length.

A graph takes seconds to make, so each is made once, and what is asked of it is asked at once.
"""

import numpy as np
import pytest
from exports import export_of, save_model

from tersely import Classifier, preset, presets
from tersely.reduction import plan as resolved
from words import labelled

# Half of the tokens go, where documents here are short; four blocks, and few combination tokens.
OPTIONS = {
    "focus-p": {"keep": 0.6},
    "focus-pf": {"keep": 0.6},
    "focus-c": {"combine_at": 0.75, "tokens": 4},
    "focus-pfc": {"keep": 0.6, "combine_at": 0.75, "tokens": 4},
    "threshold": {"threshold": 0.9},
    "ltp": {"threshold": 0.95},
    "ltp-once": {"threshold": 0.95},
    "transkimmer": {"bias": 0.0},
    "adapler": {"threshold": 1.0, "hidden": 4},
    "pool": {"keep": 0.4},
    "tome": {"ratio": 0.3},
    "fca": {"keep": 0.3, "tokens": 3},
}
LARGEST_DRIFT = 1e-4  # of a logit; the tiny models' logits are of the order of 10


def documents() -> list[str]:
    """Texts from no word at all to the longest that is read, and beyond."""
    texts, _ = labelled(10, words=40, seed=3)
    return ["", "cat", "cat word1", *texts, " ".join(texts)]


@pytest.fixture(autouse=True)
def gathered_keys(monkeypatch):
    """As a graph has them: in torch on CPUs, keys that few heads lost are hidden, not gathered."""
    monkeypatch.setattr(resolved, "_HIDE_FROM", 2.0)


@pytest.mark.slow  # by default, test_export_directory.py looks at the graph of one
@pytest.mark.parametrize("name", presets())
def test_a_preset_as_a_graph(tmp_path, name):
    model = save_model(tmp_path, preset(name, **OPTIONS.get(name, {})), blocks=4)
    texts = documents()
    check = export_of(model, tmp_path / "onnx", texts)
    assert check.agreement == 1 and check.largest_difference < LARGEST_DRIFT
    torch_model = Classifier.from_pretrained(model, device="cpu")
    onnx_model = Classifier.from_pretrained(tmp_path / "onnx")
    assert onnx_model.plan == torch_model.plan and list(onnx_model.classes_) == list(
        torch_model.classes_
    )
    encoded = torch_model.encode(texts, tell=False)
    for number in range(len(texts)):
        one = encoded.select(np.array([number]))
        wanted, found = torch_model.forward(one), onnx_model.forward(one)
        np.testing.assert_allclose(found.logits, wanted.logits, atol=LARGEST_DRIFT)
        # Counted in the graph itself: tokens that the model removed are gone from it too.
        assert found.macs == wanted.macs
        assert found.encoder_macs == wanted.encoder_macs
