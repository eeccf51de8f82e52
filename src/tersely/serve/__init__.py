"""A server of one classifier over HTTP, with text-embeddings-inference's `/predict`.

Only what a server takes is said here, for those who make options of it; nothing heavy is imported.
"""

from dataclasses import dataclass
from typing import ClassVar

from tersely.errors import ServeError

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """What a server takes; named as in text-embeddings-inference.

    Attributes:
        max_concurrent_requests: Maximum documents in progress; more get a 429.
        max_client_batch_size: Maximum documents per request.
        payload_limit: Maximum bytes of a request body.
        request_timeout: Seconds that a request may take, and as many again for its body.
        auto_truncate: Shorten documents that are too long, unless a request says otherwise; else
            refuse them.
    """

    panel: ClassVar = "Server"
    max_concurrent_requests: int = 512
    max_client_batch_size: int = 32
    payload_limit: int = 2_000_000
    request_timeout: float = 30.0
    auto_truncate: bool = True

    def __post_init__(self) -> None:
        for name in ("max_client_batch_size", "payload_limit", "request_timeout"):
            if getattr(self, name) <= 0:
                raise ServeError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.max_client_batch_size > self.max_concurrent_requests:
            raise ServeError(
                "max_client_batch_size must not exceed max_concurrent_requests "
                f"({self.max_concurrent_requests}), or the largest batch could never be taken, "
                f"got {self.max_client_batch_size}"
            )
