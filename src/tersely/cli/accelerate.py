"""`tersely accelerate`: a fine-tuned classifier made faster, with proof, or left as it is."""

from pathlib import Path
from typing import Annotated

import typer

from tersely.cli import options as o
from tersely.cli.messages import command_line, print_json, progress, say
from tersely.cli.settings import verb


@verb
def accelerate(
    model: o.TrainedModel,
    data: Annotated[str, o.argument("TEXTS", "Representative documents, in the formats of train.")],
    *,
    reading: o.Judged,
    sample: o.Sample,
    max_disagreement: o.Limit = None,
    max_loss: o.Limit = None,
    train: o.Data = None,
    rounds: o.Count = 5,
    out: o.Out,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    loading: Annotated[o.Loading, ("max_length", "device", "threads")],
) -> None:
    """Make a fine-tuned classifier faster, and prove that its labels stay the same.

    A linear model answers if it is confident, then the same weights with few
    tokens, and the original the rest. Some of the texts fit and choose, the
    others prove (exact bounds, 95 %). 'Keep the original' is a possible
    answer.

    Options:
        max_disagreement: The share of texts whose label may change. [0.5%]
        max_loss: The share that may turn wrong minus those that turn right; needs labels. [1%]
        train: Documents to fit the linear model on, such as the model's training documents. [two
            in five of TEXTS]
        rounds: The maximum number of turns per contender in the comparison.

    Examples:
        tersely accelerate my-classifier/ texts.csv --out faster/
        tersely accelerate my-classifier/ labelled.csv --out faster/ --max-loss 1%
    """
    labelled = max_loss is not None or reading.label_column is not None
    if labelled and max_disagreement is not None:
        raise typer.BadParameter("--max-disagreement needs no labels; with labels give --max-loss")
    limit, usual = (max_loss, 0.01) if labelled else (max_disagreement, 0.005)
    o.check_directory(out, overwrite=overwrite)
    from tersely.accelerate import accelerate as run
    from tersely.accelerate import sentences, write_evidence

    original = loading.load(model)
    given = "required" if labelled else "ignore", original.label_space.problem_type
    fitting = None if train is None else reading.read(train, *given)
    if fitting is not None:
        say(f"to fit the linear stage: {o.describe(fitting)}")
    else:
        advice = "--train with the documents that the model was trained on usually gains more speed"
        say(f"two in five of the texts fit the linear stage; {advice}")
    documents = sample.single_texts(reading.read(data, *given), "accelerate")
    judged = documents.labels if labelled else None
    how = {"limit": usual if limit is None else limit, "seed": sample.seed}
    how |= {"rounds": rounds, "tell": say}
    with progress("accelerating") as bar:
        how["progress"] = bar.show
        evidence, chosen = run(original, documents.texts, judged, train=fitting, **how)
    out.mkdir(parents=True, exist_ok=True)
    evidence["command"] = command_line()
    if chosen is not None:
        chosen.save(out, evaluation=evidence["verdict"])
    elif (out / "config.json").exists() and out.resolve() != Path(model).resolve():
        told = "holds an earlier run's model, which this evidence is not about; remove it"
        say(f"{out} {told}", "warning")
    write_evidence(evidence, out)
    if json:
        print_json(evidence)
        return
    typer.echo("\n".join(sentences(evidence)))
    say(f"{out} holds {'the evidence' if chosen is None else 'the model and its evidence'}")
