"""`tersely accelerate`: a fine-tuned classifier made faster, with proof, or left as it is."""

import json as json_library
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tersely.cli import options as o
from tersely.cli.messages import command_line, plain_table, print_json, say, stdout
from tersely.cli.settings import verb


@verb
def accelerate(
    model: o.TrainedModel,
    data: Annotated[
        str, o.argument("TEXTS", "Documents like those that it will read, as in train.")
    ],
    *,
    reading: o.Judged,
    sample: o.Sample,
    max_disagreement: o.Share = 0.005,
    rounds: o.Count = 5,
    out: o.Out,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    loading: Annotated[o.Loading, ("max_length", "device", "threads")],
) -> None:
    """Make a fine-tuned classifier faster, and prove that it decides as before.

    A linear model answers where it is sure, the same weights with few tokens
    where they are, and the original what is left. Some of the texts fit and
    choose, the others prove (exact bounds, 95 %). 'Keep the original' is one
    of the answers.

    Options:
        max_disagreement: The share of texts that may get another label; with --label-column, of
            those that turn wrong, less those that turn right. [0.5%]
        rounds: How many turns each way to run it takes in the comparison.

    Examples:
        tersely accelerate my-classifier/ texts.csv --out faster/
        tersely accelerate my-classifier/ texts.csv --out faster/ --max-disagreement 1%
    """
    o.check_directory(out, overwrite=overwrite)
    from tersely.accelerate import accelerate as run
    from tersely.accelerate import sentences

    labelled = reading.label_column is not None
    original = loading.load(model)
    labels, problem_type = "required" if labelled else "ignore", original.label_space.problem_type
    documents = sample.single_texts(reading.read(data, labels, problem_type), "accelerate")
    judged = documents.labels if labelled else None
    how = {"limit": max_disagreement, "rounds": rounds, "seed": sample.seed, "tell": say}
    evidence, chosen = run(original, documents.texts, judged, **how)
    out.mkdir(parents=True, exist_ok=True)
    evidence["command"] = command_line()
    if chosen is not None:
        chosen.save(out)
    elif (out / "config.json").exists() and out.resolve() != Path(model).resolve():
        told = "holds the model of an earlier run, of which this evidence does not speak; remove it"
        say(f"{out} {told}", "warning")
    (out / "evidence.json").write_text(json_library.dumps(evidence, indent=1) + "\n", "utf-8")
    if json:
        print_json(evidence)
        return
    kept = "stages that keep the limit where they were chosen"
    table = plain_table(kept, ">times packed, roughly")
    for each in evidence["tried"]:
        table.add_row(Text(each["name"]), f"×{each['seconds_ratio']:.2f}")
    stdout.print(table)
    for line in sentences(evidence):
        typer.echo(line)
    say(f"{out} holds {'the evidence' if chosen is None else 'the model and its evidence'}")
