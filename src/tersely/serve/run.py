"""Serving until somebody asks to stop: the socket, uvicorn, and an end that answers what it took.

On SIGTERM or Ctrl-C the port is closed, requests that were accepted are answered, the queue runs
empty, and the process ends with exit code 0. A second Ctrl-C ends it at once, with 130.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from tersely.errors import ServeError, require

__all__ = ["leave", "listen", "serve_app"]


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound, before anything slow begins; port 0 takes a free one.

    Raises:
        ServeError: if the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ServeError(
            f"port {port} of {host} cannot be listened on ({reason}); choose another with --port"
        ) from None
    return bound


def serve_app(
    app: Any, bound: socket.socket, *, patience: float, ready: Callable[[str], None]
) -> bool:
    """Serve an application until SIGTERM or Ctrl-C.

    Args:
        app: the application.
        bound: what `listen` returned.
        patience: seconds that accepted requests have to be answered after that.
        ready: called with the address.

    Returns:
        Whether a second Ctrl-C cut that short.
    """
    uvicorn = require("uvicorn", "serve")
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=max(1, round(patience)),
        # A connection that is idle between requests, in seconds.
        timeout_keep_alive=30,
        lifespan="on",
    )
    host, port = bound.getsockname()[:2]
    ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    server = uvicorn.Server(config)
    # uvicorn raises the signal that ended it once more, after everything is done.
    before = {each: signal.signal(each, lambda *_: None) for each in _SIGNALS}
    log = logging.getLogger("uvicorn.error")
    # Who ends it at once wants no traceback of the tasks that were cancelled.
    log.addFilter(quiet := lambda _: not server.force_exit)
    try:
        server.run(sockets=[bound])
    finally:
        log.removeFilter(quiet)
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


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
