"""The search for settings: its trials, what it keeps, what a kill costs, and what it refuses."""

import functools
import json
import sys
from dataclasses import replace

import pytest
from training_kills import Killed, killed_after

from tersely import Classifier, TrainingSettings
from tersely.errors import MissingExtraError, OutputError, TrainingError
from tersely.training import fit as fitting
from tersely.training import stages
from tersely.training.tuning import FACTORS, Tuning
from words import documents, same_weights

optuna = pytest.importorskip("optuna")

# Dropout makes random numbers matter; the epochs are given, and so not varied.
QUICK = TrainingSettings(epochs=4, batch_tokens=256, dropout=0.1, seed=1)
TUNED = replace(QUICK, tune=3)


def trained(encoder, settings=TUNED, method="dense", **options):
    options = {"validation": 0.3, "cascade": "off"} | options
    classifier = Classifier(encoder, method=method, device="cpu")
    return classifier.fit(documents(), settings=settings, **options)


def outcomes(classifier):
    rows = json.loads(json.dumps(classifier.training["tuning"]["trials"], default=float))
    return [{name: row[name] for name in row if name != "seconds"} for row in rows]


@pytest.mark.parametrize("best_by", ["loss", "accuracy"])
def test_the_best_trial_is_kept_as_a_run_with_its_settings_is(encoder, best_by):
    settings, lines = replace(TUNED, best_by=best_by), []
    found = trained(encoder, settings, tell=lines.append)
    tuning = found.training["tuning"]
    rows = tuning["trials"]
    choose = min if best_by == "loss" else max
    best = next(row for row in rows if row["value"] == choose(row["value"] for row in rows))
    assert tuning["best"] == best["trial"]
    again = trained(encoder, replace(QUICK, best_by=best_by, **best["settings"]))
    assert same_weights(found, again)
    if best_by == "accuracy":
        assert found.evaluate(found.validation)["accuracy"] == pytest.approx(best["value"])
    assert found.training["settings"]["learning_rate"] == best["settings"]["learning_rate"]
    assert all(line.startswith(f"trial {n} of 3: ") for n, line in enumerate(lines[:3], 1))
    assert "s left" in lines[0] and "s left" not in lines[2]
    assert found.training["lines"] == [lines[3]] == [tuning["verdict"]]
    json.dumps(found.training, default=float)


def test_the_recipe_comes_first_and_the_others_lie_around_it(encoder):
    rows = trained(encoder).training["tuning"]["trials"]
    recipe = trained(encoder, QUICK).training["settings"]
    first, *others = (row["settings"] for row in rows)
    assert set(first) == set(FACTORS) - {"epochs"}
    assert first == {name: recipe[name] for name in first}
    for drawn in others:
        assert drawn != first and isinstance(drawn["batch_documents"], int)
        for name, value in drawn.items():
            assert 1 / FACTORS[name] <= value / first[name] <= FACTORS[name]
    assert same_weights(trained(encoder, replace(QUICK, tune=1)), trained(encoder, QUICK))


@pytest.mark.parametrize(
    ("method", "steps", "where"),
    [
        ("focus-pf", 7, "of 3, training focus-pf"),
        ("dense", 17, "trial 2"),
        ("dense", 45, "trial 3"),
    ],
)
def test_a_killed_search_goes_on_where_it_was(encoder, tmp_path, method, steps, where):
    settings = replace(TUNED, dense_share=0.5 if method == "focus-pf" else None)
    run = functools.partial(trained, encoder, settings, method)
    with pytest.raises(Killed, match=where):
        run(out=tmp_path, progress=killed_after(steps))
    resumed, whole = run(out=tmp_path, resume=True), run()
    assert outcomes(resumed) == outcomes(whole) and same_weights(resumed, whole)
    # Of the checkpoints, those of the best one stay, until the model is saved.
    kept = [folder.name for folder in (tmp_path / "checkpoints" / "trials").glob("*/")]
    assert kept == [str(resumed.training["tuning"]["best"])]
    resumed.save(tmp_path)
    assert not (tmp_path / "checkpoints").exists()


def test_a_search_may_be_made_longer_and_another_run_is_not_resumed(encoder, tmp_path):
    short = trained(encoder, replace(QUICK, tune=2), out=tmp_path)
    longer = trained(encoder, out=tmp_path, resume=True)
    assert outcomes(longer)[:2] == outcomes(short) and len(outcomes(longer)) == 3
    assert outcomes(longer) == outcomes(trained(encoder))
    with pytest.raises(TrainingError, match="checkpoints of another run"):
        trained(encoder, replace(TUNED, seed=2), out=tmp_path, resume=True)
    anew = trained(encoder, replace(TUNED, seed=2), out=tmp_path)
    assert outcomes(anew) == outcomes(trained(encoder, replace(TUNED, seed=2)))


def test_a_search_that_ends_before_its_first_checkpoint_leaves_nothing(encoder, tmp_path):
    with pytest.raises(Killed):
        trained(encoder, out=tmp_path, progress=killed_after(1))
    assert not any(tmp_path.iterdir())
    mine = tmp_path / "checkpoints" / "trials" / "mine"
    mine.mkdir(parents=True)
    with pytest.raises(OutputError, match="holds other files"):
        trained(encoder, out=tmp_path)
    assert mine.is_dir()


def test_a_trial_that_lags_behind_ends_early(encoder, tmp_path, monkeypatch):
    lags = lambda trial: trial.number == 1  # noqa: E731
    monkeypatch.setattr(optuna.trial.Trial, "should_prune", lags)
    lines = []
    found = trained(encoder, out=tmp_path, tell=lines.append)
    first, second, _ = found.training["tuning"]["trials"]
    assert [quarter for quarter, _ in first["curve"]] == [1, 2, 3, 4]
    assert [quarter for quarter, _ in second["curve"]] == [1] and second["value"] is None
    assert "trial 2 of 3: ended early, behind the median" in lines[1]
    assert not (tmp_path / "checkpoints" / "trials" / "2").exists()


def test_a_draw_that_cannot_be_trained_is_passed_over(encoder, monkeypatch):
    def fails_at(number):
        calls, original = [], stages.train_model

        def train_model(*args, **options):
            calls.append(args)
            if len(calls) == number:
                raise TrainingError("the loss became nan at step 1")
            return original(*args, **options)

        monkeypatch.setattr(stages, "train_model", train_model)

    fails_at(2)
    rows = trained(encoder).training["tuning"]["trials"]
    assert [row.get("ended") for row in rows] == [None, "the loss became nan at step 1", None]
    monkeypatch.undo()
    fails_at(1)
    with pytest.raises(TrainingError, match="nan at step 1"):
        trained(encoder)


def test_documents_that_prove_take_no_part(encoder, monkeypatch):
    seen, run = [], Tuning.run
    monkeypatch.setattr(Tuning, "run", lambda self, *args: seen.append(args) or run(self, *args))
    monkeypatch.setattr(fitting, "PROVABLE", 50)
    classifier = Classifier(encoder, device="cpu")
    settings = replace(QUICK, tune=1, epochs=1)
    classifier.fit(documents(100), settings=settings, validation=0.3)
    ((_, train, held_out),) = seen
    assert len(train) + len(held_out) == 100 - len(classifier.proof) and len(classifier.proof)


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        ({}, {"validation": 0}, "tune needs validation documents, got none"),
        ({"learning_rate": 1e-3, "head_factor": 1.0, "batch_documents": 8}, {}, "all of them"),
    ],
)
def test_what_cannot_be_searched_is_refused(encoder, settings, options, message):
    with pytest.raises(TrainingError, match=message):
        trained(encoder, replace(TUNED, **settings), **options)


def test_without_optuna_the_extra_is_named(encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"pip install '.\[tune\]'"):
        trained(encoder)
