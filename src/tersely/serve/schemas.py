"""What clients send and get: requests, responses and errors of text-embeddings-inference."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, StrictBool, Tag

FORMS = "a text, a pair of texts [first, second], or a batch [[text], [first, second], …]"


def _form(inputs: Any) -> str:
    """Tell which form was meant, so that an error speaks of this one and not of all three."""
    if not isinstance(inputs, list):
        return "text"
    return "batch" if inputs and isinstance(inputs[0], list) else "pair"


_ABOUT = Field(min_length=1, max_length=2, description="A text, or the two texts of a pair.")
_One = Annotated[list[str], _ABOUT]
_Many = Annotated[list[_One], Field(min_length=1)]


class PredictRequest(BaseModel, json_schema_extra={"examples": [{"inputs": "A good film."}]}):
    """What to classify, and how to answer."""

    inputs: Annotated[
        Annotated[str, Tag("text")] | Annotated[_One, Tag("pair")] | Annotated[_Many, Tag("batch")],
        Discriminator(_form),
        Field(description=f"It is {FORMS}. A list of two texts is a pair, not a batch."),
    ]
    raw_scores: Annotated[
        StrictBool, Field(description="Return logits instead of probabilities.")
    ] = False
    truncate: Annotated[
        StrictBool | None,
        Field(description="Shorten texts that are too long; null for the server's default."),
    ] = None
    truncation_direction: Annotated[
        Literal["right", "Right"],
        Field(description="Which end may be cut; only the right one is supported."),
    ] = "right"

    @property
    def is_batch(self) -> bool:
        """Whether the answer is a list of lists."""
        return _form(self.inputs) == "batch"

    def documents(self) -> list[tuple[str, str | None]]:
        """Return the texts, each with the second text of its pair or None."""
        if isinstance(self.inputs, str):
            return [(self.inputs, None)]
        rows = self.inputs if self.is_batch else [self.inputs]
        return [(row[0], row[1] if len(row) == 2 else None) for row in rows]


class Prediction(BaseModel):
    """A label and its score; with a limit on the error, whether people should look at it."""

    score: float
    label: str
    review: bool | None = None


PredictResponse = list[Prediction] | list[list[Prediction]]
"""All labels of a document, the highest score first; for a batch a list of those."""


class ErrorResponse(BaseModel):
    """Why there is no prediction."""

    error: str
    error_type: str


REFUSALS = {
    401: ("Unauthorized", "The API key is missing or wrong"),
    408: ("Timeout", "The body did not arrive in time"),
    413: ("Validation", "The body is too large"),
    422: ("Validation", "The request is not valid, or cannot be tokenised"),
    424: ("Backend", "The model failed"),
    429: ("Overloaded", "As many documents are under way as the server takes; try again"),
    503: ("Unhealthy", "The model is not ready"),
    504: ("Timeout", "The answer was not ready in time"),
}
"""What a status means: TEI's `error_type`, and a description."""


class Refusal(Exception):
    """A request that gets an error: one of `REFUSALS`, and a sentence for the client.

    `kind` is the body's `error_type`; None for that of the status.
    """

    def __init__(self, status: int, message: str, kind: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": message, "error_type": kind or REFUSALS[status][0]}
        headers = {401: {"www-authenticate": "Bearer"}, 429: {"retry-after": "1"}}
        self.headers = headers.get(429 if status == 503 else status, {})
