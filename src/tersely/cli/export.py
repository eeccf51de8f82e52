"""`tersely export`: a trained model as an ONNX graph in which tokens are really removed."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tersely.classifier import Classifier
from tersely.cli import options as o
from tersely.cli.messages import count, print_json, say
from tersely.cli.outputs import check_directory
from tersely.cli.reading import describe, drawn, read
from tersely.errors import require

__all__ = ["export"]

EXPORT = "Export"
Format = StrEnum("Format", {"onnx": "onnx"})


def export(
    ctx: typer.Context,
    model: o.TrainedModel,
    out: Annotated[
        Path,
        o.option("--out", "Directory of the export.", o.OUTPUT, metavar="DIR"),
    ],
    *,
    format: Annotated[
        Format,
        o.option("--format", "onnx.", EXPORT, metavar="NAME"),
    ] = Format.onnx,
    int8: Annotated[
        bool,
        o.flag("--int8", "8-bit weights in matrix products.", EXPORT),
    ] = False,
    check: Annotated[
        str | None,
        o.option(
            "--check",
            "Documents to compare it with the original on, as DATA in predict.",
            EXPORT,
            metavar="DATA",
            show_default="32 texts of random words",
        ),
    ] = None,
    min_agreement: Annotated[
        float | None,
        o.option(
            "--min-agreement",
            "Share of documents that must get the same labels.",
            EXPORT,
            metavar="X",
            min=0,
            max=1,
            show_default="1, with --int8 0.99",
        ),
    ] = None,
    text_column: o.TextColumn = None,
    text_pair_column: o.TextPairColumn = None,
    split: o.Split = None,
    limit: o.Limit = None,
    max_length: o.ModelMaxLength = None,
    long: o.ModelLongPolicy = None,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    config: o.Config = None,
    debug: o.Debug = False,
) -> None:
    """Write a trained model as an ONNX graph, checked against the original.

    The directory works in place of MODEL in predict, evaluate, bench and
    serve. It is written only if enough labels agree.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require(module, "onnx")
    check_directory(out, overwrite=overwrite)
    from tersely.export import export_model

    classifier = Classifier.from_pretrained(
        model,
        device="cpu",
        max_length=max_length,
        long=None if long is None else str(long),
        backend="torch",
    )
    texts = pairs = None
    if check is not None:
        documents = drawn(read(ctx, check, labels="ignore"), limit)
        say(describe(documents))
        texts, pairs = documents.texts, documents.pairs
    result = export_model(classifier, out, texts, pairs, int8=int8, min_agreement=min_agreement)
    if result.made_up:
        say("checked on random words only; --check takes documents of your own", "warning")
    what = count(result.documents, "document")
    say(
        f"{out}: {result.agreement:.1%} of {what} get the same labels, logits differ by at most "
        f"{result.largest_difference:.2g}"
    )
    if json:
        print_json({"model": model, "out": str(out), "int8": int8, "check": asdict(result)})
