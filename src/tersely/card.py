"""What a model was measured at, and the model card that lies beside every saved model.

Only what is known is written: no figure that was not measured on this very model. A card that a
user wrote, or changed, is left alone; ours carries a checksum of its own text to tell.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from tersely.errors import warn
from tersely.modeling import TerselyConfig
from tersely.text import LabelSpace
from tersely.text.metrics import ClassReport

_SEAL = "<!-- tersely wrote this card and writes it again while its text is unchanged: {} -->"
_SEALED = re.compile(_SEAL.format(r"([0-9a-f]{64})"))
_TEMPLATE = str(Path(__file__).with_name("card.md.j2"))
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")

_WHAT = {
    "regression": "predicts a number for each document",
    "multi_label_classification": "gives each document any number of labels",
    "single_label_classification": "gives each document one label",
}


@dataclass(frozen=True)
class Evaluation(Mapping[str, float]):
    """What a model was measured at: a mapping of its metrics; no classes where numbers are told."""

    source: str
    documents: int
    metrics: dict[str, float]
    tokens: int  # of all documents together, as are the MACs
    macs: int
    verdict: str | None = None
    classes: ClassReport | None = None
    # Those that were judged, (documents, labels), and who of them was set apart, (documents,).
    logits: np.ndarray | None = field(default=None, repr=False, compare=False)
    apart: np.ndarray | None = field(default=None, repr=False, compare=False)

    def __getitem__(self, metric: str) -> float:
        return self.metrics[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)


def write_card(card: str, part: Path, folder: Path) -> None:
    """Write a model's card into `part`, unless `folder`, where it will go, holds a foreign one."""
    path = folder / "README.md"
    if path.exists():
        text = path.read_text(encoding="utf-8", errors="replace")
        found = _SEALED.search(text)
        if found is None or found[1] != _checksum(_SEALED.sub("", text)):
            warn(
                f"{path} was not written by tersely, or was changed since, and is kept as it is; "
                "remove it to get a card that describes the saved model",
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
    training: Mapping[str, Any] | None = None,
    evaluation: Evaluation | str | None = None,
) -> str:
    """Make the card of a trained model: metadata of the Hub as YAML, then the text, then the seal.

    The encoder that it began as is named if that is a name of the Hub; a directory is not, since
    its path says nothing elsewhere.
    """
    plan, cascade = config.reduction_plan(), config.cascade_stages()
    origin = getattr(config.encoder_config, "_name_or_path", None) or ""
    base = origin if _HUB_NAME.fullmatch(origin) and not Path(origin).exists() else None
    labels = () if space.problem_type == "regression" else space.names
    source, results = getattr(evaluation, "source", None), []
    of = {"task_type": "text-classification", "dataset_type": source, "dataset_name": source}
    for metric, value in getattr(evaluation, "metrics", {}).items():
        if value == value:
            results.append(EvalResult(metric_type=metric, metric_value=round(value, 6), **of))
    regression = ["regression"] if space.problem_type == "regression" else []
    metadata = ModelCardData(
        library_name="tersely",
        pipeline_tag="text-classification",
        tags=["tersely", "token-reduction", plan.name, *regression],
        base_model=base,
        model_name=name if results else None,
        eval_results=results or None,
    )
    encoder, stages = config.encoder_config, () if cascade is None else cascade.stages
    facts = {"name": name, "base": base, "family": encoder.model_type, "labels": labels}
    facts |= {"blocks": encoder.num_hidden_layers, "what": _WHAT[space.problem_type]}
    facts |= {"limit": limit, "long": config.long, "plan": plan.name, "training": training}
    facts |= {"steps": [describe_step(step) for step in plan.to_dict()["steps"]]}
    facts |= {"stages": [stage.name for stage in stages], "evaluation": evaluation}
    facts |= {"proven": [] if cascade is None else cascade.lines()}
    text = str(ModelCard.from_template(metadata, template_path=_TEMPLATE, **facts))
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
