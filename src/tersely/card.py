"""The model card that lies beside every saved model: what it is, and how to load it.

Only what is known is written: no figure that was not measured on this very model. A card that a
user wrote, or changed, is left alone; ours carries a checksum of its own text to tell.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from tersely.errors import TerselyWarning
from tersely.speed import Speed

if TYPE_CHECKING:
    from tersely.classifier import Classifier

__all__ = ["NAME", "Evaluation", "is_foreign", "model_card", "place_card"]

NAME = "README.md"

_SEAL = "<!-- tersely wrote this card and writes it again while its text is unchanged: {} -->"
_SEALED = re.compile(_SEAL.format(r"([0-9a-f]{64})"))
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_LABELS = 50  # named in the card


@dataclass(frozen=True)
class Evaluation:
    """What a model was measured at.

    Attributes:
        source: the name of the data.
        documents: how many.
        metrics: figures by name.
        speed: what it took; None if nobody timed it.
    """

    source: str
    documents: int
    metrics: dict[str, float]
    speed: Speed | None = None


def place_card(classifier: Classifier, part: Path, folder: Path) -> None:
    """Write a model's card into `part`, unless `folder` holds one that somebody else wrote.

    Args:
        classifier: the trained model.
        part: where the files of the model are being gathered.
        folder: where they will go.
    """
    if is_foreign(folder / NAME):
        warnings.warn(
            f"{folder / NAME} was not written by tersely, or was changed since, and is kept as it "
            "is; remove it to get a card that describes the saved model",
            TerselyWarning,
            stacklevel=3,
        )
        return
    (part / NAME).write_text(model_card(classifier, folder.resolve().name), encoding="utf-8")


def is_foreign(path: Path) -> bool:
    """Whether a card was written or changed by somebody else."""
    if not path.exists():
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    found = _SEALED.search(text)
    return found is None or found[1] != _checksum(_SEALED.sub("", text))


def _checksum(text: str) -> str:
    return hashlib.sha256(text.strip().encode()).hexdigest()


def model_card(classifier: Classifier, name: str) -> str:
    """The card of a trained model: metadata of the Hub as YAML, then the text, then the seal.

    Args:
        classifier: the model.
        name: what to call it.
    """
    body = "\n\n".join(part for part in _sections(classifier, name) if part)
    text = f"---\n{_metadata(classifier, name).to_yaml()}\n---\n\n{body}\n"
    ModelCard(text)  # refuses metadata that the Hub could not read
    return f"{text}\n{_SEAL.format(_checksum(text))}\n"


def _metadata(classifier: Classifier, name: str) -> ModelCardData:
    regression = classifier.label_space.problem_type == "regression"
    evaluation = classifier.evaluation
    results = None
    if evaluation is not None:
        results = [
            EvalResult(
                task_type="text-classification",
                dataset_type=evaluation.source,
                dataset_name=evaluation.source,
                metric_type=metric,
                metric_value=round(value, 6),
            )
            for metric, value in evaluation.metrics.items()
            if value == value
        ]
    return ModelCardData(
        library_name="tersely",
        pipeline_tag="text-classification",
        tags=["tersely", "token-reduction", classifier.plan.name]
        + (["regression"] if regression else []),
        base_model=_base_model(classifier),
        model_name=name if results else None,
        eval_results=results or None,
    )


def _base_model(classifier: Classifier) -> str | None:
    """The Hub's name of the encoder, None for a directory: its path says nothing elsewhere."""
    config = classifier.model.config.encoder_config
    candidates = (classifier.source if classifier.training is not None else "",
                  getattr(config, "_name_or_path", "") or "")  # fmt: skip
    for name in candidates:
        if _HUB_NAME.fullmatch(name) and not Path(name).exists():
            return name
    return None


def _sections(classifier: Classifier, name: str) -> list[str]:
    return [
        f"# {name}",
        _about(classifier),
        _method(classifier),
        _use(name),
        _training(classifier),
        _metrics(classifier.evaluation),
        _speed(classifier.evaluation),
    ]


def _about(classifier: Classifier) -> str:
    config = classifier.model.config
    encoder, kind = config.encoder_config, classifier.label_space.problem_type
    base = _base_model(classifier)
    what = {
        "regression": "predicts a number for a document",
        "multi_label_classification": "gives a document any number of labels",
    }.get(kind, "gives a document one label")
    lines = [
        f"A {encoder.model_type} encoder of {classifier.model.plan.depth} blocks"
        + (f", from `{base}`," if base else "")
        + f" that {what}.",
        f"It reads at most {classifier.limit} tokens of a document at once; longer ones: "
        f"`{config.long}`.",
    ]
    if kind != "regression":
        named = classifier.classes_[:_LABELS]
        more = len(classifier.classes_) - len(named)
        labels = ", ".join(f"`{label}`" for label in named)
        lines.append(f"Labels: {labels}" + (f", and {more} more." if more else "."))
    return "\n\n".join(lines)


def _method(classifier: Classifier) -> str:
    said = [f"## Method\n\n`{classifier.plan.name}`, a plan of tersely:"]
    steps = classifier.plan.to_dict().get("steps", [])
    if not steps:
        return said[0].removesuffix(", a plan of tersely:") + ": nothing is removed."
    lines = []
    for step in steps:
        parts = [_part(step[role]) for role in ("act", "score", "select") if step.get(role)]
        lines.append(f"- at blocks `{step.get('layers')}`: {', '.join(parts)}")
    return "\n\n".join([*said, "\n".join(lines)])


def _part(fields: dict[str, Any]) -> str:
    settings = ", ".join(f"{key}={value}" for key, value in fields.items() if key != "kind")
    return f"`{fields['kind']}`" + (f" ({settings})" if settings else "")


def _use(name: str) -> str:
    return f"""## Use

With tersely installed (in its checkout: `pip install .`):

```python
from tersely import Classifier

classifier = Classifier.from_pretrained("{name}/")
classifier.predict(["a document"])
```

or with transformers, once `import tersely` has registered the model:

```python
import tersely
from transformers import pipeline

classify = pipeline("text-classification", model="{name}/")
```"""


def _training(classifier: Classifier) -> str:
    record = classifier.training
    if record is None:
        return ""
    facts = [f"{record['documents']:,} documents"] if "documents" in record else []
    if "steps" in record:
        facts.append(f"{record['steps']:,} steps")
    if record.get("teacher") is not None:
        facts.append(f"taught by `{record['teacher']}`")
    if "seed" in record.get("settings", {}):
        facts.append(f"seed {record['settings']['seed']}")
    return f"## Training\n\n{', '.join(facts)}; all settings stand in `training.json`."


def _metrics(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return (
            "## Figures\n\nThis model was not evaluated before it was saved; nothing is known of "
            "its quality and its speed."
        )
    rows = [f"| {metric} | {value:.4f} |" for metric, value in evaluation.metrics.items()]
    head = f"## Figures\n\nOn {evaluation.documents:,} documents of `{evaluation.source}`:"
    return f"{head}\n\n| metric | value |\n|---|---|\n" + "\n".join(rows)


def _speed(evaluation: Evaluation | None) -> str:
    if evaluation is None or evaluation.speed is None:
        return ""
    rows = "\n".join(f"| {name} | {figure} |" for name, figure in evaluation.speed.rows())
    return (
        f"## Speed\n\nOn the same documents:\n\n| figure | value |\n|---|---|\n{rows}\n\n"
        f"{evaluation.speed.sentence()} What else the machine did is in these figures; `tersely "
        "bench` compares models with each other."
    )
