"""What a model was measured at, and the model card that lies beside every saved model.

Only what is known is written: no figure that was not measured on this very model. A card that a
user wrote, or changed, is left alone; ours carries a checksum of its own text to tell.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from tersely.errors import TerselyWarning
from tersely.modeling import TerselyConfig
from tersely.text import LabelSpace

_SEAL = "<!-- tersely wrote this card and writes it again while its text is unchanged: {} -->"
_SEALED = re.compile(_SEAL.format(r"([0-9a-f]{64})"))
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_LABELS = 50  # named in the card

_WHAT = {
    "regression": "predicts a number for a document",
    "multi_label_classification": "gives a document any number of labels",
    "single_label_classification": "gives a document one label",
}

_TEMPLATE = """---
{{ card_data }}
---

# {{ name }}

A {{ family }} encoder of {{ blocks }} blocks{% if base %}, from `{{ base }}`,{% endif %} that \
{{ what }}.

It reads at most {{ limit }} tokens of a document at once; longer ones: `{{ long }}`.
{% if labels %}
Labels: {% for label in labels %}`{{ label }}`{{ ", " if not loop.last }}{% endfor %}\
{% if more %}, and {{ more }} more{% endif %}.
{% endif %}
## Method

`{{ plan }}`{% if steps %}, a plan of tersely:

{% for step in steps %}- {{ step }}
{% endfor %}{% else %}: nothing is removed.
{% endif %}
## Use

With tersely installed (in its checkout: `pip install .`):

```python
from tersely import Classifier

classifier = Classifier.from_pretrained("{{ name }}/")
classifier.predict(["a document"])
```

or with transformers, once `import tersely` has made the model known to it:

```python
import tersely
from transformers import pipeline

classify = pipeline("text-classification", model="{{ name }}/")
```
{% if facts %}
## Training

{{ facts | join(", ") }}; all settings stand in `training.json`.
{% endif %}
## Figures
{% if evaluation is none %}
This model was not evaluated before it was saved; nothing is known of its quality and its speed.
{% else %}
On {{ "{:,}".format(evaluation.documents) }} documents of `{{ evaluation.source }}`:

| metric | value |
|---|---|
{% for metric, value in evaluation.items() %}| {{ metric }} | {{ "%.4f" % value }} |
{% endfor %}
## Speed

On the same documents:

| figure | value |
|---|---|
{% for figure, value in evaluation.speed() %}| {{ figure }} | {{ value }} |
{% endfor %}
{{ evaluation.conditions() }} What else the machine did is in these figures; `tersely bench` \
compares models with each other.
{% endif %}"""


@dataclass(frozen=True)
class Evaluation(Mapping[str, float]):
    """What a model was measured at: a mapping of its metrics, and the time of one pass.

    `tokens` and `macs` are those of all documents together, `tokenising` and `running` seconds. One
    pass, with whatever else the machine was doing, is no comparison; it tells a reader of the card
    what to expect.
    """

    source: str
    documents: int
    metrics: dict[str, float]
    tokens: int
    macs: int
    tokenising: float
    running: float
    batch_tokens: int
    device: str
    numbers: str
    machine: dict[str, Any]

    def __getitem__(self, metric: str) -> float:
        return self.metrics[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    def speed(self) -> list[tuple[str, str]]:
        """Return what a table says of the speed: names and figures."""
        count = max(1, self.documents)
        seconds = max(self.tokenising + self.running, 1e-9)
        return [
            ("documents a second", f"{self.documents / seconds:,.1f}"),
            ("ms a document", f"{1000 * seconds / count:.2f}"),
            ("of which tokenising", f"{1000 * self.tokenising / count:.2f}"),
            ("tokens a document", f"{self.tokens / count:,.0f}"),
            ("MACs a document", f"{self.macs / count:.3g}"),
        ]

    def conditions(self) -> str:
        """Return a sentence that says what the speed was measured on."""
        machine, versions = self.machine, self.machine["versions"]
        cpu = f"{machine['cpu']}, {machine['threads']} threads"
        where = machine["gpu"] if self.device == "cuda" else cpu
        names = ("tersely", "torch", "transformers", "onnxruntime")
        libraries = ", ".join(f"{name} {versions[name]}" for name in names if versions[name])
        return (
            f"One pass in packed batches of at most {self.batch_tokens:,} tokens, {self.numbers}, "
            f"on {where}; {libraries}."
        )


def write_card(card: str, part: Path, folder: Path) -> None:
    """Write a model's card into `part`, unless `folder`, where it will go, holds a foreign one."""
    path = folder / "README.md"
    if path.exists():
        text = path.read_text(encoding="utf-8", errors="replace")
        found = _SEALED.search(text)
        if found is None or found[1] != _checksum(_SEALED.sub("", text)):
            warnings.warn(
                f"{path} was not written by tersely, or was changed since, and is kept as it is; "
                "remove it to get a card that describes the saved model",
                TerselyWarning,
                stacklevel=3,
            )
            return
    (part / path.name).write_text(card, encoding="utf-8")


def _checksum(text: str) -> str:
    return hashlib.sha256(text.strip().encode()).hexdigest()


def model_card(
    name: str,
    config: TerselyConfig,
    space: LabelSpace,
    *,
    limit: int,
    origins: Iterable[str] = (),
    training: Mapping[str, Any] | None = None,
    evaluation: Evaluation | None = None,
) -> str:
    """Make the card of a trained model: metadata of the Hub as YAML, then the text, then the seal.

    Of the origins of its encoder, the first that is a name of the Hub is written down; a directory
    is not, since its path says nothing elsewhere.
    """
    plan = config.reduction_plan()
    base = next((o for o in origins if _HUB_NAME.fullmatch(o) and not Path(o).exists()), None)
    labels = () if space.problem_type == "regression" else space.names
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type=evaluation.source,
            dataset_name=evaluation.source,
            metric_type=metric,
            metric_value=round(value, 6),
        )
        for metric, value in (evaluation or {}).items()
        if value == value
    ]
    regression = ["regression"] if space.problem_type == "regression" else []
    metadata = ModelCardData(
        library_name="tersely",
        pipeline_tag="text-classification",
        tags=["tersely", "token-reduction", plan.name, *regression],
        base_model=base,
        model_name=name if results else None,
        eval_results=results or None,
    )
    card = ModelCard.from_template(
        metadata,
        template_str=_TEMPLATE,
        name=name,
        base=base,
        family=config.encoder_config.model_type,
        blocks=config.encoder_config.num_hidden_layers,
        what=_WHAT[space.problem_type],
        limit=limit,
        long=config.long,
        labels=labels[:_LABELS],
        more=len(labels[_LABELS:]),
        plan=plan.name,
        steps=[describe_step(step) for step in plan.to_dict().get("steps", [])],
        facts=_facts(training or {}),
        evaluation=evaluation,
    )
    text = str(card)
    return f"{text}\n{_SEAL.format(_checksum(text))}\n"


def describe_step(step: Mapping[str, Any]) -> str:
    """Say what a step of a plan does where, in Markdown, from its form in JSON."""

    def short(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    parts = []
    for part in (step[role] for role in ("act", "score", "select") if step.get(role)):
        settings = (f"{k}={short(v)}" for k, v in part.items() if k != "kind" and v is not None)
        text = ", ".join(settings)
        parts.append(f"`{part['kind']}`" + (f" ({text})" if text else ""))
    where = step.get("blocks")
    if isinstance(where, Mapping):
        ends = where.get("start", 0), where.get("stop", "the last")
        where = " to ".join(map(short, ends))
    return f"at blocks `{short(where)}`: {', '.join(parts)}"


def _facts(record: Mapping[str, Any]) -> list[str]:
    """What the record of a training run says in a few words."""
    facts = [f"{record[name]:,} {name}" for name in ("documents", "steps") if name in record]
    teacher, seed = record.get("teacher"), record.get("settings", {}).get("seed")
    facts += [] if teacher is None else [f"taught by `{teacher}`"]
    return facts + ([] if seed is None else [f"seed {seed}"])
