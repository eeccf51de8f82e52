"""Tiny encoders of every supported family, and tokenizers for them, made in milliseconds.

No test downloads a checkpoint: weights are random and vocabularies short, hidden states of 32 in
four heads, and as few blocks as still show a fault.
"""

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModel,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tersely.backbones import backbone_class, supported_families

HIDDEN = 32
VOCABULARY = 100
# The ids below are padding and the tokens that open and close a document, in every family.
SPECIAL = 4
_SPECIAL_TOKENS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")

FAMILIES = supported_families()

_BERT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "pad_token_id": 0,
    # Larger than usual, so that attention and positions leave a visible mark on the outputs.
    "initializer_range": 0.2,
}


def tiny_config(family: str, **overrides: Any) -> PreTrainedConfig:
    """The configuration of a tiny encoder; overrides have BERT's names or the family's own."""
    settings = _BERT | backbone_class(family).tiny_settings | overrides
    given = {name: value for name, value in settings.items() if value is not None}
    return AutoConfig.for_model(family, **given)


def tiny_encoder(family: str, *, seed: int = 0, **overrides: Any) -> PreTrainedModel:
    """A tiny encoder in evaluation mode; the same seed gives the same weights."""
    config = tiny_config(family, **overrides)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = AutoModel.from_config(config)
        # Biases and norms start as 0 and 1, which would hide a mistake in them.
        for parameter in encoder.parameters():
            if parameter.dim() == 1:
                parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    return encoder.eval()


def tiny_ids(lengths: list[int], *, seed: int = 0) -> list[torch.Tensor]:
    """Random token ids of documents with these lengths, without padding, `(length_i,)` each."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randint(SPECIAL, VOCABULARY, (length,), generator=generator) for length in lengths
    ]


def tiny_tokenizer(words: Sequence[str], *, pieces: bool = False) -> PreTrainedTokenizerFast:
    """A tokenizer as BERT's, with [CLS] in front, [SEP] behind, and token types for pairs.

    `words` are its vocabulary, the first with the id `SPECIAL`. With `pieces` they may be parts of
    words, as WordPiece writes them, and capitals are lowered; otherwise words are what white space
    and punctuation leave.
    """
    vocabulary = {word: number for number, word in enumerate([*_SPECIAL_TOKENS, *words])}
    if pieces:
        backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        backend.normalizer = normalizers.BertNormalizer(lowercase=True)
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    else:
        backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "cls", "sep", "unk")}
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=inputs, **names)
