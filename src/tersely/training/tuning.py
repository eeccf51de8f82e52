"""A small search for the settings of a run, judged by its validation documents.

What nobody set is drawn around the recipe's value, the recipe itself first. Each trial is a whole
run from the same weights and seed. optuna draws, and ends a trial early that does worse than the
median of the others did by then. transformers' `hyperparameter_search` was left: it knows one
Trainer and no run of stages, keeps no best model, and cannot go on after a kill.

    checkpoints/trials/run.json     the trials that ended; a resumed search tells optuna of them
    checkpoints/trials/3/plan/      a trial's run; only those of the best and the last one stay
"""

import copy
import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from transformers import TrainerCallback

from tersely._io import written_whole
from tersely.errors import OutputError, TrainingError, name_all, require
from tersely.modeling import TerselyForSequenceClassification as Model
from tersely.training.recipe import with_recipe
from tersely.training.stages import StagedTraining
from tersely.training.trainer import TrainingDocuments

FACTORS = {"learning_rate": 3.0, "head_factor": 3.0, "epochs": 2.0, "batch_documents": 2.0}
"""Up to how many times the recipe's value is tried, and down to which part of it."""

_RUN, _WHOLE = "run.json", ("epochs", "batch_documents")


class Tuning:
    """The trials of a run whose settings ask for some by `tune`; `tell` hears how each ended.

    `rows` are those that ended, as `training.json` lists them, and `best` is one of them.
    """

    def __init__(self, training: StagedTraining, tell: Callable[[str], None]) -> None:
        self.optuna = optuna = require("optuna", "tune")
        self.training, self.settings, self.tell = training, training.settings, tell
        self.better = min if self.settings.best_by == "loss" else max
        self.folder = training.checkpoints and training.checkpoints / "trials"
        self.rows: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(
            direction="minimize" if self.better is min else "maximize",
            sampler=optuna.samplers.TPESampler(seed=self.settings.seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1),
        )

    def run(
        self, model: Model, train: TrainingDocuments, held_out: TrainingDocuments | None
    ) -> tuple[Model, dict[str, Any]]:
        """Return the best trial's model and record, as `StagedTraining.run` does of its one.

        Raises:
            TrainingError: if there is nothing to judge by or to vary, or the recipe cannot train.
        """
        if held_out is None:
            raise TrainingError("tune needs validation documents, got none; hold some out")
        rule = with_recipe(self.settings, train.labels, model.backbone.width)
        free = {n: getattr(rule, n) for n in FACTORS if getattr(self.settings, n) is None}
        if not free:
            raise TrainingError(f"tune varies {name_all(FACTORS)}, got all of them; leave one out")
        given = model, train, held_out
        uniform = self.optuna.distributions.FloatDistribution
        space = {name: uniform(1 / FACTORS[name], FACTORS[name], log=True) for name in free}
        self.study.enqueue_trial(dict.fromkeys(free, 1.0))
        for row in self._ended_before():
            trial = self.study.ask(space)  # which draws what it drew before the kill
            for quarter, value in row["curve"]:
                trial.report(value, quarter)
            self._count(trial, row)
        self._write()
        # Its checkpoint is read, and refused where it is of another run, whose trials these are.
        kept = None if self.best is None else self._train(self.best, given)
        while len(self.rows) < self.settings.tune:
            trial, before = self.study.ask(space), self.best
            drawn = {name: value * trial.params[name] for name, value in free.items()}
            drawn |= {name: round(drawn[name]) for name in _WHOLE if name in drawn}
            row, outcome = self._attempt(trial, drawn, given)
            self._count(trial, row)
            kept, loser = (outcome, before) if self.best is row else (kept, row)
            self._write(without=loser)
            self.tell(self._line(row))
        told = {"best": self.best["trial"], "trials": self.rows, "verdict": self._verdict()}
        return kept[0], kept[1] | {"tuning": told}

    def _attempt(self, trial: Any, drawn: dict[str, float], given: tuple) -> tuple[dict, Any]:
        """Return what is to be known of a trial, and its outcome if it came to its end."""
        by, began, outcome = f"eval_{self.settings.best_by}", time.perf_counter(), None
        row = {"trial": len(self.rows) + 1, "settings": drawn, "value": None}
        judge = _Judge(trial, by)
        try:
            outcome = self._train(row, given, judge)
            values = [log[by] for log in outcome[1]["history"] if by in log]
            if not values or not all(map(math.isfinite, values)):
                raise TrainingError("the validation gave no number to judge by")
            row["value"] = self.better(values)
        except (self.optuna.TrialPruned, TrainingError) as error:
            if not self.rows:  # it is not the draw's fault
                raise
            row["ended"] = str(error)
        row |= {"curve": list(judge.curve.items()), "seconds": time.perf_counter() - began}
        return row, outcome

    def _train(self, row: dict, given: tuple, *callbacks: TrainerCallback) -> tuple[Model, dict]:
        (model, *documents), known = given, given[0].knowledge  # shared: a parser may be too large
        flow = self.training.flow | {"callbacks": callbacks}
        if show := flow.get("progress"):
            which = f"trial {row['trial']} of {self.settings.tune}, "
            flow["progress"] = lambda what, *steps: show(which + what, *steps)
        settings = replace(self.settings, tune=None, **row["settings"])
        folder = self.folder and self.folder / str(row["trial"])
        training = replace(self.training, settings=settings, checkpoints=folder, flow=flow)
        with torch.random.fork_rng(devices=[]):  # every trial begins with the same random numbers
            return training.run(copy.deepcopy(model, {id(known): known}), *documents)

    def _count(self, trial: Any, row: dict[str, Any]) -> None:
        """Tell optuna how a trial ended, and see whether it is the best."""
        states = self.optuna.trial.TrialState
        state = states.PRUNED if row["value"] is None else states.COMPLETE
        self.study.tell(trial, row["value"], state)
        self.rows.append(row)
        if row["value"] is not None:
            self.best = self.better(self.best or row, row, key=lambda each: each["value"])

    def _ended_before(self) -> list[dict[str, Any]]:
        """Return the trials of a search that was killed, if it is to go on."""
        if self.folder is None:
            return []
        known = self.folder / _RUN
        if not known.is_file():
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise OutputError(f"{self.folder} holds other files; name another output")
            return []
        return json.loads(known.read_text("utf-8")) if self.training.flow.get("resume") else []

    def _write(self, without: dict[str, Any] | None = None) -> None:
        """Write down what ended, then remove the checkpoints of what is not the best."""
        if self.folder is None:
            return
        with written_whole(self.folder, "list of trials") as part:
            (part / _RUN).write_text(json.dumps(self.rows, default=float), "utf-8")
        if without is not None:
            shutil.rmtree(self.folder / str(without["trial"]), ignore_errors=True)

    def _line(self, row: dict[str, Any]) -> str:
        """Say how the last trial ended, and about how long the others take."""
        done, total = len(self.rows), self.settings.tune
        left = sum(each["seconds"] for each in self.rows) / done * (total - done)
        best = ", the best so far" if self.best is row else ""
        said = row.get("ended") or f"validation {self.settings.best_by} {row['value']:.4f}{best}"
        return f"trial {done} of {total}: {said}" + (f"; about {left:,.0f} s left" if left else "")

    def _verdict(self) -> str:
        drawn = ", ".join(f"{name}={value:.3g}" for name, value in self.best["settings"].items())
        return (
            f"trial {self.best['trial']} is kept, {drawn}: validation {self.settings.best_by} "
            f"{self.best['value']:.4f} (which chose it), {self.rows[0]['value']:.4f} by the recipe"
        )


class _Judge(TrainerCallback):
    """Tells a trial how its first stage does at each quarter; ends it if it lags behind."""

    def __init__(self, trial: Any, by: str) -> None:
        self.trial, self.by, self.curve = trial, by, {}

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report what is new in the history, where a resumed run has what came before the kill."""
        import optuna

        for log in state.log_history:
            quarter = int(4 * log["epoch"] / args.num_train_epochs)
            if self.by in log and quarter not in self.curve:
                self.curve[quarter] = float(log[self.by])
                self.trial.report(self.curve[quarter], quarter)
        if 4 not in self.curve and self.trial.should_prune():
            raise optuna.TrialPruned("ended early, behind the median of the others")
