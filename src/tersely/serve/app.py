"""The HTTP side of the server: routes, statuses and headers of text-embeddings-inference."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from tersely import __version__
from tersely.classifier import Classifier
from tersely.serve.guard import Guard
from tersely.serve.refusals import Invalid, Refusal, Unhealthy
from tersely.serve.schemas import (
    BudgetRange,
    ErrorResponse,
    Info,
    PredictRequest,
    PredictResponse,
)
from tersely.serve.service import Answer, Service
from tersely.text.metrics import scores_from_logits

__all__ = ["make_app"]

_GONE = 499  # what nginx logs for a client that did not wait; nobody reads it
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": description}
    for status, description in {
        401: "The API key is missing or wrong",
        408: "The body did not arrive in time",
        413: "The body is too large",
        422: "The request is not valid, or cannot be tokenised",
        424: "The model failed",
        429: "As many documents are under way as the server takes; try again",
        503: "The model is not ready",
        504: "The answer was not ready in time",
    }.items()
}


def make_app(service: Service, *, name: str, api_key: str | None = None) -> FastAPI:
    """The application that serves a classifier.

    Args:
        service: the classifier with its queue; started and stopped with the application.
        name: what `/info` calls the model.
        api_key: what clients must send as `Authorization: Bearer …`; None for none.
    """

    async def warm_up() -> None:
        await service.start()
        _tell_budgets(app, service)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # In the background: until the model is warm, the port is open and /health says 503.
        warming = asyncio.create_task(warm_up())
        yield
        await asyncio.wait({warming})
        await service.stop()

    app = FastAPI(
        title="tersely",
        version=__version__,
        description="A document classifier, with the interface of text-embeddings-inference.",
        lifespan=lifespan,
        redoc_url=None,
    )
    app.add_middleware(Guard, limits=service.limits, metrics=service.metrics, api_key=api_key)
    _add_errors(app, service)
    _add_probes(app, service, name)
    _add_predict(app, service)
    _tell_batch_size(app, service.limits.max_client_batch_size)
    return app


def _tell_batch_size(app: FastAPI, limit: int) -> None:
    """Write the limit of this server into its description."""
    description = app.openapi()
    inputs = description["components"]["schemas"]["PredictRequest"]["properties"]["inputs"]
    for kind in inputs["anyOf"]:
        if kind.get("items", {}).get("type") == "array":
            kind["maxItems"] = limit


def _tell_budgets(app: FastAPI, service: Service) -> None:
    """Write what `budget` may be into the description, once that has been counted."""
    budget = app.openapi()["components"]["schemas"]["PredictRequest"]["properties"]["budget"]
    found = service.budgets.range
    if found is None:
        budget["anyOf"] = [{"type": "null"}]
        budget["description"] = f"Null: {service.budgets.refusal}."
    else:
        numbers = {"type": "number", "minimum": found[0], "maximum": found[1]}
        budget["anyOf"] = [numbers, {"type": "null"}]


def _add_errors(app: FastAPI, service: Service) -> None:
    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> JSONResponse:
        service.metrics.failures.labels(refusal.failure).inc()
        headers = {"retry-after": "1"} if refusal.status in (429, 503) else None
        return JSONResponse(refusal.body(), refusal.status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # The faulty input is not repeated: it may be long, and need not even be Unicode.
        faults = sorted(
            {f"{'.'.join(map(str, each['loc'][1:2]))}: {each['msg']}" for each in error.errors()}
        )
        return await refused(request, Invalid("; ".join(faults)))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400:  # a body that is not even text
            return await refused(request, Invalid(error.detail))
        body = {"error": error.detail, "error_type": "Validation"}
        return JSONResponse(body, error.status_code, error.headers)


def _add_probes(app: FastAPI, service: Service, name: str) -> None:
    down = {503: _REFUSALS[503]}

    @app.get("/health", responses=down, response_class=Response, tags=["probes"])
    @app.get("/ping", responses=down, response_class=Response, include_in_schema=False)
    @app.get("/", responses=down, response_class=Response, include_in_schema=False)
    async def health() -> Response:
        """200 once the model is warm and as long as it runs."""
        if not service.healthy:
            raise Unhealthy(service.trouble)
        return Response()

    @app.get("/info", responses={401: _REFUSALS[401]}, tags=["probes"])
    async def info() -> Info:
        """What is served, within which limits."""
        return describe(service, name)

    @app.get("/metrics", response_class=PlainTextResponse, tags=["probes"])
    async def metrics() -> Response:
        """Figures in Prometheus' format."""
        return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)


def _add_predict(app: FastAPI, service: Service) -> None:
    @app.post("/predict", responses=_REFUSALS, response_model=PredictResponse, tags=["predict"])
    @app.post("/", include_in_schema=False, response_model=PredictResponse)
    async def predict(body: PredictRequest, request: Request) -> Response:
        """The scores of all labels, the highest first, for a text, a pair or a batch."""
        begun = time.monotonic()
        method = "batch" if body.is_batch else "single"
        service.metrics.requests.labels(method).inc()
        documents = body.documents()
        left = body.truncation_direction.lower() == "left"
        work = service.logits(documents, truncate=body.truncate, left=left, budget=body.budget)
        try:
            answer = await _unless_gone(request, work)
        except asyncio.CancelledError:
            # Not a client that hung up, but an end that does not wait.
            service.cut_off += len(documents)
            raise Unhealthy("the server went down before the answer was ready") from None
        if answer is None:
            service.metrics.failures.labels("dropped").inc()
            return Response(status_code=_GONE)
        rows = predictions(service.classifier, answer.logits, raw=body.raw_scores)
        service.metrics.successes.labels(method).inc()
        total = time.monotonic() - begun
        _time(service, answer, total)
        headers = _headers(service, answer, documents, total)
        return JSONResponse(rows if body.is_batch else rows[0], headers=headers)


async def _unless_gone(request: Request, work: Any) -> Answer | None:
    """The answer, or None, and the work cancelled, where the client hung up first."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_wait_until_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, leaving):
            task.cancel()


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def predictions(
    classifier: Classifier, logits: np.ndarray, *, raw: bool
) -> list[list[dict[str, Any]]]:
    """Labels and scores of each document, the highest first.

    Scores are those of transformers' pipeline: a sigmoid each where several labels may hold or
    there is but one, softmax where one of several does, and numbers as they are for a regression.
    """
    scores = logits if raw else scores_from_logits(logits, classifier.model_config.problem_type)
    order = np.argsort(-scores, axis=1, kind="stable")
    names = classifier.classes_
    return [
        [{"score": float(row[place]), "label": names[place]} for place in places]
        for row, places in zip(scores, order, strict=True)
    ]


def _time(service: Service, answer: Answer, total: float) -> None:
    metrics = service.metrics
    metrics.duration.observe(total)
    metrics.tokenization.observe(answer.tokenizing)
    metrics.queue.observe(answer.waited)
    metrics.inference.observe(answer.ran)


def _headers(service: Service, answer: Answer, documents: list[Any], total: float) -> dict:
    figures = {
        "x-compute-type": service.classifier.device.type,
        "x-compute-time": total,
        "x-compute-characters": sum(len(text) + len(pair or "") for text, pair in documents),
        "x-compute-tokens": answer.tokens,
        "x-unread-tokens": answer.unread,
        "x-total-time": total,
        "x-tokenization-time": answer.tokenizing,
        "x-queue-time": answer.waited,
        "x-inference-time": answer.ran,
    }
    # Seconds become whole milliseconds, as TEI gives them.
    return {
        key: str(round(value * 1000) if isinstance(value, float) else value)
        for key, value in figures.items()
    }


def describe(service: Service, name: str) -> Info:
    """What `/info` says."""
    classifier, limits, budgets = service.classifier, service.limits, service.budgets.range
    names = classifier.classes_
    labels = {
        "id2label": {str(number): label for number, label in enumerate(names)},
        "label2id": {label: number for number, label in enumerate(names)},
    }
    return Info(
        model_id=name,
        model_sha=None,
        model_dtype=classifier.dtype_name,
        served_model_name=name,
        model_type={"classifier": labels},
        max_concurrent_requests=limits.max_concurrent_requests,
        max_input_length=classifier.limit,
        max_batch_tokens=classifier.batch_tokens,
        max_batch_requests=None,
        max_client_batch_size=limits.max_client_batch_size,
        auto_truncate=limits.auto_truncate,
        tokenization_workers=1,
        version=__version__,
        sha=None,
        docker_label=None,
        problem_type=classifier.label_space.problem_type,
        method=classifier.plan.name,
        long=classifier.model_config.long,
        budget=None if budgets is None else BudgetRange(least=budgets[0], most=budgets[1]),
    )
