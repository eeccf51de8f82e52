"""The HTTP side of the server: routes, statuses and headers, from the socket to a graceful end.

On SIGTERM or Ctrl-C the port is closed, requests that were accepted are answered, the queue runs
empty, and the process ends with exit code 0. A second Ctrl-C ends it at once, with 130.
"""

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, disable_created_metrics, generate_latest
from starlette.exceptions import HTTPException

from tersely import __version__
from tersely._io import fill_page
from tersely.classifier import Classifier
from tersely.errors import ServeError
from tersely.serve import schemas
from tersely.serve.guard import CLIENT_GONE, Guard
from tersely.serve.schemas import ErrorResponse, PredictRequest, PredictResponse, Refusal
from tersely.serve.service import Service
from tersely.text.metrics import scores_from_logits

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": description}
    for status, (_, description) in schemas.REFUSALS.items()
}


def make_app(service: Service, *, name: str, api_key: str | None = None) -> FastAPI:
    """Make the application that starts, serves and stops a service; `/info` tells the name."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # In the background: until the model is warm, the port is open and /health says 503.
        warming = asyncio.create_task(service.start())
        yield
        await asyncio.wait({warming})
        await service.stop()

    about = "A document classifier, with the interface of text-embeddings-inference."
    # FastAPI's own pages load their scripts from elsewhere.
    how = {"lifespan": lifespan, "docs_url": None, "redoc_url": None}
    app = FastAPI(title="tersely", version=__version__, description=about, **how)
    app.add_middleware(Guard, limits=service.limits, metrics=service.metrics, api_key=api_key)
    _add_errors(app, service)
    _add_predict(app, service)  # first on /docs, too
    _add_probes(app, service, name)
    # Enforced by the service, in TEI's words.
    described = app.openapi()["components"]["schemas"]["PredictRequest"]["properties"]["inputs"]
    described["oneOf"][-1]["maxItems"] = service.limits.max_client_batch_size
    return app


def _add_errors(app: FastAPI, service: Service) -> None:
    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> JSONResponse:
        if request.method == "POST":  # a probe that comes too early is no request that failed
            service.metrics.requests.labels(refusal.status).inc()
        return JSONResponse(refusal.body, refusal.status, refusal.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return await refused(request, Refusal(422, _spell(error, request)))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400:  # a body that is not even text
            return await refused(request, Refusal(422, error.detail))
        reason = f"{request.method} {request.url.path}: {error.detail}; /docs says what there is"
        body = {"error": reason, "error_type": "Validation"}
        return JSONResponse(body, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        reason = f"the server failed ({type(error).__name__}); its log says where"
        return JSONResponse({"error": reason, "error_type": "Backend"}, 500)


def _spell(error: RequestValidationError, request: Request) -> str:
    """Say what is wrong with a body, without repeating it: it may be long, or no Unicode."""
    kind = request.headers.get("content-type")
    if not re.match(r"application/([^;]+\+)?json\b", kind or "", re.IGNORECASE):
        return f"the header content-type must be application/json, got {kind or 'none'}"
    if (first := error.errors()[0])["type"] == "json_invalid":
        return f"the body is not JSON: {first['ctx']['error']}, at character {first['loc'][1]}"
    faults = {(*each["loc"], "body")[1]: each["msg"] for each in error.errors()}
    if "inputs" in faults:
        faults["inputs"] += f"; it must be {schemas.FORMS}"
    return "; ".join(f"`{field}`: {reason}" for field, reason in sorted(faults.items()))


def _add_probes(app: FastAPI, service: Service, name: str) -> None:
    async def health() -> Response:
        """200 once the model is warm and as long as it runs."""
        if not service.healthy:
            raise Refusal(503, service.trouble)
        return Response()

    down = {"responses": {503: _ERRORS[503]}, "response_class": Response}
    for path in ("/health", "/ping", "/"):
        app.get(path, tags=["probes"], include_in_schema=path == "/health", **down)(health)

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs() -> str:
        told, page = app.openapi(), Path(__file__).with_name("docs.html.j2")
        return fill_page(page, "serve", **told["components"], **told)

    @app.get("/info", responses={401: _ERRORS[401]}, tags=["probes"])
    async def info() -> dict[str, Any]:
        """What is served, within which limits, by text-embeddings-inference's names."""
        classifier = service.classifier
        space, review = classifier.label_space, classifier.review
        names = {str(number): label for number, label in enumerate(space.names)}
        classes = {"id2label": names, "label2id": space.label2id}
        return vars(service.limits) | {
            "model_id": name,
            "served_model_name": name,
            "version": __version__,
            "model_dtype": classifier.dtype_name,
            "model_type": {"classifier": classes},
            "max_input_length": classifier.limit,
            "max_batch_tokens": classifier.batch_tokens,
            "problem_type": space.problem_type,
            "method": classifier.plan.name,
            "long": classifier.model_config.long,
            "audit": service.audit and service.audit.report(),
            "max_error": review and review.certificate.limit,
        }

    disable_created_metrics()  # a switch of the whole process: no registry has one of its own

    @app.get("/metrics", response_class=PlainTextResponse, tags=["probes"])
    async def metrics() -> Response:
        """Figures in Prometheus' format."""
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _add_predict(app: FastAPI, service: Service) -> None:
    @app.post("/predict", responses=_ERRORS, response_model=PredictResponse, tags=["predict"])
    @app.post("/", include_in_schema=False, response_model=PredictResponse)
    async def predict(body: PredictRequest, request: Request) -> Response:
        """The scores of all labels, the highest first, for a text, a pair or a batch."""
        begun = time.monotonic()
        documents = body.documents()
        work = service.answer(documents, truncate=body.truncate)
        try:
            answer = await _unless_gone(request, work)
        except asyncio.CancelledError:
            # Not a client that hung up, but an end that does not wait.
            service.cut_off += len(documents)
            raise Refusal(503, "the server shut down before the answer was ready") from None
        service.metrics.requests.labels(CLIENT_GONE if answer is None else 200).inc()
        if answer is None:
            return Response(status_code=CLIENT_GONE)
        logits, apart, classifier, took = answer
        rows = _predictions(classifier, logits, raw=body.raw_scores)
        if classifier.review is not None:
            for row, doubtful in zip(rows, apart.tolist(), strict=True):
                row[:] = [each | {"review": doubtful} for each in row]
        service.metrics.request.observe(seconds := time.monotonic() - begun)
        took |= dict.fromkeys(("x-compute-time", "x-total-time"), round(seconds * 1000))
        took["x-compute-characters"] = sum(len(text) + len(pair or "") for text, pair in documents)
        headers = {name: str(value) for name, value in took.items()}
        headers["x-compute-type"] = classifier.device.type
        return JSONResponse(rows if body.is_batch else rows[0], headers=headers)


async def _unless_gone(request: Request, work: Any) -> Any:
    """Return the answer, or None, and the work cancelled, where the client hung up first."""

    async def wait_until_gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working = asyncio.create_task(work)
    leaving = asyncio.create_task(wait_until_gone())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, leaving):
            task.cancel()


def _predictions(
    classifier: Classifier, logits: np.ndarray, *, raw: bool
) -> list[list[dict[str, Any]]]:
    """Return labels and scores of each document, the highest first, as transformers' pipeline."""
    scores = logits if raw else scores_from_logits(logits, classifier.model_config.problem_type)
    order = np.argsort(-scores, axis=1, kind="stable")
    names = classifier.label_space.names
    return [
        [{"score": float(row[place]), "label": names[place]} for place in places]
        for row, places in zip(scores, order, strict=True)
    ]


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket, before anything slow begins; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, ValueError) as error:  # a host's name may be none, too
        why = getattr(error, "strerror", None) or error
        raise ServeError(
            f"cannot listen on port {port} of {host} ({why}); choose another port"
        ) from None


def serve_app(
    app: Any,
    bound: socket.socket,
    *,
    patience: float,
    ready: Callable[[str], None],
    renew: Callable[[], None] = lambda: None,
) -> bool:
    """Serve an application until SIGTERM or Ctrl-C; tell whether a second Ctrl-C cut that short.

    Accepted requests have `patience` seconds after the first signal; `ready` gets the address.
    SIGHUP, where the system has it, runs `renew` in a thread.
    """
    host, port = bound.getsockname()[:2]
    ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    quiet = {"log_level": "warning", "access_log": False, "lifespan": "on"}
    # Seconds: for what was accepted, and that a connection may be idle between requests.
    waits = {"timeout_graceful_shutdown": max(1, round(patience)), "timeout_keep_alive": 30}
    server = uvicorn.Server(uvicorn.Config(app, **quiet, **waits))
    # uvicorn raises the signal that ended it once more, after everything is done.
    does = {signal.SIGINT: lambda *_: None, signal.SIGTERM: lambda *_: None}
    if hasattr(signal, "SIGHUP"):
        does[signal.SIGHUP] = lambda *_: threading.Thread(target=renew, daemon=True).start()
    before = {each: signal.signal(each, handler) for each, handler in does.items()}
    log = logging.getLogger("uvicorn.error")
    # Who ends it at once wants no traceback of the tasks that were cancelled.
    log.addFilter(kept := lambda _: not server.force_exit)
    try:
        server.run(sockets=[bound])
    finally:
        log.removeFilter(kept)
        for each, handler in before.items():
            signal.signal(each, handler)
    return server.force_exit


def leave(code: int) -> NoReturn:
    """End the process without waiting for the model's thread.

    It may be inside a batch, and an interpreter that ends around it aborts with a core dump.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
