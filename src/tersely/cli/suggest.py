"""`tersely suggest`: which documents without labels to label next."""

from pathlib import Path
from typing import Annotated

from tersely.cli import options as o
from tersely.cli.messages import count as spell
from tersely.cli.messages import say
from tersely.cli.settings import verb


@verb
def suggest(
    model: o.TrainedModel,
    data: Annotated[str, o.argument("DATA", "Documents without labels, in the formats of train.")],
    *,
    count: o.Count = 50,
    reading: o.Texts,
    loading: o.Loading,
    out: Annotated[Path | None, {"metavar": "FILE"}] = None,
    overwrite: o.Overwrite = False,
) -> None:
    """Choose which documents to label next, the most useful first.

    It picks documents that the model is unsure about and that differ from each
    other. Every input column is kept; 'predicted' and 'score' are the model's
    answer, and 'row' is the document's number in DATA, counted from 1.

    Options:
        count: The number of documents to choose.
        out: The file to write: .csv, .tsv, .jsonl or .parquet. [JSON Lines on standard output]

    Examples:
        tersely suggest model/ unlabelled.csv --count 50 --out label-these.csv
    """
    from tersely.score.predictor import prediction_columns
    from tersely.text import check_output

    if out is not None:
        check_output(out, overwrite=overwrite)
    classifier = loading.load(model)
    documents = reading.read(data)
    encoded, forward = o.answer(classifier, documents, "reading")
    chosen = classifier.suggest(encoded, count, forward=forward)
    if len(chosen) < count:
        say(f"{spell(len(chosen), 'document')} of {len(documents):,}; the others add nothing new")
    said = prediction_columns(classifier, forward.logits[chosen])
    columns = {"row": [number + 1 for number in chosen]}
    columns |= {"predicted": said["label"], "score": said["score"]}
    o.write_rows(out, documents.select(chosen).table, columns, overwrite=overwrite)
    if out is not None:
        say(f"{out} holds {spell(len(chosen), 'document')} to label, the most useful first")
