"""Actions: what happens to the tokens that were not selected, or to a block itself."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple, TypeVar

from torch import Tensor

from tersely.ragged import Ragged
from tersely.reduction.parts import Learned, Part, register
from tersely.reduction.stream import Stream

Number = TypeVar("Number", int, float, Tensor)


class BlockCost(NamedTuple):
    """MACs of a block for each thing that it computes.

    The trace multiplies them with what was computed, the penalty of what learns with what counts as
    left: the figures agree, and the latter carry gradients.
    """

    entering: int = 0  # for each token that enters
    pair: int = 0  # for each query with each of its keys
    leaving: int = 0  # for each token that goes through the feed-forward
    fixed: int = 0  # whatever the tokens

    def total(self, entered: Number, pairs: Number, left: Number) -> Number:
        """Return the MACs for so many tokens and pairs, whole numbers or tensors."""
        return self.entering * entered + self.pair * pairs + self.leaving * left + self.fixed


@dataclass(frozen=True)
class Action(Part):
    """What a step does.

    Attributes:
        acts: on what it acts, and so when it is called:
            `"tokens"`: between a block's attention and its feed-forward, tokens may leave;
            `"keys"`: there too, but tokens leave the keys alone, so that each head may lose others;
            `"attention"`: it says who sees whom in a block (`tersely.reduction.patterns`), and can
            stand beside a step that acts on tokens;
            `"block"`: its module, a `BlockModule`, stands in the place of a block;
            `"depth"`: blocks are left out.
    """

    role: ClassVar[str] = "act"
    acts: ClassVar[Literal["tokens", "keys", "attention", "block", "depth"]] = "tokens"
    selects: ClassVar[bool] = True  # the step needs a scorer and a selector
    attention: ClassVar[str | None] = None  # what it asks the attention for, if it selects nothing
    takes_masks: ClassVar[bool] = False  # it can be given the mask of a selector that learns
    soft: ClassVar[bool] = False  # it only fades, so that a stage that removes has to follow
    keeps_tokens: ClassVar[bool] = True  # what is left are tokens, as a family's head wants

    def soften(self, stream: Stream, mask: Tensor) -> Stream:
        """Return the stream with a learned mask `(tokens, 1)` on its tokens, before `apply`."""
        raise TypeError(f"{type(self).__name__} must define soften to be used with a learned mask")

    def apply(self, stream: Stream, losers: Tensor | None, seen: Tensor | None) -> Stream:
        """Return the stream, as it is after the block's attention, after the action.

        `losers` `(tokens, heads or 1)` bool are the tokens that were not selected, `seen` the
        scores, `(tokens, heads or 1)`, or what `attention` asked for.
        """
        raise TypeError(f"{type(self).__name__} must define apply, which acts on the tokens")

    def cost(self, sizes: list[int], width: int, heads: int) -> int:
        """Return the MACs of its matrix products, for documents of these sizes."""
        return 0


class BlockModule(Learned):
    """A module in the place of a block, feed-forward and all."""

    def enter(self, stream: Stream) -> Stream:
        """Return the embedded stream with what the module wants to take along."""
        return stream

    def replace_block(self, stream: Stream) -> tuple[Stream, Ragged]:
        """Return the stream after the module, and where each of the own tokens went."""
        raise TypeError(f"{type(self).__name__} must define replace_block")

    def block_cost(self, documents: int) -> BlockCost:
        """Return what it costs for so many documents; only their own tokens count as entering."""
        raise TypeError(f"{type(self).__name__} must define block_cost")


@register("drop-keys")
class DropKeys(Action):
    """Focus on the Core (arXiv 2406.01283): the losers leave the next blocks' keys and values.

    As in the paper, they stay as queries, keep their states, and never return as keys.
    """

    acts = "keys"

    def apply(self, stream: Stream, losers: Tensor, seen: Tensor | None) -> Stream:
        return stream.drop_keys(losers)


@register("drop-tokens")
class DropTokens(Action):
    """The losers leave altogether, between a block's attention and its feed-forward.

    As in PoWER-BERT (arXiv 2001.08950) and Learned Token Pruning (arXiv 2107.00910); ours are gone
    from the tensors at every batch size.

    Of a selector that learns, the tokens that stay carry the mask's gradients on a weight of
    exactly 1: the one that merged tokens have, on the logits of following attention and in the
    classifier's mean. So attention is masked hard, with straight-through gradients.
    """

    takes_masks = True

    def soften(self, stream: Stream, mask: Tensor) -> Stream:
        gate = 1 + (mask - mask.detach())[:, 0]  # ones, exactly, with gradients
        weights = gate if stream.weights is None else stream.weights * gate
        return replace(stream, weights=weights.to(stream.hidden.dtype))

    def apply(self, stream: Stream, losers: Tensor, seen: Tensor | None) -> Stream:
        return stream.select(~losers[:, 0])
