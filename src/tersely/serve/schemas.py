"""The requests and responses of text-embeddings-inference's `/predict`, and what they mean."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

__all__ = [
    "BudgetRange",
    "ErrorResponse",
    "Info",
    "PredictRequest",
    "PredictResponse",
    "Prediction",
]

Sequence = Annotated[
    list[str], Field(min_length=1, max_length=2, description="A text, or the two texts of a pair.")
]


class PredictRequest(BaseModel):
    """What to classify, and how to answer."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"inputs": "It was a good film."}]})

    inputs: Annotated[
        str | Sequence | Annotated[list[Sequence], Field(min_length=1)],
        Field(
            description="A text; a pair of texts [first, second]; or a batch [[text], [first, "
            "second], …]. A list of two texts is a pair and not a batch."
        ),
    ]
    raw_scores: Annotated[
        StrictBool, Field(description="Answer with logits in place of probabilities.")
    ] = False
    truncate: Annotated[
        StrictBool | None,
        Field(description="Shorten texts that are too long, or refuse them; null for the server's"),
    ] = None
    truncation_direction: Annotated[
        Literal["right", "Right", "left", "Left"],
        Field(description="Which end may be cut: only the right one."),
    ] = "right"
    budget: Annotated[
        Annotated[float, Field(strict=True, gt=0, lt=1)] | None,
        Field(
            description="MACs over those without any removal, rounded to hundredths; "
            "null for what the model was trained with."
        ),
    ] = None

    @property
    def is_batch(self) -> bool:
        """Whether the answer is a list of lists."""
        return isinstance(self.inputs, list) and isinstance(self.inputs[0], list)

    def documents(self) -> list[tuple[str, str | None]]:
        """The texts, each with the second text of its pair or None."""
        if isinstance(self.inputs, str):
            return [(self.inputs, None)]
        many = self.inputs if self.is_batch else [self.inputs]
        return [(one[0], one[1] if len(one) == 2 else None) for one in many]


class Prediction(BaseModel):
    """A label and its score."""

    score: float
    label: str


PredictResponse = list[Prediction] | list[list[Prediction]]
"""All labels of a document, the highest score first; for a batch a list of those."""


class ErrorResponse(BaseModel):
    """Why there is no prediction."""

    error: str
    error_type: str


class Classes(BaseModel):
    """The labels of a classifier."""

    id2label: dict[str, str]
    label2id: dict[str, int]


class ModelType(BaseModel):
    """What kind of model is served."""

    classifier: Classes


class BudgetRange(BaseModel):
    """The budgets that a request may ask for."""

    least: float
    most: float


class Info(BaseModel):
    """What is served, within which limits."""

    model_config = ConfigDict(protected_namespaces=())

    model_id: str
    model_sha: str | None
    model_dtype: str
    served_model_name: str
    model_type: ModelType
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: int | None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str
    sha: str | None
    docker_label: str | None
    problem_type: str
    method: str
    long: str
    budget: BudgetRange | None
