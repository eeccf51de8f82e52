"""The linear stage: a classifier on word pieces that costs next to nothing beside an encoder.

It reads the row that the encoder reads. Its tensors lie in the same safetensors as the encoder's,
its form in the same `config.json`; scikit-learn is needed to fit it, and not to use it.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tersely.errors import ModelError
from tersely.linear.features import NOBODY, Counts, PieceFeatures
from tersely.ragged import Layout
from tersely.text.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from tersely.text.syntax import ALONE, ENDS_SENTENCE, GOES_ON

FORM_VERSION, _KINDS = 2, (SINGLE_LABEL, MULTI_LABEL)


@dataclasses.dataclass(frozen=True)
class LinearForm:
    """What a linear stage is besides its tensors, as `config.json` holds it.

    `kind` names the model that was fitted, `vocabulary` counts the tokenizer's pieces and `buckets`
    the room for pairs of them; margins are divided by `temperature` before they become
    probabilities. A field that is wrong raises a ModelError that names it.
    """

    kind: str
    classes: int
    vocabulary: int
    buckets: int
    special_ids: tuple[int, ...]
    problem_type: str = SINGLE_LABEL
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.problem_type == REGRESSION:
            raise ModelError("a linear stage needs classes, but a regression has none; omit it")
        ids, temperature = self.special_ids, self.temperature
        least = 1 if self.problem_type == MULTI_LABEL else 2
        known = isinstance(ids, list | tuple) and all(_is_count(number, 0) for number in ids)
        known = known and _is_count(self.vocabulary, 1) and max(ids, default=0) < self.vocabulary
        above = isinstance(temperature, int | float) and 0 < temperature < math.inf
        for name, holds, wanted in (
            ("kind", isinstance(self.kind, str) and self.kind, "a name"),
            ("problem_type", self.problem_type in _KINDS, " or ".join(_KINDS)),
            ("classes", _is_count(self.classes, least), f"a number from {least} on"),
            ("vocabulary", _is_count(self.vocabulary, 1), "a number of pieces"),
            ("buckets", _is_count(self.buckets, 0), "a number of buckets"),
            ("special_ids", known, "a list of ids of the vocabulary"),
            ("temperature", above, "a number above 0"),
        ):
            if not holds:
                raise ModelError(f"linear.{name} must be {wanted}, got {getattr(self, name)!r}")
        object.__setattr__(self, "special_ids", tuple(ids))

    @property
    def features(self) -> int:
        """Rows of the table of weights."""
        return self.vocabulary + self.buckets

    def to_dict(self) -> dict[str, Any]:
        """Return the form as JSON writes it, with its version."""
        fields = dataclasses.asdict(self) | {"special_ids": list(self.special_ids)}
        return {"version": FORM_VERSION, **fields}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Rebuild a form; a ModelError names what is wrong."""
        if not isinstance(data, dict):
            raise ModelError(f"linear must be an object, got {data!r}")
        if data.get("version") != FORM_VERSION:
            raise ModelError(
                f"linear.version must be {FORM_VERSION}, got {data.get('version')!r}; use the "
                "version of tersely that saved the model, or train it again"
            )
        names = ["version", *(field.name for field in dataclasses.fields(cls))]
        if odd := sorted(data.keys() ^ set(names)):
            what = "not a field" if odd[0] in data else "missing"
            raise ModelError(f"linear.{odd[0]} is {what}; its fields are {', '.join(names)}")
        return cls(**{name: data[name] for name in names[1:]})


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def stage_bytes(features: int, buckets: int, classes: int) -> int:
    """Return the bytes of a stage's tables in a file: one for a piece's mark, two for others."""
    return 2 * (features * (classes + 1) + buckets) + features - buckets


def buckets_within(most: int, vocabulary: int, classes: int) -> int:
    """Return how many buckets a stage of at most so many bytes has room for, 0 if for none."""
    left = most - stage_bytes(vocabulary, 0, classes)
    return max(0, left // stage_bytes(1, 1, classes))


class LinearStage(nn.Module):
    """A linear classifier on the pieces of packed documents, and on pairs of neighbouring pieces.

    A document is a vector of unit length, sublinear counts times IDF. All figures of a document
    are the same in any company. The tables are kept as float16 in files and float32 in memory,
    whatever the model's own type: converting them anew for each batch would cost more than the
    stage, and half precision in the sums would change answers.

    The form says what the tables mean; they are zeros until a state dict is loaded or a fit fills
    them. `marks` say how pieces make words and sentences, see `tersely.text.syntax.piece_marks`.

    Example:
        >>> stage = LinearStage(LinearForm("svc", 2, vocabulary=10, buckets=0, special_ids=(0,)))
        >>> stage(torch.tensor([0, 3, 4]), torch.tensor([0, 3])).exp()
        tensor([[0.5000, 0.5000]])
    """

    weights: Tensor
    idf: Tensor
    bias: Tensor
    owners: Tensor
    marks: Tensor

    def __init__(self, form: LinearForm) -> None:
        super().__init__()
        self.form = form
        self.register_buffer("weights", torch.zeros(form.features, form.classes))
        self.register_buffer("idf", torch.ones(form.features))
        self.idf[list(form.special_ids)] = 0.0
        self.register_buffer("bias", torch.zeros(form.classes))
        self.register_buffer("owners", torch.full((form.buckets,), NOBODY, dtype=torch.int16))
        self.register_buffer("marks", torch.zeros(form.vocabulary, dtype=torch.uint8))
        self.marks[list(form.special_ids)] = ALONE
        self.register_state_dict_post_hook(_halve)

    def forward(self, input_ids: Tensor, boundaries: Tensor) -> Tensor:
        """Return log-probabilities of classes `(documents, classes)`; of several labels, each's.

        The ids `(tokens,)` are the documents end to end, and a document's windows, too; boundaries
        `(documents + 1,)` say where documents begin and the last one ends.
        """
        return self.log_probabilities(self.margins(input_ids, boundaries))

    def log_probabilities(self, margins: Tensor) -> Tensor:
        """Return the log-probabilities of margins, both `(documents, classes)`."""
        logits = margins / self.form.temperature
        several = self.form.problem_type == MULTI_LABEL
        return F.logsigmoid(logits) if several else logits.log_softmax(dim=1)

    def margins(self, input_ids: Tensor, boundaries: Tensor) -> Tensor:
        """Return the model's own figures for the classes `(documents, classes)`, not calibrated."""
        if self.weights.dtype != torch.float32:  # some loaders put the file's own tensors in place
            self.weights, self.idf = self.weights.float(), self.idf.float()
        counts = self.features.count(input_ids, Layout(boundaries))
        values = weigh(counts, self.idf)
        # embedding_bag sums each document by itself, in the order of its features.
        offsets = counts.layout.offsets[:-1]
        bags = F.embedding_bag(
            counts.features, self.weights, offsets, mode="sum", per_sample_weights=values
        )
        return bags + self.bias

    def contributions(self, input_ids: Tensor, layout: Layout) -> Tensor:
        """Return what each token adds to the margins of its document, `(tokens, classes)`.

        A document's tokens and the bias add up to its margins. A feature's share is divided evenly
        among the places where it stands, and a pair's between its two pieces.
        """
        if layout.symbolic:
            return self._contributions_of_one(input_ids)
        keys, lefts = self.features.occurrences(input_ids, layout)
        entries = keys.unique(return_inverse=True)[1]
        counts = self.features.count(input_ids, layout)
        values = weigh(counts, self.idf) / counts.counts
        shares = (values[:, None] * self.weights[counts.features])[entries]
        pieces, pairs = shares.tensor_split([len(input_ids)])
        for places in (lefts, lefts + 1):
            pieces = pieces.index_add(0, places, pairs / 2)
        return pieces

    def _contributions_of_one(self, input_ids: Tensor) -> Tensor:
        """The same of one document in a graph, where all places are compared with all."""
        # A symbol, which `len` would take for the number of the document that is followed.
        tokens, features, known = input_ids.shape[0], input_ids, input_ids >= 0
        if self.owners.numel():
            pairs, owned = self.features.pairs(input_ids, torch.zeros_like(input_ids))
            features, known = torch.cat([features, pairs]), torch.cat([known, owned])
        counts = ((features == features[:, None]) & known).sum(1).clamp(min=1).float()
        values = (counts.log() + 1) * self.idf[features] * known
        length = (values * values / counts).sum().sqrt().clamp(min=1e-6)
        shares = (values / (length * counts))[:, None] * self.weights[features]
        pairs = F.pad(shares[tokens:] / 2, (0, 0, 1, 1))
        return shares[:tokens] + pairs[1:] + pairs[:-1]

    def token_scores(self, input_ids: Tensor) -> Tensor:
        """Return how much each token speaks for some class, `(tokens,)`, special pieces 0.

        It is the largest deviation of a piece's class weights from their mean, times its IDF: for
        naive Bayes a log-odds. Pairs of pieces don't count.
        """
        ids = input_ids.long()
        weights = self.weights[ids].float()  # as in `margins`
        several = self.form.problem_type == MULTI_LABEL
        # A label's other class, that it does not hold, has the weight of the other sign.
        deviations = weights / 2 if several else weights - weights.mean(dim=1, keepdim=True)
        return deviations.abs().amax(dim=1) * self.idf[ids]  # which is 0 for special pieces

    def units(self, input_ids: Tensor, positions: Tensor, unit: str) -> Tensor:
        """Number a row's words or sentences (`"word"`, `"sentence"`), `(tokens,)` ascending.

        A document's first token, at position 0, begins one; a special piece is one by itself.
        """
        marks = self.marks[input_ids]
        before = torch.cat([marks.new_full((1,), ALONE), marks[:-1]])
        begins = marks != GOES_ON if unit == "word" else before == ENDS_SENTENCE
        begins |= (positions == 0) | (before == ALONE) | (marks == ALONE)
        return begins.long().cumsum(0) - 1

    def sentence_means(self, ids: Sequence[int], values: np.ndarray) -> np.ndarray:
        """Give each token of a document the mean value of its sentence, `(tokens,)`."""
        row = torch.as_tensor(ids, device=self.marks.device)
        numbers = self.units(row.long(), torch.arange(len(row), device=row.device), "sentence")
        numbers = numbers.cpu().numpy()
        return (np.bincount(numbers, values) / np.bincount(numbers))[numbers]

    def piece_scores(self) -> np.ndarray:
        """Return the `token_scores` of all pieces, `(vocabulary,)` float32."""
        pieces = torch.arange(self.form.vocabulary, device=self.bias.device)
        return self.token_scores(pieces).cpu().numpy()

    @property
    def features(self) -> PieceFeatures:
        """What the stage sees of a row."""
        # No buffer: a loader that builds a model without memory fills only what the file holds.
        special = torch.zeros(self.form.vocabulary, dtype=torch.bool, device=self.idf.device)
        special[list(self.form.special_ids)] = True
        return PieceFeatures(special, self.owners)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow the model to another device; `half()` and the like don't change the tables."""
        for name, table in self._buffers.items():
            moved = fn(table)
            self._buffers[name] = moved if moved.dtype == table.dtype else table.to(moved.device)
        return self


def weigh(counts: Counts, idf: Tensor) -> Tensor:
    """Return sublinear counts times IDF, `(entries,)` float32, each document of unit length."""
    values = counts.counts.float().log_().add_(1.0).mul_(idf.index_select(0, counts.features))
    squares = counts.layout.sum((values * values)[:, None])[:, 0]
    lengths = squares.sqrt_().clamp_(min=1e-6)  # a document of special pieces alone has length 0
    return values.div_(lengths.index_select(0, counts.layout.segment_ids))


def _halve(stage: LinearStage, state: dict[str, Tensor], prefix: str, metadata: Any) -> None:
    """Hand out the tables as the file keeps them."""
    for name in ("weights", "idf"):
        state[prefix + name] = state[prefix + name].half()
