"""`tersely export`: a trained model as an ONNX graph in which tokens are really removed."""

from dataclasses import asdict
from typing import Annotated

from tersely.cli import options as o
from tersely.cli.messages import count, print_json, progress, say
from tersely.cli.settings import verb
from tersely.errors import require


@verb
def export(
    model: o.TrainedModel,
    *,
    out: o.Out,
    int8: bool = False,
    check: o.Data = None,
    min_agreement: Annotated[float | None, {"min": 0, "max": 1}] = None,
    reading: o.Texts,
    sample: Annotated[o.Sample, ("limit",)],
    loading: Annotated[o.Loading, ("max_length", "long", "threads")],
    overwrite: o.Overwrite = False,
    json: o.Json = False,
) -> None:
    """Write a trained model as an ONNX graph, checked against the original.

    The directory replaces MODEL in predict, evaluate, bench and serve. It is
    only written if enough labels match.

    Options:
        int8: Use 8-bit weights in matrix products.
        check: Documents for the comparison with the original, in the formats of train. [32 texts of
            random words]
        min_agreement: The share of documents that must get the same label. [1; 0.99 with --int8]

    Examples:
        tersely export model/ --out onnx-model/ --check documents.csv
        tersely export model/ --out int8-model/ --int8 --check documents.csv
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require(module, "onnx")
    o.check_directory(out, overwrite=overwrite)
    from tersely.export import export_model

    classifier = loading.load(model, device="cpu")
    texts = pairs = None
    if check is not None:
        documents = sample.of(reading.read(check))
        say(o.describe(documents))
        texts, pairs = documents.texts, documents.pairs
    how = {"int8": int8, "min_agreement": min_agreement}
    with progress("exporting") as bar:
        result = export_model(classifier, out, texts, pairs, **how, progress=bar.show)
    if result.made_up:
        say("checked on random words only; pass your own documents with --check", "warning")
    same = f"{result.agreement:.1%} of {count(result.documents, 'document')} get the same label"
    say(f"{out}: {same}, logits differ by at most {result.largest_difference:.2g}")
    if json:
        print_json({"model": model, "out": str(out), "int8": int8, "check": asdict(result)})
