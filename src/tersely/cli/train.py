"""`tersely train`: from labelled documents to a model directory."""

from __future__ import annotations

import contextlib
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from tersely.classifier import DEFAULT_MODEL, Classifier
from tersely.cli import options as o
from tersely.cli.messages import count, print_json, say
from tersely.cli.method import read_options
from tersely.cli.outputs import check_directory
from tersely.cli.reading import describe, read
from tersely.errors import TerselyWarning
from tersely.reduction import Plan, preset
from tersely.text import Documents, LabelSpace, split_validation
from tersely.training import TrainingSettings

__all__ = ["train"]

_SETTINGS = TrainingSettings()


def train(
    ctx: typer.Context,
    data: o.TrainingData,
    *,
    validation: o.Validation = None,
    text_column: o.TextColumn = None,
    text_pair_column: o.TextPairColumn = None,
    label_column: o.LabelColumn = None,
    label_separator: o.LabelSeparator = None,
    problem_type: o.Problem = None,
    split: o.Split = None,
    model: o.Encoder = None,
    revision: o.Revision = None,
    head: o.HeadKind = o.Head.auto,
    max_length: o.MaxLength = None,
    long: o.LongPolicy = None,
    method: o.Method = "topk",
    method_option: o.MethodOption = None,
    plan: o.PlanFile = None,
    teacher: o.Teacher = None,
    target_flops: o.TargetFlops = None,
    dense_share: o.DenseShare = _SETTINGS.dense_share,
    distillation_weight: o.DistillationWeight = _SETTINGS.distillation_weight,
    temperature: o.Temperature = _SETTINGS.temperature,
    hidden_distillation: o.HiddenDistillation = _SETTINGS.hidden_distillation,
    epochs: o.Epochs = _SETTINGS.epochs,
    learning_rate: o.LearningRate = None,
    batch_tokens: o.StepTokens = _SETTINGS.batch_tokens,
    warmup: o.Warmup = _SETTINGS.warmup,
    weight_decay: o.WeightDecay = _SETTINGS.weight_decay,
    patience: o.Patience = None,
    gradient_checkpointing: o.GradientCheckpointing = False,
    report_to: o.ReportTo = None,
    seed: o.Seed = _SETTINGS.seed,
    resume: o.Resume = False,
    out: o.OutDirectory,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    device: o.Device = "auto",
    config: o.Config = None,
    debug: o.Debug = False,
) -> None:
    """Train a classifier on labelled documents."""
    settings = _settings(ctx)
    reduction = _reduction(ctx)
    check_directory(out, overwrite=overwrite, resume=resume)
    documents = read(ctx, data, labels="required", problem_type=problem_type)
    space = LabelSpace.infer(documents.labels, problem_type)
    say(describe(documents, space))
    classifier = _classifier(ctx, reduction)
    if validation is None:
        documents, held_out = split_validation(documents, seed=seed)
    else:
        held_out = read(ctx, validation, labels="required", problem_type=problem_type)
    say(
        f"training {Path(classifier.source).name} with {classifier.plan.name} on "
        f"{count(len(documents), 'document')}, validating on {len(held_out):,}, on "
        f"{classifier.device}"
    )
    guide = None
    if teacher is not None:
        guide = Classifier.from_pretrained(teacher, device=device)
    _fit(classifier, documents, held_out, settings, guide, out, resume)
    classifier.save(out)
    with warnings.catch_warnings():
        # `fit` has said already which documents are too long.
        warnings.simplefilter("ignore", TerselyWarning)
        metrics = classifier.evaluate(held_out)
    if validation is None:
        source = f"{classifier.evaluation.source}, a part set apart for validation"
        classifier.evaluation = replace(classifier.evaluation, source=source)
    classifier.save_card(out)
    _report(out, classifier, metrics, as_json=json)


def _settings(ctx: typer.Context) -> TrainingSettings:
    """The settings of the same names; those that take several values hold tuples."""
    given = {name: ctx.params[name] for name in TrainingSettings.names() if name in ctx.params}
    return TrainingSettings(**(given | {"report_to": tuple(given["report_to"] or ())}))


def _reduction(ctx: typer.Context) -> dict[str, Any]:
    """What a `Classifier` is told of the reduction: a preset and its options, or a plan's file."""
    values = ctx.params
    method, options = values["method"], values["method_option"] or ()
    if values["plan"] is None:
        chosen = read_options(method, options)
        preset(method, **chosen)  # a wrong one is refused before anything is read
        target = values["target_flops"]
        return {"method": method, "method_options": chosen, "target_flops": target}
    if _is_given(ctx, "method") or options or values["target_flops"] is not None:
        raise typer.BadParameter(
            "--plan stands in place of --method, --method-option and --target-flops"
        )
    return {"method": Plan.from_file(values["plan"])}


def _classifier(ctx: typer.Context, reduction: dict[str, Any]) -> Classifier:
    values = ctx.params
    source = values["model"]
    if source is None:
        source = DEFAULT_MODEL if values["revision"] else _default_model()
    loading = {} if values["revision"] is None else {"revision": values["revision"]}
    return Classifier(
        source,
        max_length=values["max_length"],
        long=values["long"] and str(values["long"]),
        head=str(values["head"]),
        problem_type=values["problem_type"] and str(values["problem_type"]),
        device=values["device"],
        **reduction,
        **loading,
    )


def _default_model() -> str:
    from tersely.defaults import default_model

    model, note = default_model()
    if note is not None:
        say(note)
    return model


def _is_given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _fit(
    classifier: Classifier,
    documents: Documents,
    held_out: Documents,
    settings: TrainingSettings,
    teacher: Classifier | None,
    out: Path,
    resume: bool,
) -> None:
    if resume and not (out / "checkpoints").is_dir():
        say(f"there is nothing to resume in {out}, so training starts from the beginning")
    try:
        # The Trainer and its reporting tools write to standard output, which is for data.
        with contextlib.redirect_stdout(sys.stderr):
            classifier.fit(
                documents,
                validation=held_out,
                settings=settings,
                teacher=teacher,
                out=out,
                resume=resume,
                progress=sys.stderr.isatty(),
            )
    except KeyboardInterrupt:
        saved = any((out / "checkpoints").glob("*/checkpoint-*/trainer_state.json"))
        after = "the same command with --resume goes on from the last checkpoint"
        say(f"interrupted; {after if saved else 'before the first checkpoint was saved'}")
        raise typer.Exit(130) from None


def _report(out: Path, classifier: Classifier, metrics: dict[str, float], *, as_json: bool) -> None:
    record: dict[str, Any] = classifier.training or {}
    loss, seconds, steps = (record[name] for name in ("best_validation_loss", "seconds", "steps"))
    found = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
    say(
        f"{out} holds the model after {count(steps, 'step')} in {seconds:.0f} s; "
        f"validation: loss {loss:.3f}, {found}"
    )
    if as_json:
        print_json(
            {
                "out": out,
                "metrics": {"loss": loss} | metrics,
                "steps": steps,
                "seconds": seconds,
                "documents": record["documents"],
                "resumed": record["resumed"],
            }
        )
