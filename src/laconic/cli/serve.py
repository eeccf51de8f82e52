"""`laconic serve`: a trained model over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from laconic.classifier import Classifier
from laconic.cli import options as o
from laconic.cli.messages import say
from laconic.cli.reading import describe, read
from laconic.errors import require

__all__ = ["serve"]

SERVER = "Server"


def serve(
    ctx: typer.Context,
    model: o.TrainedModel,
    host: Annotated[
        str,
        typer.Option(help="Address; 0.0.0.0 for all.", metavar="HOST", rich_help_panel=SERVER),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(help="0 for a free one.", metavar="N", min=0, rich_help_panel=SERVER),
    ] = 3000,
    api_key: Annotated[
        str | None,
        typer.Option(
            help="What clients must send as 'Authorization: Bearer KEY'.",
            metavar="KEY",
            envvar="LACONIC_API_KEY",
            rich_help_panel=SERVER,
        ),
    ] = None,
    max_concurrent_requests: Annotated[
        int,
        typer.Option(
            help="Documents under way at a time; more get a 429.",
            metavar="N",
            min=1,
            rich_help_panel=SERVER,
        ),
    ] = 512,
    max_client_batch_size: Annotated[
        int,
        typer.Option(help="Documents of a request.", metavar="N", min=1, rich_help_panel=SERVER),
    ] = 32,
    payload_limit: Annotated[
        int,
        typer.Option(help="Bytes of a request's body.", metavar="N", min=1, rich_help_panel=SERVER),
    ] = 2_000_000,
    request_timeout: Annotated[
        float,
        typer.Option(help="Seconds for a request.", metavar="X", min=0.001, rich_help_panel=SERVER),
    ] = 30.0,
    no_auto_truncate: Annotated[
        bool,
        typer.Option(
            "--no-auto-truncate",
            help="Refuse documents that are too long where a request does not say.",
            metavar="",
            rich_help_panel=SERVER,
        ),
    ] = False,
    budget_documents: Annotated[
        str | None,
        typer.Option(
            help="Documents on which the budgets that requests ask for are counted, as DATA in "
            "predict.",
            metavar="DATA",
            show_default="texts of random words",
            rich_help_panel=SERVER,
        ),
    ] = None,
    text_column: o.TextColumn = None,
    text_pair_column: o.TextPairColumn = None,
    split: o.Split = None,
    max_length: o.ModelMaxLength = None,
    long: o.ModelLongPolicy = None,
    threads: o.Threads = None,
    batch_tokens: o.BatchTokens = 4096,
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
    from laconic.serve import Budgets, Limits, Service
    from laconic.serve.app import make_app
    from laconic.serve.run import listen, serve_app

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
        classifier = Classifier.from_pretrained(
            model,
            device=device,
            batch_tokens=batch_tokens,
            max_length=max_length,
            long=None if long is None else str(long),
        )
        sample = None
        if budget_documents is not None:
            documents = read(ctx, budget_documents, labels="ignore")
            say(describe(documents))
            sample = classifier.encode(documents.texts, documents.pairs, tell=False)
        name = Path(model).resolve().name if Path(model).exists() else model
        service = Service(classifier, limits, Budgets(classifier, sample))
        app = make_app(service, name=name, api_key=api_key)
        serve_app(
            app,
            bound,
            patience=2 * request_timeout,
            ready=lambda address: say(f"serving {name} at {address}; {address}/docs describes it"),
        )
    say("stopped; all accepted requests were answered")
