"""`tersely recalibrate`: new certificates for a model that is there, from new texts."""

from pathlib import Path
from typing import Annotated

import typer

from tersely.cli import options as o
from tersely.cli.messages import print_json, progress, say
from tersely.cli.settings import verb


@verb
def recalibrate(
    model: o.TrainedModel,
    data: Annotated[
        str, o.argument("TEXTS", "Documents that the model has not seen, in the formats of train.")
    ],
    *,
    reading: o.Judged,
    max_disagreement: o.Limit = None,
    max_loss: o.Limit = None,
    max_error: o.Limit = None,
    out: o.Directory = None,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    machine: o.Machine,
) -> None:
    """Renew a cascade's certificates on current texts.

    Stages, path and temperatures are kept, nothing is searched: all texts
    prove. With --max-error, a fifth finds the confidence above which any
    classifier is right often enough; 'predict' marks the rest for review.

    Options:
        max_disagreement: The share of texts whose label may differ from the reference's. [the
            limit in use]
        max_loss: The share that may turn wrong minus those that turn right; needs labels.
        max_error: The share of wrong labels among answered texts; needs labels.
        out: Where to write the model. [in place]

    Examples:
        tersely recalibrate fast/ new-texts.csv
        tersely recalibrate model/ labelled.csv --max-error 2% --out sure/
    """
    if out is None and not Path(model).is_dir():
        raise typer.BadParameter(f"{model} is not a directory; name an output directory with --out")
    o.check_directory(out or Path(model), overwrite=overwrite or out is None)
    from tersely.classifier import Classifier

    limits = {"max_disagreement": max_disagreement, "max_loss": max_loss, "max_error": max_error}
    labels = "optional" if max_loss is max_error is None else "required"
    classifier = Classifier.from_pretrained(model, device=machine.device, threads=machine.threads)
    documents = reading.read(data, labels, classifier.label_space.problem_type)
    say(o.describe(documents))
    with progress("recalibrating") as bar:
        made = classifier.recalibrate(documents, **limits, progress=bar.show)
    found = made.certificates if max_error is None else made.model.cascade.review.certificates
    folder = made.save(out or model)
    if json:
        print_json(found.to_dict())
    else:
        typer.echo("\n".join(found.lines()))
    say(f"{folder} holds the model with its new certificates")
