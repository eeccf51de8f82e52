"""Untrained classifiers with a tokenizer of word pieces, under any plan."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from laconic import Classifier
from laconic.model import from_encoder
from tiny import tiny_encoder

__all__ = ["TEXT", "make", "save_pieces"]

SPECIALS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
PIECES = "play ##ing ##ed un the cat sat , . ( ) a b c ##a ##b ##c film good bad ##ly".split()
TEXT = "The cat  sat, playing (un\nplayed) goodly film."


def save_pieces(folder: Path, **overrides: object) -> Path:
    """A tiny BERT with a WordPiece tokenizer that lowers capitals."""
    vocabulary = {word: number for number, word in enumerate(SPECIALS + PIECES)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    tiny_encoder("bert", **{"num_hidden_layers": 4} | overrides).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make(folder: Path, method: str = "dense", *, problem_type=None, labels=3, **options):
    """A classifier with random weights; options of the model by name, others of the method."""
    mine = {name: options.pop(name) for name in ("max_length", "long") if name in options}
    classifier = Classifier(folder, method=method, method_options=options, device="cpu", **mine)
    model = from_encoder(
        str(folder),
        plan=classifier.plan,
        id2label=dict(enumerate(["one", "two", "three"][:labels])),
        problem_type=problem_type,
        **mine,
    )
    from transformers import AutoTokenizer

    classifier.adopt(model, AutoTokenizer.from_pretrained(folder))
    return classifier
