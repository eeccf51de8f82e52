"""`tersely serve`: a trained model over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tersely.cli import options as o
from tersely.cli.messages import count, say
from tersely.cli.settings import verb
from tersely.errors import require
from tersely.serve import Limits

if TYPE_CHECKING:
    from tersely.classifier import Classifier


@verb
def serve(
    model: o.TrainedModel,
    *,
    host: Annotated[str, {"metavar": "HOST"}] = "127.0.0.1",
    port: Annotated[int, {"min": 0, "max": 65535}] = 3000,
    api_key: Annotated[str | None, {"metavar": "KEY", "envvar": "TERSELY_API_KEY"}] = None,
    audit: o.Share = 0.0,
    limits: Limits,
    loading: o.Loading,
    budget: Annotated[o.Budget, ("keep",)],
) -> None:
    """Serve a trained model over HTTP, with text-embeddings-inference's /predict.

    Also /health, /info, /metrics (Prometheus) and /docs. Ctrl-C or SIGTERM
    stops the server once accepted requests are answered; SIGHUP reloads MODEL
    without dropping a request.

    Options:
        host: The address to listen on; 0.0.0.0 for all.
        port: The port; 0 for a free one.
        api_key: The key clients must send as 'Authorization: Bearer KEY'; also TERSELY_API_KEY.
        audit: The random share of documents whose early answers are checked by the cascade's
            reference, such as 1%. [none]

    Examples:
        tersely serve model/ --port 3000
    """
    for module in ("fastapi", "uvicorn", "prometheus_client", "jinja2"):
        require(module, "serve")
    from tersely.serve.app import leave, listen, make_app, serve_app
    from tersely.serve.service import Service

    # The port first: an address that is taken should not cost the time of loading.
    with listen(host, port) as bound:

        def load() -> Classifier:
            classifier = loading.load(model)
            return classifier if budget.keep is None else classifier.with_options(keep=budget.keep)

        def renew() -> None:
            swapped = service.swap(load)
            say(f"serving the new {name}" if swapped else f"still serving the old {name}")

        name = Path(model).resolve().name if Path(model).exists() else model
        service = Service(load(), limits, share=audit)
        app = make_app(service, name=name, api_key=api_key)
        how = {"patience": 2 * limits.request_timeout, "renew": renew}
        how["ready"] = lambda at: say(f"serving {name} at {at}; {at}/docs describes it")
        at_once = serve_app(app, bound, **how)
    if not service.cut_off and not at_once:
        say("stopped; all accepted requests were answered")
        return
    lost = f"{count(service.cut_off, 'accepted document')} got no answer"
    say(f"stopped without waiting; {lost}", "warning")
    leave(130 if at_once else 1)
