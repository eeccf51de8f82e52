"""Training on packed batches: the loss, the teacher, resuming, reproducing, and a loss of NaN."""

import functools
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_kills import Killed, killed_after
from transformers import AutoModel, Trainer
from transformers.training_args import ParallelMode

from tersely import Classifier, Plan, TrainingSettings, preset
from tersely.errors import OutputError, TrainingError
from tersely.methods.ltp import LearnedThreshold
from tersely.methods.patterns import Neighbours
from tersely.modeling import with_plan
from tersely.reduction import ColumnMean, DropTokens, Step, find_preset
from tersely.text.batching import pack
from tersely.training.distillation import distillation_loss
from tersely.training.run import claimed, trainer_arguments
from words import (
    LABELS,
    PLAIN,
    documents,
    labelled,
    long_documents,
    quiet,
    same_weights,
    save_encoder,
)

QUICK = TrainingSettings(epochs=2, learning_rate=5e-3, batch_tokens=128, seed=1, **PLAIN)


def trained(encoder, method="dense", settings=QUICK, **options):
    # Documents are short here, and would otherwise keep most of their tokens.
    floor = {"least": 1} if "least" in find_preset(method).options else {}
    classifier = Classifier(encoder, method=method, method_options=floor)
    return classifier.fit(documents(), settings=settings, **options)


# Chance is 0.33; combining a handful of random features into groups is slow to learn from nothing.
@pytest.mark.parametrize(
    ("method", "dense_share", "epochs", "least"),
    [
        ("dense", 0, 16, 0.8),
        pytest.param("focus-pf", 0, 16, 0.8, marks=pytest.mark.slow),
        ("focus-pfc", 0.5, 20, 0.5),
    ],
)
def test_training_learns(encoder, method, dense_share, epochs, least):
    settings = replace(QUICK, epochs=epochs, dense_share=dense_share, seed=0)
    classifier = Classifier(encoder, method=method).fit(documents(120), settings=settings)
    assert classifier.evaluate(documents(60, seed=9))["accuracy"] > least


def test_the_seed_decides(encoder):
    one = trained(encoder)
    assert same_weights(one, trained(encoder))
    assert not same_weights(one, trained(encoder, settings=replace(QUICK, seed=2)))


@pytest.fixture
def a_trainer(dense, make_trainer):
    return lambda **options: make_trainer(with_plan(dense.model, preset("dense")), QUICK, **options)


def test_a_document_counts_the_same_in_every_batch(a_trainer):
    trainer, train = a_trainer()
    model = quiet(trainer.model)
    batches = list(trainer.sampler)
    assert len({len(batch) for batch in batches}) > 1
    losses = [trainer.compute_loss(model, train.collate(batch)).item() for batch in batches]
    whole = model(**train.collate(list(range(len(train))))).loss.item()
    assert np.mean(losses) == pytest.approx(whole, rel=1e-5)


def test_a_teacher_takes_part_in_the_loss(a_trainer):
    logits = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    trainer, train = a_trainer(teacher_logits=logits)
    model = quiet(trainer.model)
    batch = train.collate([0, 5, 9])
    inputs = {name: value for name, value in batch.items() if name != "teacher_logits"}
    output = model(**inputs)
    student = torch.log_softmax(output.logits / 2, -1)  # a temperature of 2
    teacher = torch.softmax(torch.from_numpy(logits[[0, 5, 9]]) / 2, -1)
    divergence = (teacher * (teacher.log() - student)).sum(-1).mean() * 4
    expected = (0.5 * output.loss + 0.5 * divergence) * 3 / trainer.documents_per_step
    assert trainer.compute_loss(model, batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_what_learns_has_a_rate_of_its_own_and_a_penalty_that_no_teacher_shrinks(a_trainer):
    logits = np.zeros((60, 3), dtype=np.float32)
    trainer, train = a_trainer(teacher_logits=logits)
    select = LearnedThreshold(least=1, threshold=0.9, target=0.1)
    plan = Plan("learned", (Step(DropTokens(), {"start": 0}, ColumnMean(), select),))
    model = trainer.model = quiet(with_plan(trainer.model, plan))
    inputs = {name: value for name, value in train.collate([0, 5]).items() if "teacher" not in name}
    output = model(**inputs)
    scale = 2 / trainer.documents_per_step
    task = (output.loss - output.penalty).item()
    distance = distillation_loss(
        output.logits, torch.zeros(2, 3), "single_label_classification", QUICK.temperature
    ).item()
    expected = scale * (0.5 * task + 0.5 * distance) + output.penalty.item()
    got = trainer.compute_loss(model, train.collate([0, 5])).item()
    assert output.penalty > 0.1
    assert got == pytest.approx(expected, rel=1e-5)

    groups = trainer.create_optimizer().param_groups
    thresholds = {p for p in model.learned.parameters()}
    rates = {group["lr"] for group in groups if thresholds & set(group["params"])}
    assert rates == {0.01} != {QUICK.learning_rate}
    every = [p for group in groups for p in group["params"]]
    assert len(every) == len(set(every)) == len(list(model.parameters()))


def test_a_loss_that_is_no_number_ends_the_run(a_trainer):
    trainer, _ = a_trainer()
    with torch.no_grad():
        trainer.model.head.classifier.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="the loss became nan at step 1"):
        trainer.train()


FOUR = replace(QUICK, epochs=4)
# With a rate this high, the validation loss soon rises, and a stage stops before its last epoch.
STOPPING = replace(QUICK, epochs=30, learning_rate=0.01, patience=2)
KILLS = [("focus-pf", 0.4), ("focus-pf", 0.9), ("lat", 0.9), ("ltp", 0.9), ("ltp-paper", 0.8)]
KILLS += [("dense", 0.6), ("ltp-paper", 0.95)]


@pytest.fixture(scope="module")
def unkilled(encoder):
    """Runs to their end, by method and epochs; each is trained once."""
    settings = {each.epochs: each for each in (FOUR, STOPPING)}
    return functools.cache(lambda method, epochs: trained(encoder, method, settings[epochs]))


# A run under a plan has a dense stage first, and some a soft one then: the kill comes in each. The
# one that stops is killed in its last epoch, when one evaluation was in vain already.
@pytest.mark.parametrize(
    ("method", "share", "settings"), [*((*kill, FOUR) for kill in KILLS), ("dense", 1, STOPPING)]
)
def test_a_killed_run_goes_on_where_it_was(encoder, unkilled, tmp_path, method, share, settings):
    whole = unkilled(method, settings.epochs)
    steps = whole.training["steps"]
    kill = killed_after(min(int(steps * share) + 1, steps - 1))
    with pytest.raises(Killed):
        trained(encoder, method, settings, out=tmp_path, progress=kill)
    resumed = trained(encoder, method, settings, out=tmp_path, resume=True)
    assert resumed.training["resumed"]
    assert resumed.training["steps"] == steps
    assert same_weights(whole, resumed)


@pytest.mark.parametrize(
    ("method", "settings"), [("focus-pfc", STOPPING), ("dense", replace(QUICK, epochs=2.5))]
)
def test_a_finished_stage_is_not_trained_further(encoder, tmp_path, method, settings):
    """One that stopped early, and one that ended within an epoch."""
    whole = trained(encoder, method, settings, out=tmp_path)
    again = trained(encoder, method, settings, out=tmp_path, resume=True)
    assert again.training["resumed"] and same_weights(whole, again)
    assert again.training["steps"] == whole.training["steps"]
    if method == "dense":
        # All but the summary, which the Trainer writes when the last checkpoint is there.
        assert again.training["history"] == whole.training["history"][:-1]
    else:
        dense = whole.training["dense_stage"]
        assert again.training["dense_stage"]["resumed"]
        assert dense["steps"] < 22 * np.ceil(54 / dense["documents_per_step"])


def test_a_plan_begins_after_a_dense_stage_of_the_same_steps(encoder):
    settings = replace(QUICK, epochs=4)
    dense = trained(encoder, "dense", settings).training
    staged = trained(encoder, "focus-pfc", settings).training
    assert "dense_stage" not in dense
    assert staged["dense_stage"]["steps"] == dense["steps"] * 3 // 4
    assert abs(staged["steps"] - dense["steps"]) <= 1
    assert staged["settings"]["learning_rate"] == settings.learning_rate
    at_once = trained(encoder, "focus-pfc", replace(settings, dense_share=0)).training
    assert "dense_stage" not in at_once


def test_the_learning_rate_falls_on_one_line_over_both_stages():
    settings = replace(QUICK, learning_rate=1e-4, warmup=0.1, dense_share=0.75)
    dense, plan = settings.dense_stage(), settings.plan_stage()
    # From the peak at a tenth of the steps to nothing at the end, the last quarter begins at 25/90.
    left = pytest.approx(1e-4 * 25 / 90)
    assert dense.extra["lr_scheduler_kwargs"]["lr_end"] == left
    assert plan.learning_rate == left
    assert dense.epochs + plan.epochs == settings.epochs
    chosen = replace(settings, extra={"lr_scheduler_type": "cosine"})
    assert chosen.dense_stage().extra == chosen.extra


def test_another_encoder_or_teacher_is_another_run(encoder, tmp_path):
    """Review 2: only whether there was a teacher, and 256 rows of the encoder, told runs apart."""
    logits = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    out = tmp_path / "run"
    trained(encoder, teacher=logits, out=out)
    same = trained(encoder, teacher=logits + 1e-6, out=out, resume=True)
    assert same.training["resumed"]
    for other in ({"teacher": -logits}, {"teacher": logits, "settings": replace(QUICK, seed=3)}):
        with pytest.raises(TrainingError, match="other encoder, teacher"):
            trained(encoder, out=out, resume=True, **other)
    model = AutoModel.from_pretrained(encoder)
    with torch.no_grad():
        model.encoder.layer[-1].output.dense.bias[0] += 0.01
    shutil.copytree(encoder, tmp_path / "other")
    model.save_pretrained(tmp_path / "other")
    with pytest.raises(TrainingError, match="other encoder, teacher"):
        trained(tmp_path / "other", teacher=logits, out=out, resume=True)


def test_steps_are_told_with_their_losses(encoder):
    told = []
    trained(encoder, settings=replace(QUICK, epochs=3), progress=lambda *step: told.append(step))
    # Of many documents, what comes before takes longer than a few seconds, too.
    before = [step for step in told if "training" not in step[0]]
    assert before[0][0] == "tokenising" and before[-1] == ("fitting linear models", 10, 10)
    said, done, totals = zip(*told[len(before) :], strict=True)
    assert [*done] == [*range(1, totals[0] + 1)] and len({*totals}) == 1
    assert said[0] == "training dense" and "validation loss" in said[-1]


def test_two_runs_at_once_do_not_share_an_output(encoder, tmp_path):
    """F17: both succeeded, and the folder held the weights of one and the record of the other."""
    with claimed(tmp_path / "checkpoints"), pytest.raises(OutputError, match="another process"):
        trained(encoder, out=tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("extra", "match"),
    [({"report_to": "tensorboard"}, "report_to.*ensor[Bb]oard"), ({"no_such": 1}, "no_such")],
)
def test_extra_arguments_that_transformers_refuses_are_named(encoder, extra, match, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setattr(
        "transformers.integrations.integration_utils.is_tensorboard_available", lambda: False
    )
    with pytest.raises(TrainingError, match=f"extra arguments .*{match}"):
        trained(encoder, settings=replace(QUICK, extra=extra))


def test_a_run_that_ends_before_its_first_checkpoint_leaves_nothing(encoder, tmp_path):
    """An empty folder of checkpoints made the next run refuse the output."""
    with pytest.raises(Killed):
        trained(encoder, out=tmp_path, progress=killed_after(1))
    assert not any(tmp_path.iterdir())


def test_the_stock_trainer_trains_a_tersely_model(encoder, tmp_path):
    classifier = trained(encoder, method="focus-pfc")
    pairs = zip(*labelled(12), strict=True)
    rows = [{**classifier.tokenizer(text), "labels": LABELS.index(label)} for text, label in pairs]
    arguments = trainer_arguments(QUICK, tmp_path, device="cpu", validate=False)
    arguments.per_device_train_batch_size = 4
    before = classifier.model.head.classifier.weight.detach().clone()
    Trainer(
        classifier.model, arguments, train_dataset=rows, processing_class=classifier.tokenizer
    ).train()
    assert not torch.equal(before, classifier.model.head.classifier.weight)


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1", "cpu"])
def test_the_models_own_device_and_no_other(monkeypatch, tmp_path, device):
    current = []  # of two GPUs as far as transformers can see
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: current.append(str(device)))
    settings = replace(QUICK, mixed_precision=False)
    arguments = trainer_arguments(settings, tmp_path, device=device, validate=False)
    assert arguments.device == torch.device(device)
    assert arguments.n_gpu == (device != "cpu")
    if device == "cpu":
        assert not current
    else:
        # accelerate moves batches to the current one.
        assert arguments.parallel_mode is ParallelMode.NOT_PARALLEL and current[-1] == device


@pytest.mark.parametrize("heads", ["mean", "each"])
def test_degrees_end_as_neighbours_near_the_target(heads, tmp_path):
    encoder = save_encoder(tmp_path / "encoder", num_hidden_layers=2)
    texts, labels = long_documents(60)
    plan = preset("breaking-bert", target=0.5, most=48, heads=heads, start=0)
    classifier = Classifier(encoder, method=plan)
    settings = replace(QUICK, epochs=12, learning_rate=1e-3, batch_tokens=256)
    classifier.fit(texts, labels, settings=settings)
    assert {"dense_stage", "soft_stage"} <= set(classifier.training)
    frozen = classifier.plan.steps[0].act
    assert isinstance(frozen, Neighbours) and len(frozen.widths) == 2
    assert all(isinstance(width, list) == (heads == "each") for width in frozen.widths)
    model = classifier.model
    assert not model.plan.learns and not len(model.learned)
    encoded = classifier.encode(texts[:8])
    with torch.no_grad():
        trace = model(**pack(encoded, range(8)), output_trace=True).trace
    pairs = [each for b in trace.blocks for each in zip(b.connected, b.queries, strict=True)]
    shares = [connected / tokens**2 for connected, tokens in pairs]
    assert sum(shares) / len(shares) == pytest.approx(0.5, abs=0.1)
