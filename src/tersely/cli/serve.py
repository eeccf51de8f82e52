"""`tersely serve`: a trained model over HTTP."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tersely.classifier import Classifier
from tersely.cli import options as o
from tersely.cli.messages import count, say
from tersely.cli.reading import describe, read
from tersely.cli.trained import loading_options
from tersely.errors import require

__all__ = ["serve"]

SERVER = "Server"


def serve(
    ctx: typer.Context,
    model: o.TrainedModel,
    host: Annotated[
        str,
        o.option("--host", "Address; 0.0.0.0 for all.", SERVER, metavar="HOST"),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        o.option("--port", "0 for a free one.", SERVER, metavar="N", min=0),
    ] = 3000,
    api_key: Annotated[
        str | None,
        o.option(
            "--api-key",
            "What clients must send as 'Authorization: Bearer KEY'.",
            SERVER,
            metavar="KEY",
            envvar="TERSELY_API_KEY",
        ),
    ] = None,
    max_concurrent_requests: Annotated[
        int,
        o.option(
            "--max-concurrent-requests",
            "Documents under way at a time; more get a 429.",
            SERVER,
            metavar="N",
            min=1,
        ),
    ] = 512,
    max_client_batch_size: Annotated[
        int,
        o.option("--max-client-batch-size", "Documents of a request.", SERVER, metavar="N", min=1),
    ] = 32,
    payload_limit: Annotated[
        int,
        o.option("--payload-limit", "Bytes of a request's body.", SERVER, metavar="N", min=1),
    ] = 2_000_000,
    request_timeout: Annotated[
        float,
        o.option("--request-timeout", "Seconds for a request.", SERVER, metavar="X", min=0.001),
    ] = 30.0,
    no_auto_truncate: Annotated[
        bool,
        o.flag(
            "--no-auto-truncate",
            "Refuse documents that are too long where a request does not say.",
            SERVER,
        ),
    ] = False,
    budget_documents: Annotated[
        str | None,
        o.option(
            "--budget-documents",
            "Documents on which the budgets that requests ask for are counted, as DATA in predict.",
            SERVER,
            metavar="DATA",
            show_default="texts of random words",
        ),
    ] = None,
    text_column: o.TextColumn = None,
    text_pair_column: o.TextPairColumn = None,
    split: o.Split = None,
    max_length: o.ModelMaxLength = None,
    long: o.ModelLongPolicy = None,
    threads: o.Threads = None,
    batch_tokens: o.BatchTokens = None,
    device: o.Device = "auto",
    config: o.Config = None,
    debug: o.Debug = False,
) -> None:
    """Serve a trained model over HTTP, with text-embeddings-inference's /predict.

    Also /health, /info, /metrics (Prometheus) and /docs. Ctrl-C or SIGTERM
    answers what was accepted and ends.
    """
    for module in ("fastapi", "uvicorn", "prometheus_client"):
        require(module, "serve")
    from tersely.serve import Budgets, Limits, Service
    from tersely.serve.app import make_app
    from tersely.serve.run import leave, listen, serve_app

    limits = Limits(
        max_concurrent_requests=max_concurrent_requests,
        max_client_batch_size=max_client_batch_size,
        payload_limit=payload_limit,
        request_timeout=request_timeout,
        auto_truncate=not no_auto_truncate,
    )
    # The port first: an address that is taken should not cost the time of loading.
    with listen(host, port) as bound:
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        classifier = Classifier.from_pretrained(model, **loading_options(ctx.params))
        if threads is not None:
            # Over the number that is saved with the model.
            classifier.execution = replace(classifier.execution, threads=threads)
        sample = None
        if budget_documents is not None:
            documents = read(ctx, budget_documents, labels="ignore")
            say(describe(documents))
            sample = classifier.encode(documents.texts, documents.pairs, tell=False)
        name = Path(model).resolve().name if Path(model).exists() else model
        service = Service(classifier, limits, Budgets(classifier, sample))
        app = make_app(service, name=name, api_key=api_key)
        at_once = serve_app(
            app,
            bound,
            patience=2 * request_timeout,
            ready=lambda address: say(f"serving {name} at {address}; {address}/docs describes it"),
        )
    if not service.cut_off and not at_once:
        say("stopped; all accepted requests were answered")
        return
    lost = f"{count(service.cut_off, 'accepted document')} got no answer"
    say(f"stopped without waiting; {lost}", "warning")
    leave(130 if at_once else 1)
