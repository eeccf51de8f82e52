"""From a checkpoint of transformers to a tersely model, and a dense one back again.

A checkpoint's weights are loaded by transformers' own classes, and what they report as missing is
read: nothing is silently random. New modules start from the weights of the block they replace.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)

from tersely.backbones import backbone_for
from tersely.backbones.families import backbone_class
from tersely.errors import ModelError, TerselyError
from tersely.modeling.configuration import HEADS, TerselyConfig
from tersely.modeling.heads import family_head
from tersely.modeling.modeling import TerselyForSequenceClassification
from tersely.modeling.modules import take_over_learned
from tersely.reduction import Plan, preset

__all__ = ["dense_checkpoint", "from_encoder", "load_classifier", "load_tokenizer", "with_plan"]

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
    keep = _keeps_head(encoder_config, plan, head, num_labels, id2label)
    stock = _load(source, encoder_config, keep, loading)
    labels = _label_fields(encoder_config, keep, num_labels, id2label, problem_type)
    config = TerselyConfig(
        encoder_config=encoder_config,
        plan=plan.to_dict(),
        head="family" if keep or head == "family" else "mean",
        max_length=max_length,
        long=long or "truncate",
        separator_id=_separator_id(source, encoder_config, loading),
        **labels,
    )
    model = TerselyForSequenceClassification(config)
    _take_over(model, stock, keep)
    model.head_is_new = not keep
    return model.to(stock.dtype).eval()


def dense_checkpoint(model: TerselyForSequenceClassification) -> PreTrainedModel:
    """Turn a dense model with its family's head back into the stock classifier of transformers.

    Args:
        model: a model whose plan removes nothing.

    Returns:
        For example a `BertForSequenceClassification`, with copies of the weights and the labels.

    Raises:
        ModelError: if the plan removes something, or the head is not the family's.
    """
    config = model.config
    if not config.reduction_plan().is_dense:
        raise ModelError(
            "only a dense model can become a stock checkpoint, got the plan "
            f"{config.plan['name']!r}"
        )
    if config.head != "family":
        raise ModelError(
            "only a model with its family's head can become a stock checkpoint, got the head "
            f"{config.head!r}; train with head='family'"
        )
    data = config.encoder_config.to_dict() | {
        "id2label": config.id2label,
        "label2id": config.label2id,
        "problem_type": config.problem_type,
    }
    data.pop("num_labels", None)
    stock_config = type(config.encoder_config).from_dict(data)
    stock = AutoModelForSequenceClassification.from_config(stock_config)
    stock.base_model.load_state_dict(model.encoder.state_dict())
    family_head(stock).load_state_dict(model.head.state_dict())
    return stock.to(model.dtype).eval()


def _read_config(source: str, loading: dict[str, Any]) -> PreTrainedConfig:
    options = {name: loading[name] for name in loading if name != "dtype"}
    try:
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
    return config


def load_classifier(source: str, **loading: Any) -> TerselyForSequenceClassification:
    """Load a trained classifier: a tersely model as it is, a stock one of transformers as dense.

    Raises:
        ModelError: if it cannot be read, or was never trained to classify.
    """
    config = _read_config(source, loading)
    if config.model_type == TerselyConfig.model_type:
        return TerselyForSequenceClassification.from_pretrained(source, **loading)
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
    """The same encoder under a plan, with copies of a dense model's weights.

    The configuration is the dense model's own, but for what is named here.

    Args:
        dense: a model with all of its blocks. What its plan has learned is taken over where the new
            plan learns the same at the same block.
        plan: the plan of the new one.
        labels: the configuration's fields about labels, None for the model's own. The head is kept
            for the same labels, unless it is the family's and the plan combines tokens.
        head: `"mean"` or `"family"`, a new one where the model's own is of the other kind; `"auto"`
            for the model's own, or else `"mean"`.

    Returns:
        The model, in evaluation mode.
    """
    config = copy.deepcopy(dense.config)
    own = config.head
    keep = labels is None and head in ("auto", own) and (own == "mean" or plan.keeps_tokens)
    config.plan = plan.to_dict()
    config.head = (own if keep else "mean") if head == "auto" else head
    for name, value in (labels or {}).items():
        setattr(config, name, value)
    config.check()
    model = TerselyForSequenceClassification(config)
    _take_over(model, dense.encoder, False)
    if keep:
        model.head.load_state_dict(dense.head.state_dict())
        pooler = getattr(dense.encoder, "pooler", None)
        if pooler is not None:
            model.encoder.pooler.load_state_dict(pooler.state_dict())
    take_over_learned(model.learned, dense.learned)
    model.head_is_new = not keep
    model.knowledge = dense.knowledge
    return model.to(device=dense.device, dtype=dense.dtype).eval()


def load_tokenizer(source: str, loading: Mapping[str, Any]) -> Any:
    """Load a checkpoint's tokenizer.

    Args:
        source: a Hub name or a directory.
        loading: the options of `from_encoder`; `dtype` is not a tokenizer's.

    Raises:
        ModelError: if it cannot be read.
    """
    options = {name: loading[name] for name in loading if name != "dtype"}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"the tokenizer of {source} cannot be loaded: {reason}") from None
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
    dense = TerselyForSequenceClassification.from_pretrained(source, **loading)
    old = dense.config
    if not old.reduction_plan().is_dense:
        raise ModelError(
            f"expected an encoder or a dense tersely model to start from, got {source} with the "
            f"plan {old.plan['name']!r}; start from what it was trained from"
        )
    names = dict(asked["id2label"]) if asked["id2label"] else None
    same = names in (None, dict(old.id2label)) and asked["num_labels"] in (None, old.num_labels)
    labels = None
    if not same:
        given = (asked["num_labels"], asked["id2label"], asked["problem_type"])
        labels = _label_fields(old, False, *given)
    model = with_plan(dense, plan, labels, head)
    config = model.config
    config.problem_type = asked["problem_type"] or config.problem_type
    for name, value in reading.items():
        setattr(config, name, value or getattr(old, name))
    # Measured with the weights that are about to be trained further, and not with the new ones.
    config.execution = None
    config.check()
    return model


def _is_classifier(config: PreTrainedConfig) -> bool:
    return any(name.endswith("ForSequenceClassification") for name in config.architectures or [])


def _keeps_head(
    config: PreTrainedConfig,
    plan: Plan,
    head: str,
    num_labels: int | None,
    id2label: Mapping[int, str] | None,
) -> bool:
    """Whether the checkpoint's own classifier is kept."""
    if not _is_classifier(config) or head == "mean" or not plan.keeps_tokens:
        return False
    names = dict(id2label) if id2label else None
    same_names = names is None or names == dict(config.id2label)
    return same_names and num_labels in (None, config.num_labels)


def _load(
    source: str, config: PreTrainedConfig, classifier: bool, loading: dict[str, Any]
) -> PreTrainedModel:
    """Load the checkpoint with transformers' class and refuse weights that would be random."""
    loader = AutoModelForSequenceClassification if classifier else AutoModel
    try:
        stock, info = loader.from_pretrained(
            source, config=config, trust_remote_code=False, output_loading_info=True, **loading
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"the weights of {source} cannot be loaded: {reason}") from None
    # A pooler is not part of the encoder's pretraining in every family, and a new head skips it.
    missing = sorted(key for key in info["missing_keys"] if classifier or "pooler." not in key)
    if missing:
        raise ModelError(
            f"{source} lacks {len(missing)} weights of {type(stock).__name__}, which would be "
            f"random ({', '.join(missing[:5])}); expected a checkpoint with all of them"
        )
    _refuse_left_blocks(source, stock, info["unexpected_keys"])
    return stock


def _refuse_left_blocks(source: str, stock: PreTrainedModel, unexpected: Iterable[str]) -> None:
    """A configuration with fewer blocks than its file would leave trained blocks out silently."""
    base = stock.base_model
    blocks = backbone_for(base).blocks
    path = next(name for name, module in base.named_modules() if module is blocks)
    left = {
        int(found.group(1))
        for key in unexpected
        if (found := re.search(rf"(?:^|\.){re.escape(path)}\.(\d+)\.", key))
        and int(found.group(1)) >= len(blocks)
    }
    if left:
        raise ModelError(
            f"{source} holds {len(blocks) + len(left)} blocks but its config.json names "
            f"{len(blocks)}; correct num_hidden_layers there, or save the shorter model anew"
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
def _take_over(model: TerselyForSequenceClassification, stock: PreTrainedModel, keep: bool) -> None:
    base = stock.base_model if keep else stock
    state = base.state_dict()
    source = backbone_for(base)
    for block, roles in model.learned.items():
        for module in roles.values():
            module.start_from(source, int(block), model.config.separator_id)
    own = model.encoder.state_dict()
    lacking = sorted(key for key in own if key not in state and "pooler." not in key)
    if lacking:
        raise ModelError(f"the encoder lacks {', '.join(lacking[:5])}; expected all its weights")
    model.encoder.load_state_dict({key: state[key] for key in own if key in state}, strict=False)
    if keep:
        model.head.load_state_dict(family_head(stock).state_dict())


def _separator_id(source: str, config: PreTrainedConfig, loading: dict[str, Any]) -> int | None:
    """The id of [SEP], from the configuration or else the tokenizer; None if there is neither."""
    for name in ("sep_token_id", "eos_token_id"):
        if isinstance(found := getattr(config, name, None), int):
            return found
    try:
        return load_tokenizer(source, loading).sep_token_id
    except ModelError:
        return None  # a model without its tokenizer can still be built
