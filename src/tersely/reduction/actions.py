"""Actions: what happens to the tokens that were not selected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from tersely.reduction.learned import Learned, Spent, straight_through
from tersely.reduction.parts import Part, check, check_number, register
from tersely.reduction.stream import Stream

__all__ = ["Action", "Combine", "DropKeys", "DropTokens", "Fade", "SetAside", "Skip"]


@dataclass(frozen=True)
class Action(Part):
    """What a step does.

    Attributes:
        selects: whether the step needs a scorer and a selector.
        replaces: whether the step stands in the place of a block.
        keys_only: whether tokens leave the keys alone, so that each head may lose others.
        skips: whether the blocks are left out.
        training_only: whether it acts in training alone, before the first of the step's blocks and
            after the last of them.
        connects: whether it says who sees whom, and can stand beside a step that chooses tokens.
        attention: what it asks the block's attention for in place of scores, if it selects nothing.
        takes_masks: whether it can be given the mask of a selector that learns.
        soft: whether it only multiplies by the mask, so that a stage without it has to follow.
    """

    role: ClassVar[str] = "act"
    selects: ClassVar[bool] = True
    replaces: ClassVar[bool] = False
    keys_only: ClassVar[bool] = False
    skips: ClassVar[bool] = False
    training_only: ClassVar[bool] = False
    connects: ClassVar[bool] = False
    attention: ClassVar[str | None] = None
    takes_masks: ClassVar[bool] = False
    soft: ClassVar[bool] = False

    def soften(self, stream: Stream, mask: Tensor) -> Stream:
        """The stream with a learned mask `(tokens, 1)` on its tokens, before `apply`."""
        raise TypeError(f"{type(self).__name__} takes no masks")

    def apply(self, stream: Stream, losers: Tensor | None, seen: Tensor | None) -> Stream:
        """The stream after the action.

        Args:
            stream: the tokens after the block's attention.
            losers: the tokens that were not selected, `(tokens, heads or 1)` bool.
            seen: their scores, `(tokens, heads or 1)`, or what `attention` asked for.
        """
        raise TypeError(f"{type(self).__name__} does not act on tokens")

    def penalty(self, spent: Spent) -> Tensor | None:
        """What it adds to the loss for what a forward pass took, where it learns."""
        return None

    def cost(self, sizes: list[int], head_size: int) -> int:
        """MACs of its matrix products, for documents of these sizes."""
        return 0


@register
@dataclass(frozen=True)
class DropKeys(Action):
    """Focus on the Core (arXiv 2406.01283): the losers leave the next blocks' keys and values.

    As in the paper, they stay as queries, keep their states, and never return as keys.
    """

    kind: ClassVar[str] = "drop-keys"
    keys_only: ClassVar[bool] = True

    def apply(self, stream: Stream, losers: Tensor, seen: Tensor | None) -> Stream:
        """The stream with fewer keys."""
        return stream.drop_keys(losers)


@register
@dataclass(frozen=True)
class DropTokens(Action):
    """The losers leave altogether, between a block's attention and its feed-forward.

    As in PoWER-BERT (arXiv 2001.08950) and Learned Token Pruning (arXiv 2107.00910); ours are gone
    from the tensors at every batch size.

    Of a selector that learns, the tokens that stay carry the mask's gradients on a weight of
    exactly 1: the one that merged tokens have, on the logits of following attention and in the
    classifier's mean. So attention is masked hard, with straight-through gradients.
    """

    kind: ClassVar[str] = "drop-tokens"
    takes_masks: ClassVar[bool] = True

    def soften(self, stream: Stream, mask: Tensor) -> Stream:
        """The stream with the mask's gradients on the tokens' weights."""
        gate = straight_through(mask[:, 0])
        weights = gate if stream.weights is None else stream.weights * gate
        return replace(stream, weights=weights.to(stream.hidden.dtype))

    def apply(self, stream: Stream, losers: Tensor, seen: Tensor | None) -> Stream:
        """The stream with fewer tokens."""
        return stream.drop_tokens(losers)


@register
@dataclass(frozen=True)
class SetAside(Action):
    """Token dropping (Hou et al., ACL 2022, arXiv 2203.13240): the losers miss the step's blocks.

    In training only: they leave before the first of the blocks and come back, as they were, after
    the last one. A model in use is dense; what is saved is time to train.
    """

    kind: ClassVar[str] = "set-aside"
    training_only: ClassVar[bool] = True

    def apply(self, stream: Stream, losers: Tensor, seen: Tensor | None) -> Stream:
        """The stream with the losers put aside."""
        return stream.set_aside(losers)


@register
@dataclass(frozen=True)
class Fade(Action):
    """The soft stage of Learned Token Pruning (arXiv 2107.00910) and PoWER-BERT (arXiv 2001.08950).

    Nothing is removed: states are multiplied by the selector's mask, and attention stays as it is.
    What was learned so is frozen to a plan that drops tokens, under which training goes on.

    Attributes:
        after: `"block"` multiplies the block's output, as Learned Token Pruning does, `"attention"`
            what goes into the feed-forward, as PoWER-BERT does.
    """

    kind: ClassVar[str] = "fade"
    takes_masks: ClassVar[bool] = True
    soft: ClassVar[bool] = True

    after: str = "block"

    def __post_init__(self) -> None:
        check(self.after in ("block", "attention"), "after", "'block' or 'attention'", self.after)

    def soften(self, stream: Stream, mask: Tensor) -> Stream:
        """The stream with its states faded, or the mask kept until the block's end."""
        mask = mask.to(stream.hidden.dtype)
        if self.after == "block":
            return replace(stream, fading=mask)
        return replace(stream, hidden=stream.hidden * mask)

    def apply(self, stream: Stream, losers: Tensor, seen: Tensor | None) -> Stream:
        """The stream as it is."""
        return stream

    def frozen(self, modules: Sequence[Learned]) -> DropTokens:
        """What it stands for."""
        return DropTokens()


@register
@dataclass(frozen=True)
class Combine(Action):
    """Focus on the Core (arXiv 2406.01283), C: a module in a block's place combines the tokens.

    Combination tokens are appended to the embedded document, exempt from pruning, and take each a
    group of tokens in; from there on they are all that is left. Ours draws Gumbel noise for each
    pair (the paper's notation would give a token the same for all groups, which shifts nothing),
    scales the product by 1/√d as GroupViT does, and applies the key and value projections on the
    side of the few combination tokens, which is the same by linearity and costs next to nothing.

    Attributes:
        tokens: combination tokens m; the paper's 8.
        temperature: of the straight-through Gumbel softmax; the paper's 1.
    """

    kind: ClassVar[str] = "combine"
    selects: ClassVar[bool] = False
    replaces: ClassVar[bool] = True

    tokens: int = 8
    temperature: float = 1.0

    def __post_init__(self) -> None:
        whole = isinstance(self.tokens, int) and not isinstance(self.tokens, bool)
        check(whole and self.tokens > 0, "tokens", "a whole number above 0", self.tokens)
        check_number("temperature", self.temperature, 0, 100, open_low=True)


@register
@dataclass(frozen=True)
class Skip(Action):
    """The last of the step's blocks are left out: the encoder with fewer layers, a control.

    Attributes:
        keep: share of the blocks that stays; at least one does.
    """

    kind: ClassVar[str] = "skip"
    selects: ClassVar[bool] = False
    skips: ClassVar[bool] = True

    keep: float = 0.5

    def __post_init__(self) -> None:
        check_number("keep", self.keep, 0, 1, open_low=True)

    def kept(self, blocks: int) -> int:
        """How many of so many blocks stay."""
        return max(1, math.floor(self.keep * blocks + 0.5))
