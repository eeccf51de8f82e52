"""From a checkpoint of transformers to a tersely model.

A checkpoint's weights are loaded by transformers' own classes, and what they report as missing, as
left over or as of another shape is read: nothing is silently random or ignored. New modules start
from the weights of the block they replace.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)

from tersely.backbones import backbone_class, backbone_for
from tersely.errors import ModelError, TerselyError, TerselyWarning
from tersely.modeling.configuration import HEADS, TerselyConfig
from tersely.modeling.modeling import (
    TerselyForSequenceClassification,
    family_head,
    load_whole,
)
from tersely.modeling.modules import take_over_learned
from tersely.reduction import Plan, preset

_LOADING = ("revision", "token", "cache_dir", "local_files_only", "dtype")


def from_encoder(
    source: str,
    *,
    plan: Plan | str = "dense",
    head: str = "auto",
    num_labels: int | None = None,
    id2label: Mapping[int, str] | None = None,
    problem_type: str | None = None,
    max_length: int | None = None,
    long: str | None = None,
    **loading: Any,
) -> TerselyForSequenceClassification:
    """Build a tersely model on a pretrained checkpoint of transformers.

    Args:
        source: a Hub name or a directory: a base encoder, or a fine-tuned sequence classifier.
        plan: the reduction plan, or a preset's name.
        head: `"mean"` for a new linear classifier on the mean of the output tokens, `"family"` for
            the family's own head; `"auto"` keeps the head of a fine-tuned classifier (unless the
            plan combines tokens, or the labels are other ones), and takes `"mean"` otherwise. Of a
            dense tersely model, the head is kept for the same labels where it is of this kind.
        num_labels: labels to tell apart; from `id2label` or the checkpoint if not given.
        id2label: the labels' names.
        problem_type: as in transformers.
        max_length: most tokens of a document; None for what a tersely model to start from was
            saved with, and as many as the encoder takes otherwise.
        long: what happens to longer documents; None for what a tersely model to start from was
            saved with, and `"truncate"` otherwise.
        **loading: `revision`, `token`, `cache_dir`, `local_files_only`, `dtype`, as in
            transformers.

    Returns:
        The model, in evaluation mode as transformers' `from_pretrained` returns it.

    Raises:
        ModelError: if the checkpoint cannot be read, is of another family, or lacks weights.
        PlanError: if the plan does not fit the encoder.

    Example:
        >>> name = "bert-base-uncased"
        >>> model = from_encoder(name, plan="focus-pfc", num_labels=4)  # doctest: +SKIP
    """
    unknown = sorted(set(loading) - set(_LOADING))
    if unknown:
        raise ModelError(
            f"{unknown[0]!r} is not an option of from_encoder; use {', '.join(_LOADING)}"
        )
    if head not in ("auto", *HEADS):
        raise ModelError(f"head must be one of auto, {', '.join(HEADS)}, got {head!r}")
    plan = preset(plan) if isinstance(plan, str) else plan
    encoder_config = _read_config(source, loading)
    if encoder_config.model_type == TerselyConfig.model_type:
        asked = {"num_labels": num_labels, "id2label": id2label, "problem_type": problem_type}
        reading = {"max_length": max_length, "long": long}
        return _from_dense(source, plan, head, asked, reading, loading)
    order = None
    if _is_classifier(encoder_config) and head != "mean" and plan.keeps_tokens:
        order = _order_of_labels(encoder_config, num_labels, id2label)
    keep = order is not None
    loader = AutoModelForSequenceClassification if keep else AutoModel
    options = loading | {"dtype": _dtype(source, encoder_config, loading)}
    stock, info = load_whole(
        loader.from_pretrained, source, config=encoder_config, trust_remote_code=False, **options
    )
    _check_left_over(source, stock, info["unexpected_keys"])
    config = TerselyConfig(
        encoder_config=encoder_config,
        plan=plan.to_dict(),
        head="family" if keep or head == "family" else "mean",
        max_length=max_length,
        long=long or "truncate",
        separator_id=_separator_id(source, encoder_config, loading),
        **_label_fields(encoder_config, keep, num_labels, id2label, problem_type),
    )
    model = TerselyForSequenceClassification(config)
    _take_over(model, stock.base_model)
    if keep:
        model.head.load_state_dict(family_head(stock).state_dict())
        _permute_labels(model.head, order)
    model.head_is_new = not keep
    return model.to(stock.dtype).eval()


def _read_config(source: str, loading: dict[str, Any]) -> PreTrainedConfig:
    """Read a checkpoint's config.json, and refuse one that means what is not computed here."""
    options = {name: loading[name] for name in loading if name != "dtype"}
    try:
        written, _ = PreTrainedConfig.get_config_dict(source, **options)
        if written.get("model_type") == "laconic":
            raise ModelError(
                f"{source} was saved by version 0.1 of this project, which was called laconic; its "
                "models are no longer read, so train it anew"
            )
        config = AutoConfig.from_pretrained(source, trust_remote_code=False, **options)
    except TerselyError:
        raise  # says what is wrong already
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"expected a model directory or a Hub name, got {str(source)!r}, which cannot be read "
            f"({reason}); check the name, or give a local directory"
        ) from None
    if config.model_type != TerselyConfig.model_type:
        backbone_class(config.model_type)
    kind = getattr(config, "position_embedding_type", None) or "absolute"
    # transformers fills names in for a base encoder, so only a classifier's are somebody's own.
    named = list(config.id2label or {})
    refusals = (
        (
            kind.startswith("relative"),
            f"was trained with position_embedding_type={kind!r}, which transformers no longer "
            "computes; expected a model with absolute positions",
        ),
        (
            getattr(config, "is_decoder", False),
            "is a decoder (is_decoder is true in its config.json), whose tokens see only those "
            "before them; expected an encoder",
        ),
        (
            sorted(named) != list(range(len(named))),
            f"must number the labels in id2label of its config.json from 0 to {len(named) - 1}, "
            f"got {', '.join(map(str, named[:5]))}; number them so",
        ),
    )
    for wrong, message in refusals:
        if wrong:
            raise ModelError(f"{source} {message}")
    return config


def load_classifier(source: str, **loading: Any) -> TerselyForSequenceClassification:
    """Load a trained classifier: a tersely model as it is, a stock one of transformers as dense.

    Raises:
        ModelError: if it cannot be read, or was never trained to classify.
    """
    config = _read_config(source, loading)
    if config.model_type == TerselyConfig.model_type:
        with_dtype = loading | {"dtype": _dtype(source, config, loading)}
        return TerselyForSequenceClassification.from_pretrained(source, **with_dtype)
    if not _is_classifier(config):
        raise ModelError(
            f"expected a trained classifier, got {source}, an encoder without a classification "
            "head; train one with: tersely train"
        )
    return from_encoder(source, **loading)


def with_plan(
    dense: TerselyForSequenceClassification,
    plan: Plan,
    labels: Mapping[str, Any] | None = None,
    head: str = "auto",
) -> TerselyForSequenceClassification:
    """Put a dense model's encoder, with copies of its weights, under a plan, in evaluation mode.

    Args:
        dense: a model with all of its blocks. What its plan has learned is taken over where the new
            plan learns the same at the same block.
        plan: the plan of the new one.
        labels: the configuration's fields about labels, None for the model's own. The head is kept
            for the same labels, in whatever order, unless it is the family's and the plan combines
            tokens.
        head: `"mean"` or `"family"`, a new one where the model's own is of the other kind; `"auto"`
            for the model's own, or else `"mean"`.
    """
    config = copy.deepcopy(dense.config)
    own = config.head
    wanted = labels or {}
    order = _order_of_labels(config, wanted.get("num_labels"), wanted.get("id2label"))
    fits = head in ("auto", own) and (own == "mean" or plan.keeps_tokens)
    keep = order is not None and fits
    config.plan = plan.to_dict()
    config.head = (own if keep else "mean") if head == "auto" else head
    for name, value in wanted.items():
        setattr(config, name, value)
    config.check()
    model = TerselyForSequenceClassification(config)
    _take_over(model, dense.encoder)
    if keep:
        model.head.load_state_dict(dense.head.state_dict())
        _permute_labels(model.head, order)
        pooler = getattr(dense.encoder, "pooler", None)
        if pooler is not None:
            model.encoder.pooler.load_state_dict(pooler.state_dict())
    take_over_learned(model.learned, dense.learned)
    model.head_is_new = not keep
    model.knowledge = dense.knowledge
    return model.to(device=dense.device, dtype=dense.dtype).eval()


def load_tokenizer(
    source: str, loading: Mapping[str, Any], config: PreTrainedConfig | None = None
) -> Any:
    """Load a checkpoint's tokenizer by the options of `from_encoder`.

    One that is empty is refused, and one whose ids lack an embedding in a model of this `config`.
    """
    options = {name: loading[name] for name in loading if name != "dtype"}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"the tokenizer of {source} cannot be loaded: {reason}") from None
    words = tokenizer.get_vocab()
    # In the place of files that are missing, transformers makes a tokenizer of special tokens.
    if set(words) <= set(tokenizer.all_special_tokens):
        raise ModelError(
            f"expected the files of a tokenizer in {source} (tokenizer.json, or a vocabulary), got "
            f"none: it would know {len(words)} special tokens and no word; copy them there"
        )
    encoder = getattr(config, "encoder_config", config)
    if encoder is not None and max(words.values()) >= encoder.vocab_size:
        raise ModelError(
            f"the tokenizer of {source} has ids up to {max(words.values()):,}, and the model "
            f"embeddings of {encoder.vocab_size:,} tokens, so they do not belong together; give "
            "both from one checkpoint"
        )
    # A tokenizer.json may carry truncation and padding of its own (sentence-transformers write 128
    # tokens into it), which other readers of a saved copy would obey.
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    return tokenizer


def _from_dense(
    source: str,
    plan: Plan,
    head: str,
    asked: dict[str, Any],
    reading: dict[str, Any],
    loading: dict[str, Any],
) -> TerselyForSequenceClassification:
    """Start from a dense tersely model: its encoder, and its head if the labels are the same."""
    dense = load_classifier(source, **loading)
    old = dense.config
    if not old.reduction_plan().is_dense:
        raise ModelError(
            f"expected an encoder or a dense tersely model to start from, got {source} with the "
            f"plan {old.plan['name']!r}; start from what it was trained from"
        )
    labels = None
    if asked["id2label"] or asked["num_labels"] not in (None, old.num_labels):
        labels = _label_fields(old, False, **asked)
    model = with_plan(dense, plan, labels, head)
    config = model.config
    kept = labels is None or not model.head_is_new
    config.problem_type = asked["problem_type"] or (old.problem_type if kept else None)
    for name, value in reading.items():
        setattr(config, name, value or getattr(old, name))
    # Measured with the weights that are about to be trained further, and not with the new ones.
    config.execution = None
    config.check()
    return model


def _is_classifier(config: PreTrainedConfig) -> bool:
    return any(name.endswith("ForSequenceClassification") for name in config.architectures or [])


def _order_of_labels(
    config: PreTrainedConfig, num_labels: int | None, id2label: Mapping[int, str] | None
) -> list[int] | None:
    """Return the row of each label that is asked for in a head for the configuration's labels.

        the head's      0: positive   1: negative
        asked for       0: negative   1: positive        [1, 0]

    None where other labels are asked for, so that the head cannot be kept.
    """
    own = dict(config.id2label)
    if num_labels not in (None, len(own)):
        return None
    names = dict(id2label) if id2label else own
    if sorted(names.values()) != sorted(own.values()):
        return None
    if names == own:
        return list(range(len(own)))
    rows = {name: row for row, name in own.items()}
    return [rows[names[number]] for number in range(len(names))]


@torch.no_grad()
def _permute_labels(head: torch.nn.Module, order: list[int]) -> None:
    """Put the rows of a head's last layer, one for each label, into another order."""
    last = [part for part in head.modules() if isinstance(part, torch.nn.Linear)][-1]
    last.weight.copy_(last.weight[order])
    if last.bias is not None:
        last.bias.copy_(last.bias[order])


def _dtype(source: str, config: PreTrainedConfig, loading: Mapping[str, Any]) -> Any:
    """The type to read weights in: float32 unless another is asked for, whatever the file's is."""
    if loading.get("dtype") is not None:
        return loading["dtype"]
    stored = getattr(config, "dtype", None)
    if stored in (torch.float16, torch.bfloat16):
        warnings.warn(
            f"the weights of {source} are stored in {str(stored).removeprefix('torch.')} and are "
            "read as float32, in which models are trained, saved and run on a CPU; give dtype to "
            "keep theirs",
            TerselyWarning,
            stacklevel=4,
        )
    return torch.float32


def _check_left_over(source: str, stock: PreTrainedModel, unexpected: Iterable[str]) -> None:
    """Refuse weights of the encoder that its configuration has no place for.

    Other heads may be left over, a pooler, and tables that are no weights; blocks, relative
    positions or adapters would change what the encoder computes.
    """
    base = stock.base_model
    blocks = backbone_for(base).blocks
    path = next(name for name, module in base.named_modules() if module is blocks)
    own = {name for name, _ in base.named_children()} - {"pooler"}
    left: set[int] = set()
    others: list[str] = []
    for key in sorted(unexpected):
        name = key.removeprefix(stock.base_model_prefix + ".")
        if name.split(".")[0] not in own or name.endswith(("position_ids", "token_type_ids")):
            continue
        found = re.match(rf"{re.escape(path)}\.(\d+)\.", name)
        if found and int(found.group(1)) >= len(blocks):
            left.add(int(found.group(1)))
        else:
            others.append(key)
    if left:
        raise ModelError(
            f"{source} holds {len(blocks) + len(left)} blocks but its config.json names "
            f"{len(blocks)}; correct num_hidden_layers there, or save the shorter model anew"
        )
    if others:
        raise ModelError(
            f"{source} holds {len(others)} weights of its encoder that {type(base).__name__} has "
            f"no place for ({', '.join(others[:3])}), so it was trained to compute something else; "
            "expected a checkpoint of transformers' own classes"
        )


def _label_fields(
    config: PreTrainedConfig,
    keep: bool,
    num_labels: int | None,
    id2label: Mapping[int, str] | None,
    problem_type: str | None,
) -> dict[str, Any]:
    names = dict(id2label) if id2label else dict(config.id2label) if keep else None
    problem_type = problem_type or (config.problem_type if keep else None)
    if names is None:
        return {"num_labels": num_labels or 2, "problem_type": problem_type}
    label2id = {name: number for number, name in names.items()}
    return {"id2label": names, "label2id": label2id, "problem_type": problem_type}


@torch.no_grad()
def _take_over(model: TerselyForSequenceClassification, base: PreTrainedModel) -> None:
    """Start modules that learn from the blocks of an encoder, and copy its weights."""
    source = backbone_for(base)
    for block, roles in model.learned.items():
        for module in roles.values():
            module.start_from(source, int(block), model.config.separator_id)
    state, own = base.state_dict(), model.encoder.state_dict()
    lacking = sorted(key for key in own if key not in state and "pooler." not in key)
    if lacking:
        raise ModelError(f"the encoder lacks {', '.join(lacking[:5])}; expected all its weights")
    model.encoder.load_state_dict({key: state[key] for key in own if key in state}, strict=False)


def _separator_id(source: str, config: PreTrainedConfig, loading: dict[str, Any]) -> int | None:
    """The id of [SEP], from the configuration or else the tokenizer; None if there is neither."""
    for name in ("sep_token_id", "eos_token_id"):
        if isinstance(found := getattr(config, name, None), int):
            return found
    try:
        return load_tokenizer(source, loading).sep_token_id
    except ModelError:
        return None  # a model without its tokenizer can still be built
