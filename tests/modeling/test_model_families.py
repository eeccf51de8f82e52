"""A dense model is transformers' classifier, and becomes it; a saved one works in a new process."""

import json
import subprocess
import sys

import pytest
import torch
from checkpoints import NAMES, save_classifier, word_tokenizer
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from method_table import METHODS, build, pad
from tersely import TerselyConfig, preset
from tersely.errors import ModelError
from tersely.modeling import dense_checkpoint, from_encoder
from tiny import FAMILIES, tiny_ids

LENGTHS = [9, 25, 3, 1, 14]
EXACT = {"rtol": 1e-5, "atol": 1e-5}

# ModernBERT's head reads the first token or the mean of all.
VARIANTS = [(family, {}) for family in FAMILIES] + [("modernbert", {"classifier_pooling": "mean"})]


def padded(model) -> dict[str, torch.Tensor]:
    return pad(tiny_ids(LENGTHS), model.config.pad_token_id)


@pytest.mark.parametrize(("family", "overrides"), VARIANTS)
@torch.no_grad()
def test_a_fine_tuned_classifier_gives_the_stock_logits_and_becomes_it_again(
    family, overrides, tmp_path
):
    stock = save_classifier(tmp_path / "stock", family, **overrides)
    model = from_encoder(tmp_path / "stock")
    assert model.config.head == "family"
    dense_checkpoint(model).save_pretrained(tmp_path / "back")
    back = type(stock).from_pretrained(tmp_path / "back")
    assert (back.config.id2label, back.config.label2id) == (NAMES, stock.config.label2id)
    assert back.state_dict().keys() == stock.state_dict().keys()
    batch = padded(stock)
    expected = stock(**batch).logits
    assert expected.std(0).min() > 1e-3, "all documents look alike here"
    for own in (model, back):
        torch.testing.assert_close(own(**batch).logits, expected, **EXACT)


@pytest.mark.parametrize(("family", "overrides"), VARIANTS)
@torch.no_grad()
def test_the_count_of_macs_is_torchs(family, overrides):
    """With the family's own head; the other head and all methods are in the table of methods."""
    model = build(preset("dense"), family, head="family", **overrides).eval()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        trace = model(**pad(tiny_ids(LENGTHS)), output_trace=True).trace
    assert trace.macs == counter.get_total_flops() / 2


@pytest.mark.parametrize("family", ["bert", "electra"])
@torch.no_grad()
def test_token_types_follow_their_tokens(family, tmp_path):
    stock = save_classifier(tmp_path, family)
    model = from_encoder(tmp_path).eval()
    batch = padded(stock)
    types = torch.zeros_like(batch["input_ids"])
    for row, length in enumerate(LENGTHS):
        types[row, length // 2 : length] = 1
    expected = stock(**batch, token_type_ids=types).logits
    torch.testing.assert_close(model(**batch, token_type_ids=types).logits, expected, **EXACT)
    assert not torch.allclose(model(**batch).logits, expected, **EXACT)
    mask = batch["attention_mask"].bool()
    packed = {
        "input_ids": batch["input_ids"][mask][None],
        "token_type_ids": types[mask][None],
        "cu_seq_lens_q": torch.tensor([0, *LENGTHS]).cumsum(0),
    }
    torch.testing.assert_close(model(**packed).logits, expected, **EXACT)


def test_only_a_dense_model_with_the_familys_head_becomes_a_stock_one(tmp_path):
    save_classifier(tmp_path)
    with pytest.raises(ModelError, match="without token reduction, got .*'focus-p'"):
        dense_checkpoint(from_encoder(tmp_path, plan="focus-p"))
    with pytest.raises(ModelError, match="must have head='family' .*'mean'"):
        dense_checkpoint(from_encoder(tmp_path, head="mean"))


DOCUMENTS = tiny_ids([7, 12, 3, 5])
CLASSES = torch.tensor([0, 2, 1, 1])
SEVERAL = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]])
FIGURES = torch.tensor([0.5, -1.0, 2.0, 0.0])

PROBLEMS = [
    ("single_label_classification", CLASSES, {}),
    ("multi_label_classification", SEVERAL, {}),
    ("regression", FIGURES, {"num_labels": 1}),
    ("regression", SEVERAL, {}),
]


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize(("problem", "labels", "overrides"), PROBLEMS)
@torch.no_grad()
def test_losses_are_the_stock_models_and_so_is_a_guess_from_the_labels(
    stated, problem, labels, overrides, tmp_path
):
    options = {"problem_type": problem} if stated else {}
    stock = save_classifier(tmp_path, **options, **overrides)
    model = from_encoder(tmp_path)
    assert model(**pad(DOCUMENTS)).loss is None
    loss = model(**pad(DOCUMENTS), labels=labels).loss
    torch.testing.assert_close(loss, stock(**pad(DOCUMENTS), labels=labels).loss)
    assert model.config.problem_type == stock.config.problem_type
    assert model.config.problem_type == problem or not stated


# ---- a new process -----------------------------------------------------------------------------

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
WRONG = [
    ({"head": "first"}, "head must be one of mean, family, got 'first'"),
    (
        {"long": "split"},
        "must be one of truncate, head-tail, windows, select, select-sentence",
    ),
    ({"head": "family", "plan": METHODS["focus-c"].to_dict()}, "must be 'mean' for a plan"),
    ({"head": "family", "plan": UNPINNED}, "pin must be 'ends' or 'first'"),
]


@pytest.mark.parametrize(("settings", "fragment"), WRONG)
def test_a_wrong_configuration_is_refused(settings, fragment):
    with pytest.raises(ModelError, match=fragment):
        TerselyConfig(encoder_config={"model_type": "bert"}, **settings)
