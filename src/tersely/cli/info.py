"""`tersely info`, what a trained model is, and `tersely methods`, what there is to train with."""

from typing import Any

from rich.text import Text

from tersely._io import plain_table
from tersely.cli import options as o
from tersely.cli.messages import print_json, stdout
from tersely.cli.settings import verb


@verb
def info(model: o.TrainedModel, *, json: o.Json = False) -> None:
    """Show a trained model: its encoder, labels, limits, and what happens at each block.

    Examples:
        tersely info model/
    """
    from tersely.card import describe_step
    from tersely.classifier import Classifier

    classifier = Classifier.from_pretrained(model, device="cpu")
    config, encoder = classifier.model_config, classifier.model_config.encoder_config
    size = f"{encoder.num_hidden_layers} blocks, width {encoder.hidden_size}"
    facts: dict[str, Any] = {"encoder": f"{encoder.model_type}, {size}"}
    if classifier.model is None:
        facts["export"] = f"ONNX, {classifier.dtype_name}"
    else:
        facts["parameters"] = sum(part.numel() for part in classifier.model.parameters())
    steps = (describe_step(step) for step in classifier.plan.to_dict().get("steps", []))
    facts |= {"method": classifier.plan.name, "steps": [step.replace("`", "") for step in steps]}
    facts |= {"head": config.head, "problem_type": classifier.label_space.problem_type}
    facts |= {"labels": list(classifier.label_space.names), "max_length": classifier.limit}
    facts["long"] = config.long
    cascade = config.cascade_stages()
    if cascade is not None:
        told = {s.name: f" (evidence × {s.weight:.2f})" * bool(s.weight) for s in cascade.stages}
        facts["cascade"] = list(map("".join, told.items()))
        facts["certified"] = cascade.lines()
    if json:
        print_json(facts)
        return
    table = plain_table(show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in facts.items():
        if isinstance(value, list):
            value = ("\n" if name in ("steps", "certified") else ", ").join(value) or "none"
        told = f"{value:,}" if name == "parameters" else str(value)
        table.add_row(name.replace("_", " "), Text(told))  # a label such as [spam] is no markup
    stdout.print(table)


@verb
def methods(json: o.Json = False) -> None:
    """List the token reduction methods and their options.

    Examples:
        tersely methods
    """
    from tersely.reduction import find_preset, presets

    found = {
        each.name: {"summary": each.summary, "options": each.options, "measured": each.is_measured}
        for each in map(find_preset, presets())
    }
    if json:
        print_json(found)
        return
    table = plain_table(padding=(0, 2, 1, 0))
    table.add_column("method", no_wrap=True)
    table.add_column("what it does, and its options for --method-option")
    for name, about in found.items():
        options = (
            f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in about["options"].items()
        )
        note = "" if about["measured"] else " Not measured yet."
        table.add_row(name, f"{about['summary']}{note}\n[dim]{' '.join(options)}[/dim]")
    stdout.print(table)
