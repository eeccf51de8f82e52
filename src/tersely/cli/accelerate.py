"""`tersely accelerate`: a fine-tuned classifier made faster, with proof, or left as it is."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from tersely.classifier import Classifier
from tersely.cli import options as o
from tersely.cli.messages import command_line, count, print_json, print_table, say
from tersely.cli.outputs import check_directory
from tersely.cli.reading import read_single_texts

if TYPE_CHECKING:
    from tersely.accelerate import Evidence

__all__ = ["accelerate", "read_share"]


def read_share(text: str) -> float:
    """A share written as 0.005 or as 0.5%.

    Example:
        >>> read_share("0.5%"), read_share("0.01")
        (0.005, 0.01)
    """
    try:
        value = float(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        raise typer.BadParameter(f"expected a share such as 0.5%, got {text!r}") from None
    if not 0 < value < 1:
        raise typer.BadParameter(f"expected a share between 0 and 100 %, got {text!r}")
    return value


def accelerate(
    ctx: typer.Context,
    model: o.TrainedModel,
    data: Annotated[
        str,
        typer.Argument(
            metavar="TEXTS", help="Documents like those that it will read, as in train."
        ),
    ],
    *,
    text_column: o.TextColumn = None,
    label_column: Annotated[
        str | None,
        o.option(
            "--label-column",
            "Column of labels: the limit is then on accuracy.",
            o.DATA,
            metavar="COLUMN",
            show_default="labels are not used",
        ),
    ] = None,
    label_separator: o.LabelSeparator = None,
    split: o.Split = None,
    limit: o.Limit = None,
    max_disagreement: Annotated[
        str,
        o.option(
            "--max-disagreement",
            "Share of texts that may get another label (or, with labels, a wrong one where "
            "it was right).",
            o.MEASUREMENT,
            metavar="SHARE",
        ),
    ] = "0.5%",
    train: Annotated[
        str | None,
        o.option(
            "--train",
            "Texts to fine-tune candidates on briefly, the original teaching; no labels.",
            o.TRAINING,
            metavar="DATA",
            show_default="no training",
        ),
    ] = None,
    rounds: o.Rounds = 5,
    threads: o.Threads = None,
    seed: Annotated[
        int,
        o.option(
            "--seed", "Of the draws of --limit and of the two halves.", o.MEASUREMENT, metavar="N"
        ),
    ] = 0,
    out: o.OutDirectory,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    device: o.Device = "auto",
    config: o.Config = None,
    debug: o.Debug = False,
) -> None:
    """Make a fine-tuned classifier faster, and prove that it decides as before.

    What needs no training is tried on your texts and this machine. Half of
    the texts chooses, the other half proves the one choice (exact binomial
    bound, 95 %). 'Keep the original' is one of the answers.
    """
    from tersely.accelerate import accelerate as run
    from tersely.accelerate import remove_older_model

    allowed = read_share(max_disagreement)
    check_directory(out, overwrite=overwrite)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    labels = "ignore" if label_column is None else "required"
    original = Classifier.from_pretrained(model, device=device)
    documents = read_single_texts(
        ctx, data, labels=labels, problem_type=original.label_space.problem_type
    )
    further = None if train is None else _further(ctx, train, documents.text_column)
    evidence, chosen = run(
        original,
        documents.texts,
        documents.labels if label_column is not None else None,
        limit=allowed,
        train=further,
        rounds=rounds,
        seed=seed,
        tell=say,
    )
    out.mkdir(parents=True, exist_ok=True)
    evidence = replace(evidence, command=_without_paths(command_line()))
    if chosen is not None:
        chosen.save(out)
    elif out.resolve() != Path(model).resolve():
        removed = remove_older_model(out, original.tokenizer)
        if removed:
            say(f"the older model in {out} is removed: {', '.join(removed)}", "warning")
    evidence.write(out / "evidence.json")
    if json:
        print_json(evidence.to_dict())
        return
    print_table(_table(evidence))
    for line in evidence.sentences():
        typer.echo(line)
    what = "the model and its evidence" if chosen is not None else "the evidence"
    say(f"{out} holds {what}")


def _further(ctx: typer.Context, source: str, column: str) -> list[str]:
    from tersely.text import read_documents

    given = ctx.params["text_column"]
    texts = read_documents(source, labels="ignore", text_column=given or column).texts
    say(f"{count(len(texts), 'text')} to train on from {source}")
    return list(texts)


def _without_paths(command: str) -> str:
    """A command line whose paths on this machine are their last parts; names of the Hub stay.

    Example:
        >>> _without_paths("tersely accelerate owner/model /tmp --out=/tmp/faster --seed 1")
        'tersely accelerate owner/model tmp --out=faster --seed 1'
    """

    def bare(text: str) -> str:
        path = Path(text)
        local = path.is_absolute() or path.exists()
        return path.resolve().name or text if local else text

    parts = []
    for part in shlex.split(command):
        option, equals, value = part.partition("=")
        is_option = part.startswith("-") and equals
        parts.append(f"{option}={bare(value)}" if is_option else bare(part))
    return shlex.join(parts)


def _table(evidence: Evidence) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("candidate")
    for name in ("texts", "differ", "bound", "multiply-\nadds", "time"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for each in evidence.tried:
        table.add_row(
            Text(each.name),
            f"{each.documents:,}" if each.documents else "–",
            str(each.failures) if each.documents else "–",
            "–" if each.bound is None else f"{each.bound:.2%}",
            f"×{each.macs_ratio:.2f}",
            "–" if each.seconds_ratio is None else f"×{each.seconds_ratio:.2f}",
            Text(each.verdict),
        )
    return table
