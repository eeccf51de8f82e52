"""A saved model works in a new process through nothing but transformers and `import tersely`."""

import json
import subprocess
import sys

import pytest
import torch
from checkpoints import NAMES, word_tokenizer

from method_table import METHODS, build
from tersely import TerselyConfig
from tersely.errors import ModelError

TEXTS = ["w5 w9 w17 w80 w33 w4 w61", "w7 w7 nothing", "w50 w51 w52 w53 w54 w55 w56 w57 w58 w59"]

SCRIPT = """
import json, sys
import tersely
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

path, texts = sys.argv[1], json.loads(sys.argv[2])
model = AutoModelForSequenceClassification.from_pretrained(path)
batch = AutoTokenizer.from_pretrained(path)(texts, padding=True, return_tensors="pt")
classify = pipeline("text-classification", model=path, top_k=None)
print("RESULT" + json.dumps({
    "kind": type(model).__name__,
    "logits": model(**batch).logits.tolist(),
    "one by one": classify(texts),
    "together": classify(texts, batch_size=3),
}))
"""


@torch.no_grad()
def test_a_new_process_gives_the_same_predictions(tmp_path):
    model = build(METHODS["focus-pfc"]).eval()
    model.config.id2label = NAMES
    tokenizer = word_tokenizer()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), json.dumps(TEXTS)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.partition("RESULT")[2])

    logits = model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
    assert result["kind"] == type(model).__name__
    torch.testing.assert_close(torch.tensor(result["logits"]), logits)
    for row, probabilities in enumerate(logits.softmax(-1).tolist()):
        expected = {NAMES[i]: pytest.approx(p, abs=1e-5) for i, p in enumerate(probabilities)}
        for way in ("one by one", "together"):
            scores = {label["label"]: label["score"] for label in result[way][row]}
            assert scores == expected


UNPINNED = METHODS["focus-pf, tokens"].to_dict()
UNPINNED["steps"][0]["select"]["pin"] = "none"


@pytest.mark.parametrize(
    ("settings", "fragment"),
    [
        ({"head": "first"}, "head must be one of mean, family, got 'first'"),
        (
            {"long": "split"},
            "long must be one of truncate, head-tail, windows, select, select-sentence, got",
        ),
        (
            {"head": "family", "plan": METHODS["focus-c"].to_dict()},
            "head must be 'mean' for a plan",
        ),
        ({"head": "family", "plan": UNPINNED}, "pin must be 'ends' or 'first'"),
    ],
)
def test_a_wrong_configuration_is_refused(settings, fragment):
    with pytest.raises(ModelError, match=fragment):
        TerselyConfig(encoder_config={"model_type": "bert"}, **settings)
