"""From a checkpoint of transformers to a tersely model.

transformers' own classes load the weights, and what they report as missing, as left over or as of
another shape is read: nothing is silently random or ignored. New modules start from the weights of
the block they replace.
"""

import copy
from collections.abc import Iterable, Mapping
from glob import glob
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)

from tersely.backbones import backbone_class, backbone_for
from tersely.errors import ModelError, TerselyError, warn
from tersely.modeling.configuration import HEADS, TerselyConfig
from tersely.modeling.modeling import TerselyForSequenceClassification, family_head, load_whole
from tersely.modeling.modules import take_over_learned
from tersely.reduction import INPUT, Plan, preset

# What folders without a config.json hold that are given for a model's, and what to do.
_NO_MODELS = {
    "adapter_config.json": "an adapter without its model; save both as one (merge_and_unload)",
    "checkpoints/*": "a training run that did not end; go on with it by resume",
    "evidence.json": "evidence alone, as accelerate writes it to keep the original; give that",
    "*/config.json": "folders of models; give one of them",
    ".": "no config.json; give the folder of a saved model",
}
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
        max_length: most tokens of a document; None for as many as the encoder takes, or as a
            tersely model to start from was saved with.
        long: what happens to longer documents; None for `"truncate"`, or as such a model was saved.
        **loading: `revision`, `token`, `cache_dir`, `local_files_only`, `dtype`, as in
            transformers.

    Returns:
        The model, in evaluation mode as transformers' `from_pretrained` returns it.

    Raises:
        ModelError: if the checkpoint cannot be read, is of another family, or lacks weights.
        PlanError: if the plan does not fit the encoder.
    """
    if unknown := sorted(set(loading) - set(_LOADING)):
        raise ModelError(
            f"{unknown[0]!r} is not an option of from_encoder; use {', '.join(_LOADING)}"
        )
    if head not in ("auto", *HEADS):
        raise ModelError(f"head must be one of auto, {', '.join(HEADS)}, got {head!r}")
    plan = preset(plan) if isinstance(plan, str) else plan
    encoder_config = _read_config(source, loading)
    if encoder_config.model_type == TerselyConfig.model_type:
        dense = _load_dense(source, loading)
        model = with_plan(dense, plan, head, num_labels, id2label, problem_type)
        model.config.max_length = max_length or model.config.max_length
        model.config.long = long or model.config.long
        model.config.check()
        return model
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
    model = _on_encoder(config, stock.base_model, family_head(stock) if keep else None, order)
    return model.to(stock.dtype).eval()


def _hub_options(loading: Mapping[str, Any]) -> dict[str, Any]:
    return {"trust_remote_code": False} | {n: v for n, v in loading.items() if n != "dtype"}


def _read_config(source: str, loading: dict[str, Any]) -> PreTrainedConfig:
    try:
        options = {name: loading[name] for name in loading if name != "dtype"}
        written, _ = PreTrainedConfig.get_config_dict(source, **options)
        if written.get("model_type") == "laconic":
            raise ModelError(
                f"{source} was saved by version 0.1 of this project, which was called laconic; its "
                "models are no longer read, so train it again"
            )
        config = AutoConfig.from_pretrained(source, **_hub_options(loading))
    except TerselyError:
        raise  # says what is wrong already
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        told = f"it cannot be read ({reason}); check the name, or give a local directory"
        if Path(source).is_dir() and not Path(source, "config.json").exists():
            found = next(said for name, said in _NO_MODELS.items() if glob(name, root_dir=source))
            told = f"it holds {found}"
        told = f"expected a model directory or a Hub name, got {str(source)!r}: {told}"
        raise ModelError(told) from None
    if config.model_type != TerselyConfig.model_type:
        backbone_class(config.model_type)
    kind = getattr(config, "position_embedding_type", None) or "absolute"
    if kind.startswith("relative"):
        raise ModelError(
            f"{source} was trained with position_embedding_type={kind!r}, which transformers no "
            "longer computes; expected a model with absolute positions"
        )
    if getattr(config, "is_decoder", False):
        raise ModelError(
            f"{source} is a decoder (is_decoder in its config.json), whose tokens see only those "
            "before them; expected an encoder"
        )
    # transformers fills names in for a base encoder, so only a classifier's are somebody's own.
    named = list(config.id2label or {})
    if sorted(named) != list(range(len(named))):
        raise ModelError(
            f"{source} must number the labels in id2label of its config.json from 0 to "
            f"{len(named) - 1}, got {', '.join(map(str, named[:5]))}; number them so"
        )
    return config


def load_classifier(source: str, **loading: Any) -> TerselyForSequenceClassification:
    """Load a trained classifier: a tersely model as it is, a stock one of transformers as dense."""
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


def _load_dense(source: str, loading: dict[str, Any]) -> TerselyForSequenceClassification:
    dense = load_classifier(source, **loading)
    plan = dense.config.reduction_plan()
    if not (plan.is_dense or plan.is_randomised):
        raise ModelError(
            f"training must start from an encoder or from a model without token reduction, but "
            f"{source} has the plan {plan.name!r}; start from the model that it was trained from"
        )
    # What answers before it was fitted to weights that are about to change.
    dense.config.linear = dense.config.cascade = dense.cascade = dense.linear = None
    return dense


def with_plan(
    dense: TerselyForSequenceClassification,
    plan: Plan,
    head: str = "auto",
    num_labels: int | None = None,
    id2label: Mapping[int, str] | None = None,
    problem_type: str | None = None,
) -> TerselyForSequenceClassification:
    """Put a dense model's encoder, with copies of its weights, under a plan, in evaluation mode.

    What its plan has learned is taken over where the new plan learns the same at the same block,
    and the head for the same labels, in whatever order, unless another kind of head is asked for,
    or it is the family's and the plan combines tokens. Other arguments as in `from_encoder`; None
    for the model's own.
    """
    config, own = copy.deepcopy(dense.config), dense.config.head
    order = _order_of_labels(config, num_labels, id2label)
    fits = head in ("auto", own) and (own == "mean" or plan.keeps_tokens)
    keep = order is not None and fits
    same = keep or (not id2label and num_labels in (None, config.num_labels))
    config.plan = plan.to_dict()
    config.head = (own if keep else "mean") if head == "auto" else head
    labels = _label_fields(config, same, num_labels, id2label, problem_type)
    for name, value in labels.items():
        setattr(config, name, value)
    config.check()
    model = _on_encoder(config, dense.encoder, dense.head if keep else None, order)
    take_over_learned(model.learned, dense.learned)
    if dense.linear is not None:
        model.linear.load_state_dict(dense.linear.state_dict())
    model.knowledge = dense.knowledge
    return model.to(device=dense.device, dtype=dense.dtype).eval()


@torch.no_grad()
def _on_encoder(
    config: TerselyConfig, base: PreTrainedModel, head: nn.Module | None, order: list[int] | None
) -> TerselyForSequenceClassification:
    """Build a model on copies of an encoder's weights, and of a head's, its rows in this order."""
    model, source = TerselyForSequenceClassification(config), backbone_for(base)
    for block, roles in model.learned.items():
        for module in roles.values():
            place = 0 if block == INPUT else int(block)
            module.start_from(source, place, config.separator_id)
    state, own = base.state_dict(), model.encoder.state_dict()
    lacking = sorted(key for key in own if key not in state and "pooler." not in key)
    if lacking:
        told = f"the encoder lacks the weights {', '.join(lacking[:5])}"
        raise ModelError(f"{told}; use a complete checkpoint")
    model.encoder.load_state_dict({key: state[key] for key in own if key in state}, strict=False)
    model.head_is_new = head is None
    if head is not None:
        model.head.load_state_dict(head.state_dict())
        last = [part for part in model.head.modules() if isinstance(part, nn.Linear)][-1]
        for tensor in last.parameters():
            tensor.copy_(tensor[order])
    return model


def load_tokenizer(
    source: str, loading: Mapping[str, Any], config: PreTrainedConfig | None = None
) -> Any:
    """Load a tokenizer by the options of `from_encoder`, and refuse one of another model."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **_hub_options(loading))
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
            f"embeddings of {encoder.vocab_size:,} tokens, so they do not belong together; take "
            "both from one checkpoint"
        )
    # A tokenizer.json may carry truncation and padding of its own (sentence-transformers write 128
    # tokens into it), which other readers of a saved copy would obey.
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    return tokenizer


def _is_classifier(config: PreTrainedConfig) -> bool:
    return any(name.endswith("ForSequenceClassification") for name in config.architectures or [])


def _order_of_labels(
    config: PreTrainedConfig, num_labels: int | None, id2label: Mapping[int, str] | None
) -> list[int] | None:
    """Return the row of each label that is asked for in a head for others in another order.

    In a head for 0: positive, 1: negative the rows of 0: negative, 1: positive are [1, 0].
    """
    own = dict(config.id2label)
    names = dict(id2label) if id2label else own
    if num_labels not in (None, len(own)) or sorted(names.values()) != sorted(own.values()):
        return None
    rows = {name: row for row, name in own.items()}
    return [rows[names[number]] for number in range(len(names))]


def _dtype(source: str, config: PreTrainedConfig, loading: Mapping[str, Any]) -> Any:
    """The type to read weights in: float32 unless another is asked for, whatever the file's is."""
    if loading.get("dtype") is not None:
        return loading["dtype"]
    stored = getattr(config, "dtype", None)
    if stored in (torch.float16, torch.bfloat16):
        warn(
            f"the weights of {source} are stored in {str(stored).removeprefix('torch.')} and are "
            "read as float32, in which models are trained, saved and run on a CPU; give dtype to "
            "keep theirs",
            stacklevel=4,
        )
    return torch.float32


def _check_left_over(source: str, stock: PreTrainedModel, unexpected: Iterable[str]) -> None:
    """Refuse weights left over, blocks or adapters say, that would change what is computed."""
    base, prefix = stock.base_model, stock.base_model_prefix + "."
    own, tables = {*dict(base.named_children())} - {"pooler"}, ("position_ids", "token_type_ids")
    names = sorted(key.removeprefix(prefix) for key in unexpected)
    left = [name for name in names if name.split(".")[0] in own and not name.endswith(tables)]
    if left:
        raise ModelError(
            f"{source} has {len(left)} encoder weights that {type(base).__name__} does not use "
            f"({', '.join(left[:3])}), so its answers would not be those of the model that was "
            "trained; use one of transformers' own classes, with its original num_hidden_layers"
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


def _separator_id(source: str, config: PreTrainedConfig, loading: dict[str, Any]) -> int | None:
    for name in ("sep_token_id", "eos_token_id"):
        if isinstance(found := getattr(config, name, None), int):
            return found
    try:
        return load_tokenizer(source, loading).sep_token_id
    except ModelError:
        return None  # a model without its tokenizer can still be built
