"""Requests that are not answered with a prediction: the statuses and bodies of TEI's errors."""

from __future__ import annotations

__all__ = [
    "BackendFailed",
    "Invalid",
    "Overloaded",
    "PayloadTooLarge",
    "Refusal",
    "RequestTimeout",
    "TimedOut",
    "TokenizerFailed",
    "Unauthorized",
    "Unhealthy",
]


class Refusal(Exception):
    """A request that gets an error.

    Attributes:
        status: of the HTTP response.
        kind: the body's `error_type`.
        failure: the label of the metric that counts it.
    """

    status = 500
    kind = "Backend"
    failure = "inference"

    def body(self) -> dict[str, str]:
        """The body of the response."""
        return {"error": str(self), "error_type": self.kind}


class Unauthorized(Refusal):
    """The API key is missing or wrong."""

    status, kind, failure = 401, "Unauthorized", "unauthorized"


class RequestTimeout(Refusal):
    """The client took too long to send its request."""

    status, kind, failure = 408, "Timeout", "timeout"


class PayloadTooLarge(Refusal):
    """The body of the request is larger than the limit."""

    status, kind, failure = 413, "Validation", "payload"


class Invalid(Refusal):
    """The request is not one that the model can answer."""

    status, kind, failure = 422, "Validation", "validation"


class TokenizerFailed(Refusal):
    """The tokenizer cannot read a text."""

    status, kind, failure = 422, "Tokenizer", "tokenization"


class BackendFailed(Refusal):
    """The model failed on a document."""

    status, kind, failure = 424, "Backend", "inference"


class Overloaded(Refusal):
    """As many documents are under way as the server takes."""

    status, kind, failure = 429, "Overloaded", "overloaded"


class Unhealthy(Refusal):
    """The model is not warm yet, or the server is going down."""

    status, kind, failure = 503, "Unhealthy", "unhealthy"


class TimedOut(Refusal):
    """The answer was not ready in time."""

    status, kind, failure = 504, "Timeout", "timeout"
