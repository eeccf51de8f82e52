"""`tersely info`, what a trained model is, and `tersely methods`, what there is to train with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from tersely.cli import options as o
from tersely.cli.messages import plain_table, print_json, print_table
from tersely.cli.settings import verb

if TYPE_CHECKING:
    from tersely.classifier import Classifier
    from tersely.reduction import Step


@verb
def info(model: o.TrainedModel, *, json: o.Json = False) -> None:
    """Show a trained model: its encoder, labels, limits, and what happens in which block."""
    from tersely.classifier import Classifier

    facts = _facts(Classifier.from_pretrained(model, device="cpu"))
    if json:
        print_json(facts)
        return
    table = plain_table(show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in facts.items():
        if isinstance(value, dict):
            value = "\n".join(f"{key}: {item}" for key, item in value.items())
        elif isinstance(value, list):
            value = ", ".join(value)
        said = f"{value:,}" if isinstance(value, int) else value
        # As text: a label such as [spam] is no markup.
        table.add_row(name.replace("_", " "), Text(said))
    print_table(table)


def _facts(classifier: Classifier) -> dict[str, Any]:
    config = classifier.model_config
    encoder = config.encoder_config
    facts = {
        "encoder": f"{encoder.model_type}, {encoder.num_hidden_layers} blocks, "
        f"width {encoder.hidden_size}",
    }
    if classifier.model is None:
        facts["export"] = f"ONNX, {classifier.dtype_name}"
    else:
        facts["parameters"] = sum(part.numel() for part in classifier.model.parameters())
    return facts | {
        "method": classifier.plan.name,
        "blocks": blocks(classifier),
        "head": config.head,
        "problem_type": classifier.label_space.problem_type,
        "labels": classifier.classes_,
        "max_length": classifier.limit,
        "long": config.long,
    }


def blocks(classifier: Classifier) -> dict[str, str]:
    """What each stretch of blocks does; neighbours that do the same are one stretch."""
    plan = classifier.plan.resolve(classifier.model_config.encoder_config.num_hidden_layers)
    stretches: list[tuple[int, int, str]] = []
    for layer in range(plan.depth):
        said = [_spell(step) for step in plan.at(layer)]
        if layer in plan.patterns:
            said.insert(0, _part(plan.patterns[layer].to_dict()))
        what = "; ".join(said) or "all of the encoder's work"
        if layer in plan.replaced:
            what = f"replaced: {_part(plan.replaced[layer].to_dict())}"
        elif any(layer > block for block in plan.replaced):
            what = "combination tokens only"
        elif layer in plan.skipped:
            what = "left out"
        if stretches and stretches[-1][2] == what:
            stretches[-1] = (stretches[-1][0], layer, what)
        else:
            stretches.append((layer, layer, what))
    said = {"input": "; ".join(map(_spell, plan.inputs))} if plan.inputs else {}
    return said | {
        f"{first}" if first == last else f"{first}-{last}": what for first, last, what in stretches
    }


def _spell(step: Step) -> str:
    parts = (part for part in (step.act, step.score, step.select) if part is not None)
    return ", ".join(_part(part.to_dict()) for part in parts)


def _part(fields: dict[str, Any]) -> str:
    spelt = {name: _value(value) for name, value in fields.items() if name != "kind"}
    settings = [f"{name}={value}" for name, value in spelt.items() if value is not None]
    return fields["kind"] + (f" ({', '.join(settings)})" if settings else "")


def _value(value: Any) -> Any:
    """A setting; the parts of a union are spelt as parts."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return " + ".join(map(_part, value))
    return value


@verb
def methods(json: o.Json = False) -> None:
    """List the methods of token reduction and their options."""
    from tersely.reduction import find_preset, presets

    found = [find_preset(name) for name in presets()]
    if json:
        print_json(
            {
                each.name: {
                    "summary": each.summary,
                    "options": each.options,
                    "measured": each.is_measured,
                }
                for each in found
            }
        )
        return
    table = plain_table(padding=(0, 2, 1, 0))
    table.add_column("method", no_wrap=True)
    table.add_column("what it does, and its options for --method-option")
    for each in found:
        options = " ".join(f"{key}={_short(value)}" for key, value in each.options.items())
        note = "" if each.is_measured else " Not measured yet."
        shown = f"\n[dim]{options}[/dim]" if options else ""
        table.add_row(each.name, each.summary + note + shown)
    print_table(table)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
