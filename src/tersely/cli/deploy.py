"""A trained model where others run it: an ONNX graph that really removes tokens, or a server."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from tersely.cli import options as o
from tersely.cli.messages import count, print_json, say
from tersely.cli.settings import verb
from tersely.errors import require
from tersely.serve import Limits


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

    The directory works in place of MODEL in predict, evaluate, bench and
    serve. It is written only if enough labels agree.

    Options:
        int8: Use 8-bit weights in matrix products.
        check: Documents to compare it with the original on, as DATA in predict. [32 texts of random
            words]
        min_agreement: The share of documents that must get the same labels. [1, with --int8 0.99]

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
    result = export_model(classifier, out, texts, pairs, int8=int8, min_agreement=min_agreement)
    if result.made_up:
        say("checked on random words only; --check takes documents of your own", "warning")
    say(
        f"{out}: {result.agreement:.1%} of {count(result.documents, 'document')} get the same "
        f"labels, logits differ by at most {result.largest_difference:.2g}"
    )
    if json:
        print_json({"model": model, "out": str(out), "int8": int8, "check": asdict(result)})


@verb
def serve(
    model: o.TrainedModel,
    *,
    host: Annotated[str, {"metavar": "HOST"}] = "127.0.0.1",
    port: Annotated[int, {"min": 0, "max": 65535}] = 3000,
    api_key: Annotated[str | None, {"metavar": "KEY", "envvar": "TERSELY_API_KEY"}] = None,
    limits: Limits,
    loading: o.Loading,
    budget: Annotated[o.Budget, ("keep",)],
) -> None:
    """Serve a trained model over HTTP, with text-embeddings-inference's /predict.

    Also /health, /info, /metrics (Prometheus) and /docs. Ctrl-C or SIGTERM
    answers what was accepted and ends.

    Options:
        host: The address to listen at; 0.0.0.0 for all.
        port: The port; 0 for a free one.
        api_key: What clients must send as 'Authorization: Bearer KEY'; also TERSELY_API_KEY.

    Examples:
        tersely serve model/ --port 3000
    """
    for module in ("fastapi", "uvicorn", "prometheus_client"):
        require(module, "serve")
    from tersely.serve.app import leave, listen, make_app, serve_app
    from tersely.serve.service import Service

    # The port first: an address that is taken should not cost the time of loading.
    with listen(host, port) as bound:
        classifier = loading.load(model)
        if budget.keep is not None:
            classifier = classifier.with_options(keep=budget.keep)
        name = Path(model).resolve().name if Path(model).exists() else model
        service = Service(classifier, limits)
        at_once = serve_app(
            make_app(service, name=name, api_key=api_key),
            bound,
            patience=2 * limits.request_timeout,
            ready=lambda address: say(f"serving {name} at {address}; {address}/docs describes it"),
        )
    if not service.cut_off and not at_once:
        say("stopped; all accepted requests were answered")
        return
    lost = f"{count(service.cut_off, 'accepted document')} got no answer"
    say(f"stopped without waiting; {lost}", "warning")
    leave(130 if at_once else 1)
