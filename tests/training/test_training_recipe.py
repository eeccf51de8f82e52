"""What follows from the documents: the recipe, rates of blocks, weights of classes, best epochs."""

import functools
import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tersely import Classifier, TrainingSettings, preset
from tersely.errors import DataError, TerselyWarning, TrainingError
from tersely.modeling import from_encoder, with_plan
from tersely.training.fit import gather
from tersely.training.recipe import document_weights, recipe, with_recipe
from tersely.training.trainer import document_losses
from words import LABELS, documents, labelled, quiet

QUICK = TrainingSettings(epochs=2, learning_rate=1e-3, batch_tokens=128)


@pytest.fixture
def a_trainer(dense, make_trainer):
    labels = dense.label_space.encode(documents().labels)
    return lambda **told: make_trainer(
        with_plan(dense.model, preset("dense")), with_recipe(replace(QUICK, **told), labels, 32)
    )


def test_settings_out_of_range_are_refused():
    for name, value in {"epochs": -1, "tune": 0, "layer_decay": 1.5, "best_by": "f1"}.items():
        with pytest.raises(TrainingError, match=f"{name} is out of .*expected .*, got {value}"):
            TrainingSettings(**{name: value})


@pytest.mark.parametrize(("rate", "far"), [(5, "above 0.01"), (1e-12, "below 1e-7")])
def test_an_absurd_learning_rate_is_warned_of(rate, far):
    with pytest.warns(TerselyWarning, match=f"learning_rate is usually 1e-5 to .*, got {far};"):
        TrainingSettings(learning_rate=rate)
    for refused in (0, -1e-5, np.nan, np.inf):
        with pytest.raises(TrainingError, match="learning_rate is out of range"):
            TrainingSettings(learning_rate=refused)


def test_what_is_given_stays_and_the_rest_follows_from_the_documents():
    labels = np.arange(1000) % 4
    filled = with_recipe(TrainingSettings(epochs=7, dropout=0.3), labels, 384)
    assert (filled.epochs, filled.dropout) == (7, 0.3)
    left_open = {
        f.name for f in fields(TrainingSettings) if "chosen from the documents" in str(f.metadata)
    }
    assert set(recipe(1000, 384, labels)) == left_open
    assert all(getattr(filled, name) is not None for name in recipe(1000, 384, labels))


def test_the_recipe_is_within_its_ranges_and_more_documents_never_take_more_epochs():
    sizes = (1, 12, 300, 1000, 3000, 10_000, 100_000, 1_000_000)
    rules = [recipe(count, 384, np.arange(min(count, 5000)) % 20) for count in sizes]
    epochs = [TrainingSettings(**rule).epochs for rule in rules]
    assert epochs == sorted(epochs, reverse=True)


def test_a_step_learns_from_as_many_documents_as_asked(a_trainer):
    few, _ = a_trainer(batch_documents=4)
    assert 3 <= few.documents_per_step <= 4
    tokens, _ = a_trainer(batch_documents=1000)
    assert len(tokens.sampler) == pytest.approx(tokens.train_dataset.encoded.tokens / 128, rel=0.3)


def test_lower_blocks_learn_more_slowly_and_the_head_faster(a_trainer):
    trainer, _ = a_trainer(layer_decay=0.5, head_factor=10.0)
    groups = trainer.create_optimizer().param_groups
    rate = {p: group["lr"] for group in groups for p in group["params"]}
    model = trainer.model
    every = [p for group in groups for p in group["params"]]
    assert len(every) == len(set(every)) == len(list(model.parameters()))

    def rates(module):
        return {round(rate[p] / 1e-3, 6) for p in module.parameters()}

    assert [rates(block) for block in model.backbone.blocks] == [{0.125}, {0.25}, {0.5}, {1.0}]
    assert rates(model.encoder.embeddings) == {0.0625}
    assert rates(model.head) == {10.0}
    plain = {p for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    assert model.head.classifier.bias in plain and model.head.classifier.weight not in plain


def test_classes_weigh_the_same_where_they_are_balanced():
    labels = np.array([0] * 90 + [1] * 9 + [2])
    names = ["a", "b", "c", "no document"]
    weights = document_weights(labels, names, "balanced")
    assert [weights[labels == c].sum() for c in range(3)] == pytest.approx([100 / 3] * 3)
    root = document_weights(labels, names, "sqrt")
    assert root.mean() == pytest.approx(1)
    assert root[-1] / root[0] == pytest.approx(90**0.5)
    given = document_weights(labels, names, "c=5, a=0.5")
    assert given.mean() == pytest.approx(1)
    assert given[[-1, 95]] / given[0] == pytest.approx([10, 2])
    for wrong in ("d=2", "a=0", "a=x", "a=2,", "a=inf"):
        with pytest.raises(TrainingError, match="numbers above 0 of the classes 'a', 'b'"):
            document_weights(labels, names, wrong)


@pytest.mark.parametrize("several", [False, True])
def test_a_smoothed_label_is_partly_chance(several):
    logits = torch.randn(5, 3)
    labels = torch.rand(5, 3).round() if several else torch.tensor([0, 2, 1, 1, 0])
    kind = "multi_label_classification" if several else "single_label_classification"
    share = 0.3
    wanted = labels if several else F.one_hot(labels, 3).float()
    wanted = wanted * 0.7 + share * (0.5 if several else 1 / 3)
    if several:
        chances = logits.sigmoid()
        each = -(wanted * chances.log() + (1 - wanted) * (1 - chances).log()).mean(dim=1)
    else:
        each = -(wanted * logits.log_softmax(dim=1)).sum(dim=1)
    torch.testing.assert_close(document_losses(logits, labels, kind, share), each)


def test_label_smoothing_is_for_classes_and_has_one_name(encoder):
    with pytest.raises(TrainingError, match="set label_smoothing"):
        TrainingSettings(extra={"label_smoothing_factor": 0.1})
    settings = replace(QUICK, label_smoothing=0.1)
    with pytest.raises(TrainingError, match="label_smoothing must be 0 for a regression, got 0.1"):
        Classifier(encoder, method="dense").fit(labelled(12)[0], [0.5, 1.5] * 6, settings=settings)
    classifier = Classifier(encoder, method="dense").fit(*labelled(24), settings=settings)
    assert classifier.training["settings"]["label_smoothing"] == 0.1


def test_weights_multiply_the_loss_of_labels(a_trainer):
    trainer, train = a_trainer(batch_documents=1000)
    train.weights = np.linspace(0.1, 2, len(train)).astype(np.float32)
    numbers = [3, 1, 40]
    quiet(trainer.model)
    plain = {n: v for n, v in train.collate(numbers).items() if n != "document_weights"}
    each = F.cross_entropy(trainer.model(**plain).logits, plain["labels"], reduction="none")
    expected = (each * torch.from_numpy(train.weights[numbers])).sum() / trainer.documents_per_step
    got = trainer.compute_loss(trainer.model, train.collate(numbers))
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_losses_of_documents_are_the_model_s(encoder):
    logits = torch.randn(5, 3)
    several = torch.randint(0, 2, (5, 3)).float()
    cases = {
        "single_label_classification": (logits, torch.tensor([0, 1, 2, 1, 0])),
        "multi_label_classification": (logits, several),
        "regression": (logits[:, :1], logits[:, 1]),
    }
    for problem, (given, labels) in cases.items():
        model = from_encoder(encoder, num_labels=given.shape[1], problem_type=problem)
        whole = model.loss_function(labels=labels, pooled_logits=given, config=model.config)
        loss = document_losses(given, labels, problem).mean()
        assert loss.item() == pytest.approx(whole.item(), rel=1e-6)


def test_weights_of_documents_follow_them_and_multiply_those_of_classes(encoder):
    data = documents()
    weights = np.arange(1.0, len(data) + 1)
    given = gather(data, None, None, validation=0.2, sample_weight=weights)
    places = {text: number for number, text in enumerate(data.texts)}
    own = weights[[places[text] for text in given.documents.texts]]
    np.testing.assert_allclose(given.weights, own / own.mean())
    for wrong in (weights[1:], -weights, weights * np.nan):
        with pytest.raises(DataError, match="sample_weight must be 60 finite numbers above 0"):
            gather(data, None, None, sample_weight=wrong)
    fit = functools.partial(Classifier(encoder, method="dense").fit, data, settings=QUICK)
    plain, same, other = (
        fit(sample_weight=each, validation=0).logits(data.texts[:4])
        for each in (None, np.full(len(data), 7.0), weights)
    )
    np.testing.assert_allclose(plain, same, atol=1e-6)
    assert not np.allclose(plain, other, atol=1e-6)


def test_classes_of_several_labels_have_no_weights(encoder):
    labels = [["animals"], ["music", "weather"]] * 6
    settings = replace(QUICK, class_weights="balanced")
    with pytest.raises(TrainingError, match="class_weights must be none for several labels"):
        Classifier(encoder, method="dense").fit(labelled(12)[0], labels, settings=settings)


@pytest.mark.parametrize("best_by", ["loss", "accuracy", "macro_f1"])
def test_the_best_epoch_is_chosen_by_what_was_asked(encoder, best_by, tmp_path):
    settings = replace(QUICK, epochs=5, learning_rate=1e-2, best_by=best_by)
    held_out = documents(30, seed=5)
    classifier = Classifier(encoder, method="dense")
    classifier.fit(documents(), validation=held_out, settings=settings, cascade="off")
    logs = [log for log in classifier.training["history"] if "eval_loss" in log]
    choose = min if best_by == "loss" else max
    best = choose(log[f"eval_{best_by}"] for log in logs)
    kept = next(log for log in logs if log[f"eval_{best_by}"] == best)
    assert classifier.training["best_validation_loss"] == kept["eval_loss"]
    assert classifier.evaluate(held_out)["accuracy"] == pytest.approx(kept["eval_accuracy"])
    assert json.dumps(classifier.training["settings"])


def test_dropout_is_of_hidden_states_and_not_of_attention(encoder):
    model = from_encoder(encoder, plan="dense", id2label=dict(enumerate(LABELS)))
    classifier = Classifier(encoder, method="dense")
    classifier.fit(documents(12), settings=replace(QUICK, dropout=0.25), validation=0)
    inner = {m for b in classifier.model.backbone.blocks for m in b.attention.self.modules()}
    kept = {m.p for m in model.encoder.modules() if isinstance(m, torch.nn.Dropout)}
    dropouts = (m for m in classifier.model.modules() if isinstance(m, torch.nn.Dropout))
    found = {m.p for m in dropouts if m not in inner}
    assert found == {0.25} != kept
    assert classifier.model.config.encoder_config.hidden_dropout_prob == 0.1
