"""`tersely train`: from labelled documents to a model directory."""

from __future__ import annotations

import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Literal

import typer

from tersely.cli import options as o
from tersely.cli.messages import count, print_json, progress, say
from tersely.cli.settings import Rare, split_pair, verb
from tersely.errors import TerselyWarning, name_all
from tersely.training.settings import TrainingSettings


@verb
def train(
    data: o.TrainingData,
    *,
    reading: o.Columns,
    validation: o.Data = None,
    model: o.Name = None,
    max_length: o.Length = None,
    long: o.Long = None,
    revision: Rare[str | None] = None,
    head: Rare[str] = "auto",
    method: Annotated[str, {"metavar": "NAME"}] = "dense",
    method_option: Annotated[tuple[str, ...], {"metavar": "NAME=VALUE"}] = (),
    plan: Annotated[Path | None, {"metavar": "FILE.json"}] = None,
    target_flops: Annotated[float | None, {"metavar": "R"}] = None,
    teacher: o.Model = None,
    settings: TrainingSettings,
    cascade: Literal["auto", "off"] = "auto",
    max_loss: o.Share = 0.01,
    stacking: bool = True,
    resume: bool = False,
    out: o.Out,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    machine: o.Machine,
) -> None:
    """Train a classifier on labelled documents.

    First a linear model is fitted and measured. With the encoder it then forms
    a cascade, which held-out documents prove if there are enough of them.

    Options:
        validation: Documents that select the best epoch, in DATA's formats. [a stratified tenth]
        model: The encoder to start from: a Hub name or a directory. [bert-base-uncased]
        max_length: Maximum tokens of a document or window. [the encoder's, at most 512]
        long: What to read of longer documents: truncate, head-tail, windows, select or
            select-sentence. [truncate, or what MODEL was saved with]
        revision: The branch, tag or commit of a Hub model.
        head: The classification head: mean (of the tokens), family (its own) or auto.
        method: The token reduction method; 'tersely methods' lists them.
        method_option: An option of the method, such as keep=0.8; repeatable.
        plan: Your own reduction plan, instead of --method.
        target_flops: The target share of the dense model's MACs; sets the method's share or block.
        teacher: A trained model with the same labels to distil from.
        cascade: Whether earlier stages may answer if they are confident: auto or off.
        max_loss: The share of right answers that a cascade may lose, net. [1%]
        stacking: Add the linear stage's evidence to the encoder's if that helps. [yes]
        resume: Continue an interrupted run in --out.

    Examples:
        tersely train reviews.csv --out model/
        tersely train reviews.csv --out model/ --method focus-pf --method-option keep=0.8
        tersely train reviews.csv --out model/ --resume
    """
    from tersely.classifier import Classifier
    from tersely.defaults import DEFAULT_MODEL, default_model
    from tersely.reduction import Plan, preset, read_options
    from tersely.text import LabelSpace

    if plan is None:
        given = ((name.replace("-", "_"), text) for name, text in map(split_pair, method_option))
        options = read_options(method, dict(given))
        preset(method, **options)  # a wrong one is refused before anything is read
        told = {"method": method, "method_options": options, "target_flops": target_flops}
    elif method != "dense" or method_option or target_flops is not None:
        raise typer.BadParameter(
            "--plan replaces --method, --method-option and --target-flops; leave those out"
        )
    else:
        told = {"method": Plan.from_file(plan)}
    o.check_directory(out, overwrite=overwrite, resume=resume)
    documents = reading.read(data, "required")
    space = LabelSpace.infer(documents.labels, reading.problem_type)
    several = ", any number a document" * (space.problem_type == "multi_label_classification")
    labels = f"{len(space.names)} labels{several}: {name_all(space.names, limit=6)}"
    labels = "regression" if space.problem_type == "regression" else labels
    say(f"{o.describe(documents)}; {labels}")
    told |= {} if revision is None else {"revision": revision}
    source, note = (model or DEFAULT_MODEL, None) if model or revision else default_model()
    if model is None:
        say(f"{note or f'training starts from {source}'}; --model names another")
    told |= {"max_length": max_length, "long": long, "head": head}
    told |= {"problem_type": reading.problem_type, "device": machine.device}
    classifier = Classifier(source, **told)
    held_out, judges = 0.1, "a tenth of the documents"
    if validation is not None:
        held_out = reading.read(validation, "required")
        judges = f"{len(held_out):,} other documents"
    say(f"training on {classifier.device}, method {classifier.plan.name}; validating on {judges}")
    guide = teacher and Classifier.from_pretrained(teacher, device=machine.device)
    if resume and not (out / "checkpoints").is_dir():
        say(f"nothing to resume in {out}; training starts from the beginning")
    how = {"validation": held_out, "settings": settings, "teacher": guide, "out": out}
    how |= {"cascade": cascade, "max_loss": max_loss, "stacking": stacking, "tell": say}
    try:
        # The Trainer and its reporting tools write to standard output, which is for data.
        with progress("training") as bar, redirect_stdout(sys.stderr):
            classifier.fit(documents, resume=resume, progress=bar.show, **how)
    except KeyboardInterrupt:
        saved = any((out / "checkpoints").rglob("trainer_state.json"))
        after = "continue from the last checkpoint by adding --resume to the command"
        say(f"interrupted; {after if saved else 'before the first checkpoint was saved'}")
        raise typer.Exit(130) from None
    judged = "validation" if classifier.proof is None else "proof"
    documents = getattr(classifier, judged)
    # `fit` has said already which documents are too long.
    unsaid = warnings.catch_warnings(action="ignore", category=TerselyWarning)
    with unsaid, progress("evaluating") as bar:
        evaluation = classifier.evaluate(documents, progress=bar.show)
    record, metrics = classifier.training, evaluation.metrics
    record["verdict"] = evaluation.verdict
    classifier.save(out, evaluation=evaluation)
    told = {name: record[name] for name in ("steps", "seconds", "documents", "resumed", "verdict")}
    found = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
    took = f"{count(told['steps'], 'step')} in {told['seconds']:.0f} s"
    say(f"{out} holds the model after {took}; on {judged} documents: {found}")
    say(evaluation.verdict)
    if json:
        metrics = {"loss": record["best_validation_loss"]} | metrics
        print_json({"out": out, "metrics": metrics} | told)
