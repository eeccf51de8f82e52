"""What a request has to pass before the application sees it: its key, its size, its pace.

The body is read here, to the end, so that a client which sends too much, too slowly or not at all
never holds anything but its own connection. What is too much is read and thrown away, for a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from typing import Any

from tersely.serve.metrics import Metrics
from tersely.serve.refusals import PayloadTooLarge, Refusal, RequestTimeout, Unauthorized
from tersely.serve.service import Limits

__all__ = ["Guard", "OPEN_PATHS"]

OPEN_PATHS = frozenset({"/", "/health", "/ping", "/metrics", "/docs", "/openapi.json"})
"""What needs no key when it is read with GET: probes, scrapers and the documentation."""

# Seconds, and as many bytes as a body may have, for which a body that is too large is read on.
_LINGER = 2.0


class _Gone(Exception):
    """The client went away while it was sending."""


class Guard:
    """An ASGI middleware.

    Args:
        app: the application.
        limits: size and seconds of a body.
        metrics: where refused requests are counted.
        api_key: what `Authorization: Bearer …` must hold; None for a server that is open.
    """

    def __init__(self, app: Any, limits: Limits, metrics: Metrics, api_key: str | None) -> None:
        self._app = app
        self._limits = limits
        self._metrics = metrics
        self._authorization = None if api_key is None else f"Bearer {api_key}".encode()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on with its whole body, or answer it with an error."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        try:
            self._check_key(scope, headers)
            body = await self._read(headers, receive)
        except Refusal as refusal:
            self._metrics.failures.labels(refusal.failure).inc()
            await _refuse(send, refusal)
        except _Gone:
            self._metrics.failures.labels("dropped").inc()
        else:
            await self._app(scope, _replay(body, receive), send)

    def _check_key(self, scope: dict[str, Any], headers: dict[bytes, bytes]) -> None:
        is_open = scope["path"] in OPEN_PATHS and scope["method"] in ("GET", "HEAD")
        if self._authorization is None or is_open:
            return
        if not hmac.compare_digest(headers.get(b"authorization", b""), self._authorization):
            raise Unauthorized("the header 'Authorization: Bearer KEY' is missing or wrong")

    async def _read(self, headers: dict[bytes, bytes], receive: Any) -> bytes:
        limit, seconds = self._limits.payload_limit, self._limits.request_timeout
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            await _discard(receive, limit)
            raise _too_large(limit)
        body = bytearray()
        try:
            async with asyncio.timeout(seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > limit:
                        if more:
                            await _discard(receive, limit)
                        raise _too_large(limit)
        except TimeoutError:
            raise RequestTimeout(f"the body did not arrive within {seconds:g} s") from None
        return bytes(body)


async def _discard(receive: Any, most: int) -> None:
    """Read on, for a client that still sends when it is hung up on never reads the refusal."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER):
            more = True
            while more and most > 0:
                message = await receive()
                most -= len(message.get("body", b""))
                more = message.get("more_body", False)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"the body of a request may have at most {limit} bytes")


def _replay(body: bytes, receive: Any) -> Any:
    """The body once more for the application, and then whatever the client does next."""
    told = False

    async def replay() -> dict[str, Any]:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _refuse(send: Any, refusal: Refusal) -> None:
    content = json.dumps(refusal.body()).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        # What may be left of the body is not read, so the connection cannot be used again.
        (b"connection", b"close"),
    ]
    if isinstance(refusal, Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
