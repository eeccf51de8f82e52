"""`tersely serve`: a trained model over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from tersely.cli import options as o
from tersely.cli.messages import count, say
from tersely.cli.settings import Rare, verb
from tersely.errors import require


@dataclass(frozen=True)
class Requests:
    """What the server takes; named as in text-embeddings-inference.

    Attributes:
        max_concurrent_requests: Most documents under way at a time; more get a 429.
        max_client_batch_size: Most documents of a request.
        payload_limit: Most bytes of a request's body.
        request_timeout: How many seconds a request may take.
        auto_truncate: Shorten documents that are too long, where a request does not say; else
            refuse them.
    """

    panel: ClassVar = "Server"
    max_concurrent_requests: o.Count = 512
    max_client_batch_size: o.Count = 32
    payload_limit: Rare[o.Count] = 2_000_000
    request_timeout: Rare[float] = 30.0
    auto_truncate: Rare[bool] = True


@verb
def serve(
    model: o.TrainedModel,
    *,
    host: Annotated[str, {"metavar": "HOST"}] = "127.0.0.1",
    port: Annotated[int, {"min": 0}] = 3000,
    api_key: Annotated[str | None, {"metavar": "KEY", "envvar": "TERSELY_API_KEY"}] = None,
    budget_documents: o.Data = None,
    requests: Requests,
    reading: o.Reading,
    loading: o.Loading,
) -> None:
    """Serve a trained model over HTTP, with text-embeddings-inference's /predict.

    Also /health, /info, /metrics (Prometheus) and /docs. Ctrl-C or SIGTERM
    answers what was accepted and ends.

    Options:
        host: The address to listen at; 0.0.0.0 for all.
        port: The port; 0 for a free one.
        api_key: What clients must send as 'Authorization: Bearer KEY'; also TERSELY_API_KEY.
        budget_documents: Documents on which the budgets that requests ask for are counted, as DATA
            in predict. [texts of random words]
    """
    for module in ("fastapi", "uvicorn", "prometheus_client"):
        require(module, "serve")
    from tersely.serve import Budgets, Limits, Service
    from tersely.serve.app import leave, listen, make_app, serve_app

    limits = Limits(**vars(requests))
    # The port first: an address that is taken should not cost the time of loading.
    with listen(host, port) as bound:
        classifier = loading.load(model)
        sample = None
        if budget_documents is not None:
            documents = reading.read(budget_documents)
            say(o.describe(documents))
            sample = classifier.encode(documents.texts, documents.pairs, tell=False)
        name = Path(model).resolve().name if Path(model).exists() else model
        service = Service(classifier, limits, Budgets(classifier, sample))
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
