"""From checkpoints of transformers: what is taken over, and what cannot be used and why."""

import pytest
import torch
from checkpoints import NAMES, change_config, change_weights, save_classifier, save_encoder
from transformers import GPT2Config

from method_table import METHODS, build, combiner_of, pad
from tersely import TerselyForSequenceClassification, preset
from tersely.backbones import backbone_for
from tersely.errors import ModelError, PlanError
from tersely.methods.focus import starting_tokens
from tersely.modeling import from_encoder, with_plan
from tersely.modeling.loading import load_classifier
from tersely.reduction import PLAN_VERSION
from tiny import FAMILIES, HIDDEN, tiny_encoder, tiny_ids

BATCH = pad(tiny_ids([7, 12, 3]))
OTHER_NAMES = {0: "ham", 1: "spam"}


@pytest.mark.parametrize("options", [{}, {"head": "family"}, {"id2label": NAMES}])
def test_a_fine_tuned_classifier_keeps_its_head_and_its_labels(options, tmp_path):
    stock = save_classifier(tmp_path)
    model = from_encoder(tmp_path, plan="focus-pf", **options)
    assert model.config.head == "family"
    assert model.config.id2label == NAMES
    assert model.config.label2id == stock.config.label2id
    assert torch.equal(model.head["classifier"].weight, stock.classifier.weight)
    assert torch.equal(model.encoder.pooler.dense.weight, stock.bert.pooler.dense.weight)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"id2label": OTHER_NAMES}, OTHER_NAMES),
        ({"num_labels": 2}, {0: "LABEL_0", 1: "LABEL_1"}),
        ({"num_labels": 3, "head": "mean"}, {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}),
        ({"id2label": NAMES, "plan": "focus-pfc"}, NAMES),
    ],
)
def test_other_labels_or_combined_tokens_get_a_new_head_on_the_mean(options, names, tmp_path):
    stock = save_classifier(tmp_path)
    model = from_encoder(tmp_path, **options)
    assert model.config.head == "mean"
    assert model.config.id2label == names
    assert model.head.classifier.out_features == model.num_labels == len(names)
    own = model.encoder.get_input_embeddings().weight
    assert torch.equal(own, stock.bert.get_input_embeddings().weight)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_gets_a_head_on_the_mean_and_keeps_all_its_weights(family, tmp_path):
    stock = save_encoder(tmp_path, family).state_dict()
    model = from_encoder(tmp_path, plan="focus-p", num_labels=4)
    assert (model.config.head, model.num_labels) == ("mean", 4)
    own = model.encoder.state_dict()
    assert not any(key not in own and "pooler." not in key for key in stock)
    assert all(torch.equal(own[key], stock[key]) for key in own)


@pytest.mark.parametrize("family", ["bert", "electra", "modernbert"])
def test_the_combining_module_starts_from_the_block_that_it_replaces(family, tmp_path):
    source = backbone_for(save_encoder(tmp_path, family))
    model = from_encoder(tmp_path, plan=preset("focus-c", combine_at=1, tokens=4))
    projections = source.projections(source.blocks[1])
    for name, layer in zip(("query", "key", "value", "output"), projections, strict=True):
        own = getattr(combiner_of(model), name)
        assert torch.equal(own.weight, layer.weight)
        assert torch.equal(own.bias, torch.zeros(32) if layer.bias is None else layer.bias)
    assert torch.equal(combiner_of(model).embedded_norm.weight, torch.ones(32))
    tokens = combiner_of(model).tokens
    assert torch.cdist(tokens, tokens).add(torch.eye(4)).min() > 1e-3, "two start alike"
    # A replaced block leaves nothing behind.
    assert not any(".1." in name and "layer" in name for name in model.encoder.state_dict())


def encoder(spoil):
    return lambda path: (save_encoder(path), spoil(path))


def classifier(spoil):
    return lambda path: (save_classifier(path), spoil(path))


def lacks(name):
    return lambda path: change_weights(path, lambda weights: weights.pop(name))


def wrong(*keys, value):
    return lambda path: change_config(path, *keys, value=value)


def no_weights(path):
    (path / "model.safetensors").unlink()


def holds(name):
    return lambda path: ((path / name).parent.mkdir(exist_ok=True), (path / name).touch())


def cut_off(path):
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:2000])


KEY = "encoder.layer.1.attention.self.key.weight"


@pytest.mark.parametrize(
    ("spoil", "fragment"),
    [
        (encoder(lacks(KEY)), rf"lacks 1 weights .* \({KEY}\)"),
        (classifier(lacks("classifier.weight")), r"lacks 1 weights of Bert.*\(classifier.weight\)"),
        (encoder(wrong("num_hidden_layers", value=2)), "with its original num_hidden_layers"),
        (encoder(no_weights), "cannot be loaded"),
        (encoder(cut_off), "cannot be loaded"),
        (classifier(wrong("vocab_size", value=101)), "take both files from one model"),
        (lambda path: (path / "config.json").write_text("{"), "expected a model directory"),
        (holds("adapter_config.json"), "an adapter without its model"),
        (holds("checkpoints/plan"), "go on with it by resume"),
        (holds("evidence.json"), "keep the original"),
        (holds("checkpoint-500/config.json"), "folders of models"),
        (holds("notes.txt"), "no config.json; give"),
        (
            lambda path: build(METHODS["focus-p"]).save_pretrained(path),
            "start from the model that",
        ),
        (lambda path: GPT2Config().save_pretrained(path), r"family \(bert, .*\), got 'gpt2'"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_refused(spoil, fragment, tmp_path):
    spoil(tmp_path)
    with pytest.raises(ModelError, match=fragment):
        from_encoder(tmp_path)


def test_what_cannot_be_is_refused_with_what_to_do():
    for options, fragment in (
        ({}, "'nobody/no-such-model': it cannot be read .* check"),
        ({"trust_remote_code": True}, "'trust_remote_code' is not an option of from_encoder"),
        ({"head": "median"}, "head must be one of auto, mean, family, got 'median'"),
    ):
        with pytest.raises(ModelError, match=fragment):
            from_encoder("nobody/no-such-model", **options)


@pytest.mark.parametrize(
    "load", [TerselyForSequenceClassification.from_pretrained, from_encoder, load_classifier]
)
@pytest.mark.parametrize(
    ("spoil", "error", "fragment"),
    [
        (lacks(f"encoder.{KEY}"), ModelError, rf"lacks 1 weights of Tersely.* \(encoder.{KEY}\)"),
        (no_weights, ModelError, "cannot be loaded"),
        (wrong("encoder_config", "vocab_size", value=101), ModelError, "both files from one"),
        (wrong("encoder_config", "model_type", value="gpt2"), ModelError, "family .*, got 'gpt2'"),
        (wrong("plan", "version", value=PLAN_VERSION + 1), PlanError, "needs a newer tersely"),
        (wrong("head", value="first"), ModelError, "head must be one of mean, family"),
    ],
)
def test_a_saved_model_that_cannot_be_used_is_refused(load, spoil, error, fragment, tmp_path):
    build(METHODS["dense"]).save_pretrained(tmp_path)
    spoil(tmp_path)
    with pytest.raises(error, match=fragment):
        load(tmp_path)


@pytest.mark.parametrize("head", ["mean", "family"])
@torch.no_grad()
def test_a_dense_model_is_a_start_for_a_reduced_one(head, tmp_path):
    dense = build(METHODS["dense"], head=head).eval()
    dense.config.id2label = NAMES
    dense.save_pretrained(tmp_path)
    same = from_encoder(tmp_path).eval()
    assert same.config.id2label == NAMES
    torch.testing.assert_close(same(**BATCH).logits, dense(**BATCH).logits)
    reduced = from_encoder(tmp_path, plan=preset("focus-p", keep=1.0)).eval()
    torch.testing.assert_close(reduced(**BATCH).logits, dense(**BATCH).logits)
    renamed = from_encoder(tmp_path, plan="focus-p", id2label=OTHER_NAMES)
    assert (renamed.config.head, renamed.num_labels) == ("mean", 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_combination_tokens_start_where_the_model_is(family, monkeypatch):
    source = backbone_for(tiny_encoder(family).to("meta"))
    embed = type(source).embed

    def embed_there(self, ids, places, segments):
        # A GPU refuses ids that lie elsewhere; what stands in for it here does not.
        assert ids.device == places.device == torch.device("meta")
        return embed(self, ids, places, segments)

    monkeypatch.setattr(type(source), "embed", embed_there)
    tokens = starting_tokens(source, 4, separator=2)
    assert tokens.device.type == "meta" and tokens.shape == (4, HIDDEN)


def test_a_model_that_starts_from_a_dense_one_reads_as_that_was_saved(tmp_path):
    dense = build(METHODS["dense"])
    fields = {"long": "windows", "window_overlap": 5, "max_length": 20, "classifier_dropout": 0.3}
    fields |= {"attention_dropout": None}
    for name, value in fields.items():
        setattr(dense.config, name, value)
    reduced = with_plan(dense, preset("topk", least=1))
    dense.save_pretrained(tmp_path)
    for model in (reduced, from_encoder(tmp_path, plan="topk")):
        assert model.config.plan["name"] == "topk"
        assert {name: getattr(model.config, name) for name in fields} == fields
    assert dense.config.reduction_plan().is_dense
    chosen = from_encoder(tmp_path, plan="topk", long="truncate", max_length=10).config
    assert (chosen.long, chosen.max_length) == ("truncate", 10)


@pytest.mark.parametrize(("own", "other"), [("mean", "family"), ("family", "mean")])
def test_another_head_than_a_dense_models_own_is_a_new_one(own, other, tmp_path):
    dense = build(METHODS["dense"], head=own)
    dense.save_pretrained(tmp_path)
    kept = from_encoder(tmp_path, plan="topk", head=own)
    assert (kept.config.head, kept.head_is_new) == (own, False)
    new = from_encoder(tmp_path, plan="topk", head=other)
    assert (new.config.head, new.head_is_new) == (other, True)
    assert new(**BATCH).logits.shape == (3, dense.num_labels)
