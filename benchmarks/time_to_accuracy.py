"""Seconds to the same validation accuracy: packed training against the stock Trainer.

    python benchmarks/time_to_accuracy.py --data $DATA --encoder DIRECTORY [--sets r8 20ng]

Both train the same model (the encoder with its family's head) by the recipe: the same epochs, mean
number of documents a step, schedule, learning rates by block and of the head, class weights and
dropout, none of it on attention. The stock Trainer pads each random batch to its longest document
and uses SDPA; tersely fills batches to a token budget. A clock that stands while the validation
documents are read gives the curve of a run; the accuracy to reach is the lower of the two best
ones, and points below it. One JSON a run, skipped where it is there; the contenders take turns. A
killed run begins anew, since its clock cannot go on.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding

from common import RESULTS, drawn, parser, quiet, versions, write
from tersely import TrainingSettings
from tersely._io import describe_machine
from tersely.modeling import from_encoder
from tersely.modeling.inference import run_model
from tersely.modeling.loading import load_tokenizer
from tersely.text import Documents, LabelSpace, read_documents
from tersely.text.encoding import encode
from tersely.training.recipe import VERSION, document_weights, with_recipe
from tersely.training.run import train_model, trainer_arguments
from tersely.training.trainer import TrainingDocuments

FORMAT = 1
FOLDER = RESULTS / "time_to_accuracy"
SETS, NAMES = ("r8", "20ng"), ("stock", "packed")
LENGTH = 256
VALIDATION = 600  # documents at most
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Curve(transformers.TrainerCallback):
    """Notes the accuracy every few steps, and the seconds of training until then."""

    def __init__(self, accuracy: Callable[[], float], every: int) -> None:
        self.accuracy, self.every = accuracy, every
        self.points: list[dict[str, float]] = []
        self.seconds = 0.0

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop the clock while the validation documents are read."""
        if state.global_step % self.every and state.global_step < state.max_steps:
            return
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - self.started
        point = {"step": state.global_step, "seconds": self.seconds, "accuracy": self.accuracy()}
        self.points.append(point)
        kwargs["model"].train()
        self.started = time.perf_counter()


class StockTrainer(transformers.Trainer):
    """The Trainer as it is, with the recipe's class weights in the loss."""

    weights: torch.Tensor | None = None

    def compute_loss(
        self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Return the loss of which a rare class's documents make more."""
        if self.weights is None:
            return super().compute_loss(model, inputs, *args, **kwargs)
        labels = inputs.pop("labels")
        each = torch.nn.functional.cross_entropy(model(**inputs).logits, labels, reduction="none")
        return (each * self.weights.to(each)[labels]).mean()


def rates(model: torch.nn.Module, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Return the optimiser's groups: the recipe's rate for each block, and for the head."""
    blocks = model.config.num_hidden_layers
    groups = []
    for name, parameter in model.named_parameters():
        block = re.search(r"\.layers?\.(\d+)\.", name)
        inside = name.startswith(model.base_model_prefix)
        below = blocks - 1 - int(block[1]) if block else blocks
        factor = settings.layer_decay**below if inside else settings.head_factor
        decay = 0.0 if name.endswith("bias") or "norm" in name.lower() else settings.weight_decay
        rate = settings.learning_rate * factor
        groups.append({"params": [parameter], "lr": rate, "weight_decay": decay})
    return groups


class Texts:
    """A data set's documents, encoded once, and how to train on them."""

    def __init__(self, args: argparse.Namespace, name: str, seed: int) -> None:
        self.encoder, self.tokenizer = args.encoder, load_tokenizer(args.encoder, {})
        self.parts: dict[str, TrainingDocuments] = {}
        for part, most in (("train", args.documents), ("validation", VALIDATION)):
            found = read_documents(args.data / name / f"{part}.parquet", labels="required")
            self._add(part, drawn(found, most))
        train = self.parts["train"]
        self.settings = with_recipe(TrainingSettings(seed=seed), train.labels, self.width)

    @property
    def width(self) -> int:
        """The encoder's hidden size."""
        return transformers.AutoConfig.from_pretrained(self.encoder).hidden_size

    def _add(self, part: str, documents: Documents) -> None:
        if part == "train":
            self.space = LabelSpace.infer(documents.labels)
        encoded = encode(self.tokenizer, documents.texts, max_length=LENGTH)
        self.parts[part] = TrainingDocuments(encoded, self.space.encode(documents.labels))

    def accuracy(self, logits: np.ndarray) -> float:
        """Return the share of the validation documents that logits label right."""
        return float((logits.argmax(1) == self.parts["validation"].labels).mean())


def train_packed(texts: Texts, every: int) -> list[dict[str, float]]:
    """Train on packed batches; return the curve."""
    torch.manual_seed(texts.settings.seed)
    model = from_encoder(
        texts.encoder, plan="dense", head="family", id2label=dict(enumerate(texts.space.names))
    ).to(DEVICE)
    read = texts.parts["validation"].encoded
    curve = Curve(lambda: texts.accuracy(run_model(model.eval(), read, 4096).logits), every)
    settings = texts.settings
    train_model(model, texts.parts["train"], None, settings, callbacks=[curve])
    return curve.points


def train_stock(texts: Texts, every: int) -> list[dict[str, float]]:
    """Train with transformers' Trainer on padded batches; return the curve."""
    settings, train = texts.settings, texts.parts["train"]
    torch.manual_seed(settings.seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        texts.encoder,
        num_labels=len(texts.space.names),
        attn_implementation="sdpa",
        attention_probs_dropout_prob=0.0,
        hidden_dropout_prob=settings.dropout,
        classifier_dropout=settings.dropout,
    ).to(DEVICE)
    rows = [
        {"input_ids": window.tolist(), "labels": int(label)}
        for window, label in zip(train.encoded.windows, train.labels, strict=True)
    ]
    collate = DataCollatorWithPadding(texts.tokenizer)
    read = texts.parts["validation"].encoded

    @torch.inference_mode()
    def accuracy() -> float:
        model.eval()
        logits = [
            model(torch.from_numpy(window)[None].to(DEVICE)).logits for window in read.windows
        ]
        return texts.accuracy(torch.cat(logits).float().cpu().numpy())

    with tempfile.TemporaryDirectory() as folder:
        arguments = trainer_arguments(settings, Path(folder), device=DEVICE, validate=False)
        arguments.per_device_train_batch_size = settings.batch_documents
        arguments.save_strategy, arguments.disable_tqdm = "no", True
        optimizer = torch.optim.AdamW(rates(model, settings), lr=settings.learning_rate)
        curve = Curve(accuracy, every)
        trainer = StockTrainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            data_collator=collate,
            optimizers=(optimizer, None),
            callbacks=[curve],
        )
        if settings.class_weights != "none":
            own = document_weights(train.labels, texts.space.names, settings.class_weights)
            table = np.zeros(len(texts.space.names), dtype=np.float32)
            table[train.labels] = own
            trainer.weights = torch.from_numpy(table)
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    return curve.points


def reached(points: list[dict[str, float]], accuracy: float) -> float | None:
    """Return the seconds after which a curve first was at an accuracy, None if it never was."""
    return next((point["seconds"] for point in points if point["accuracy"] >= accuracy), None)


def main() -> None:
    """Let the contenders take turns; print the seconds to the accuracy that both reach."""
    options = parser(__doc__, None, "data", "encoder")
    options.add_argument("--results", type=Path, default=FOLDER)
    options.add_argument("--sets", nargs="*", default=SETS)
    options.add_argument("--seeds", type=int, nargs="*", default=[0])
    options.add_argument("--documents", type=int, help="to train on; all by default")
    options.add_argument("--every", type=int, default=25, help="steps between validations")
    args = options.parse_args()
    quiet()
    for seed in args.seeds:
        for name in args.sets:
            found = {}
            for contender, train in zip(NAMES, (train_stock, train_packed), strict=True):
                path = args.results / f"{name}-{contender}-{seed}.json"
                if not path.is_file():
                    texts = Texts(args, name, seed)
                    record = {
                        "format": FORMAT,
                        "recipe": VERSION,
                        "data": name,
                        "contender": contender,
                        "seed": seed,
                        "max_length": LENGTH,
                        "train_documents": len(texts.parts["train"]),
                        "validation_documents": len(texts.parts["validation"]),
                        "points": train(texts, args.every),
                        "settings": texts.settings.to_dict(),
                        "machine": describe_machine(),
                        "versions": versions(),
                    }
                    write(path, record)
                record = json.loads(path.read_text())
                if (record.get("format"), record.get("recipe")) != (FORMAT, VERSION):
                    sys.exit(f"{path.name} is of another format or recipe; move it away")
                found[contender] = record["points"]
            goal = min(max(point["accuracy"] for point in own) for own in found.values())
            seconds = {contender: reached(own, goal) for contender, own in found.items()}
            print(f"{name}, seed {seed}: {goal:.3f} after {seconds} seconds", flush=True)


if __name__ == "__main__":
    main()
