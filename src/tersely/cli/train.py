"""`tersely train`: from labelled documents to a model directory."""

from __future__ import annotations

import sys
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from tersely.cli import options as o
from tersely.cli.messages import count, print_json, say
from tersely.cli.settings import Rare, is_given, split_pair, verb
from tersely.errors import TerselyWarning
from tersely.training.settings import TrainingSettings

if TYPE_CHECKING:
    from tersely.classifier import Classifier
    from tersely.text import LabelSpace


@dataclass(frozen=True)
class Validation:
    """What the best epoch is chosen by.

    Attributes:
        validation: Documents to choose the best epoch by, as DATA. [a stratified tenth]
    """

    panel: ClassVar = "Data"
    validation: o.Data = None


@dataclass(frozen=True)
class Encoder:
    """The encoder to start from, and what it reads of a document.

    Attributes:
        model: The encoder to start from: a Hub name or a directory. [bert-base-uncased]
        max_length: Most tokens of a document or window. [the encoder's, at most 512]
        long: What to read of longer documents: truncate, head-tail or windows. [truncate, or what
            MODEL was saved with]
        revision: The branch, tag or commit of a Hub model.
        head: The classifier on top: mean (of the tokens), family (its own) or auto.
    """

    panel: ClassVar = "Model"
    model: o.Name = None
    max_length: o.Length = None
    long: o.Long = None
    revision: Rare[str | None] = None
    head: Rare[str] = "auto"

    def classifier(self, **told: Any) -> Classifier:
        """Return a classifier that is not trained yet."""
        from tersely.classifier import DEFAULT_MODEL, Classifier
        from tersely.defaults import default_model

        source = self.model or DEFAULT_MODEL
        if self.model is None and self.revision is None:
            source, note = default_model()
            if note is not None:
                say(note)
        if self.revision is not None:
            told["revision"] = self.revision
        reading = {"max_length": self.max_length, "long": self.long, "head": self.head}
        return Classifier(source, **reading, **told)


@dataclass(frozen=True)
class Reduction:
    """How the model reduces tokens, and who teaches it.

    Attributes:
        method: The method of token reduction; 'tersely methods' lists them.
        method_option: An option of the method, such as keep=0.8; repeatable.
        plan: A reduction plan of your own, in place of --method.
        target_flops: The target: MACs ÷ the dense model's; it sets the method's share or block.
        teacher: A trained model of the same labels to distil from.
    """

    panel: ClassVar = "Method"
    method: Annotated[str, {"metavar": "NAME"}] = "topk"
    method_option: Annotated[tuple[str, ...], {"metavar": "NAME=VALUE"}] = ()
    plan: Annotated[Path | None, {"metavar": "FILE.json"}] = None
    target_flops: Annotated[float | None, {"metavar": "R"}] = None
    teacher: o.Model = None

    def arguments(self, ctx: typer.Context) -> dict[str, Any]:
        """Return what a `Classifier` is told: a preset and its options, or a plan's file."""
        from tersely.reduction import Plan, preset

        if self.plan is None:
            options = method_options(self.method, self.method_option)
            preset(self.method, **options)  # a wrong one is refused before anything is read
            told = {"method": self.method, "method_options": options}
            return told | {"target_flops": self.target_flops}
        if is_given(ctx, "method") or self.method_option or self.target_flops is not None:
            raise typer.BadParameter(
                "--plan stands in place of --method, --method-option and --target-flops"
            )
        return {"method": Plan.from_file(self.plan)}


def method_options(method: str, given: tuple[str, ...]) -> dict[str, object]:
    """Return the options of a preset, in the types of their defaults.

    Raises:
        PlanError: for a preset that there is not.

    Example:
        >>> method_options("focus-c", ("combine_at=7/12", "tokens=4"))["tokens"]
        4
    """
    from tersely.reduction import preset_options

    defaults = preset_options(method)
    values: dict[str, object] = {}
    for name, text in (split_pair(each, "--method-option") for each in given):
        name = name.replace("-", "_")
        default = defaults.get(name)  # one that there is not is refused by the preset itself
        if isinstance(default, bool):
            values[name] = {"true": True, "false": False}.get(text.lower())
        elif isinstance(default, (int, float)):
            values[name] = _number(text)
        else:
            values[name] = text
        if values[name] is None:
            what = "true or false" if isinstance(default, bool) else f"a number, as {default:.3g}"
            raise typer.BadParameter(
                f"{name} must be {what}, got {text!r}", param_hint="--method-option"
            )
    return values


def _number(text: str) -> float | None:
    """Return a number, whole if it is written so; places in the depth are fractions: 7/12."""
    over, slash, under = text.partition("/")
    try:
        return int(text) if text.lstrip("-").isdigit() else float(over) / float(under or 1)
    except (ValueError, ZeroDivisionError):
        return None


@dataclass(frozen=True)
class Run:
    """Where a run starts.

    Attributes:
        resume: Go on with an interrupted run in --out.
    """

    resume: bool = False


@verb
def train(
    ctx: typer.Context,
    data: o.TrainingData,
    *,
    reading: o.Labelled,
    held_out: Validation,
    encoder: Encoder,
    reduction: Reduction,
    settings: TrainingSettings,
    run: Run,
    out: o.Out,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    machine: o.Machine,
) -> None:
    """Train a classifier on labelled documents."""
    from tersely.text import LabelSpace

    told = reduction.arguments(ctx)
    o.check_directory(out, overwrite=overwrite, resume=run.resume)
    documents = reading.read(data)
    space = LabelSpace.infer(documents.labels, reading.problem_type)
    say(f"{o.describe(documents)}; {_describe(space)}")
    classifier = encoder.classifier(
        problem_type=reading.problem_type, device=machine.device, **told
    )
    validation, judges = 0.1, "a tenth of the documents"
    if held_out.validation is not None:
        validation = reading.read(held_out.validation)
        judges = f"{len(validation):,} others"
    say(
        f"training {Path(classifier.source).name} with {classifier.plan.name} on "
        f"{classifier.device}, validating on {judges}"
    )
    teacher = None
    if reduction.teacher is not None:
        teacher = type(classifier).from_pretrained(reduction.teacher, device=machine.device)
    if run.resume and not (out / "checkpoints").is_dir():
        say(f"there is nothing to resume in {out}, so training starts from the beginning")
    try:
        # The Trainer and its reporting tools write to standard output, which is for data.
        with redirect_stdout(sys.stderr):
            classifier.fit(
                documents,
                validation=validation,
                settings=settings,
                teacher=teacher,
                out=out,
                resume=run.resume,
                progress=sys.stderr.isatty(),
            )
    except KeyboardInterrupt:
        saved = any((out / "checkpoints").glob("*/checkpoint-*/trainer_state.json"))
        after = "the same command with --resume goes on from the last checkpoint"
        say(f"interrupted; {after if saved else 'before the first checkpoint was saved'}")
        raise typer.Exit(130) from None
    with warnings.catch_warnings():
        # `fit` has said already which documents are too long.
        warnings.simplefilter("ignore", TerselyWarning)
        evaluation = classifier.evaluate(classifier.validation)
    if held_out.validation is None:
        source = f"{evaluation.source}, a part set apart for validation"
        evaluation = replace(evaluation, source=source)
    classifier.save(out, evaluation=evaluation)
    _report(out, classifier, evaluation.metrics, as_json=json)


def _describe(space: LabelSpace) -> str:
    if space.problem_type == "regression":
        return "regression"
    names = ", ".join(space.names[:6]) + (", …" if len(space.names) > 6 else "")
    return f"{space.problem_type}, {len(space.names)} labels: {names}"


def _report(out: Path, classifier: Classifier, metrics: dict[str, float], *, as_json: bool) -> None:
    record: dict[str, Any] = classifier.training or {}
    loss, seconds, steps = (record[name] for name in ("best_validation_loss", "seconds", "steps"))
    found = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
    say(
        f"{out} holds the model after {count(steps, 'step')} in {seconds:.0f} s; "
        f"validation: loss {loss:.3f}, {found}"
    )
    if as_json:
        told = {name: record[name] for name in ("steps", "seconds", "documents", "resumed")}
        print_json({"out": out, "metrics": {"loss": loss} | metrics} | told)
