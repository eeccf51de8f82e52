"""What a request has to pass before the application sees it: its key, its size, its pace.

The body is read here, to the end, so that a client which sends too much, too slowly or not at all
never holds anything but its own connection. What is too much is read and thrown away, for a moment.
"""

import asyncio
import contextlib
import hmac
from typing import Any

from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from tersely.serve import Limits
from tersely.serve.schemas import Refusal
from tersely.serve.service import Metrics

CLIENT_GONE = 499  # the status that nginx logs for a client that did not wait; nobody reads it
# What needs no key when it is read: probes, scrapers and the documentation.
_OPEN_PATHS = frozenset({"/", "/health", "/ping", "/metrics", "/docs", "/openapi.json"})
# Seconds, and as many bytes as a body may have, for which a body that is too large is read on.
_LINGER = 2.0


class Guard:
    """An ASGI middleware; without an `api_key` the server is open."""

    def __init__(self, app: Any, limits: Limits, metrics: Metrics, api_key: str | None) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._authorization = None if api_key is None else f"Bearer {api_key}".encode()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on with its whole body, or answer it with an error."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check_key(scope)
            body = await self._read(receive)
        except Refusal as refusal:
            self._metrics.requests.labels(refusal.status).inc()
            # What may be left of the body is not read, so the connection cannot be used again.
            headers = refusal.headers | {"connection": "close"}
            await JSONResponse(refusal.body, refusal.status, headers)(scope, receive, send)
        except ClientDisconnect:
            self._metrics.requests.labels(CLIENT_GONE).inc()
        else:
            messages = [{"type": "http.request", "body": body, "more_body": False}]

            async def replay() -> dict[str, Any]:
                return messages.pop() if messages else await receive()

            # What answers a GET answers a HEAD; the server leaves the body out.
            method = {"HEAD": "GET"}.get(scope["method"], scope["method"])
            await self._app(scope | {"method": method}, replay, send)

    def _check_key(self, scope: dict[str, Any]) -> None:
        is_open = scope["path"] in _OPEN_PATHS and scope["method"] in ("GET", "HEAD")
        if self._authorization is None or is_open:
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(given, self._authorization):
            raise Refusal(401, "the header 'Authorization: Bearer KEY' is missing or wrong")

    async def _read(self, receive: Any) -> bytes:
        limit, seconds = self._limits.payload_limit, self._limits.request_timeout
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(seconds):
                while more and len(body) <= limit:
                    part, more = await _next_part(receive)
                    body += part
        except TimeoutError:
            raise Refusal(408, f"the body did not arrive within {seconds:g} s") from None
        if len(body) <= limit:
            return bytes(body)
        # A client that still sends when it is hung up on never reads the refusal, so read on.
        with contextlib.suppress(TimeoutError, ClientDisconnect):
            async with asyncio.timeout(_LINGER):
                while more and limit > 0:
                    part, more = await _next_part(receive)
                    limit -= len(part)
        raise Refusal(
            413, f"the body of a request may have at most {self._limits.payload_limit} bytes"
        )


async def _next_part(receive: Any) -> tuple[bytes, bool]:
    """Return the next part of a body, and whether there is more."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), message.get("more_body", False)
