"""Training speed and memory: tersely's packed batches against the stock Trainer.

    python benchmarks/train_speed.py --data $DATA --encoder DIRECTORY

The same model (MiniLM-L6 with its family's head), the same documents (a part of 20 Newsgroups) at
512 tokens, the same mean number of documents an optimiser step, and no attention dropout (which
alone would more than double the time of a step on a CPU, for both). The stock Trainer pads each
random batch to its longest document and uses SDPA; tersely fills batches to a token budget. Each
run is a process of its own, so that neither's memory hides in the other's; they take turns, and the
first steps (allocation, warm-up) are not timed.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers

from common import newsgroups, parser, quiet, write
from tersely import Classifier, TrainingSettings
from tersely._io import describe_machine
from tersely.text import Documents, LabelSpace
from tersely.text.batching import TokenBudgetSampler
from tersely.training.recipe import with_recipe
from tersely.training.trainer import TerselyTrainer, TrainingDocuments

DOCUMENTS_PER_STEP, LENGTH, UNTIMED = 16, 512, 3


class Clock(transformers.TrainerCallback):
    """Seconds of each optimiser step."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Note the time."""
        self.marks.append(time.perf_counter())


def arguments(folder: str, **options: Any) -> transformers.TrainingArguments:
    """What both runs share."""
    return transformers.TrainingArguments(
        output_dir=folder,
        num_train_epochs=1,
        learning_rate=1e-4,
        seed=0,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        **options,
    )


def train_stock(encoder: str, documents: Documents, clock: Clock, folder: str) -> list[int]:
    """The stock Trainer with dynamic padding in random order; returns real tokens of each step."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    space = LabelSpace.infer(documents.labels)
    encoded = tokenizer(documents.texts, truncation=True, max_length=LENGTH)
    rows = [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(label)}
        for ids, label in zip(encoded["input_ids"], space.encode(documents.labels), strict=True)
    ]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        encoder,
        num_labels=len(space.names),
        attn_implementation="sdpa",
        attention_probs_dropout_prob=0.0,
    )
    tokens: list[int] = []
    collate = transformers.DataCollatorWithPadding(tokenizer)

    def counted(batch: list[dict]) -> dict:
        tokens.append(sum(len(row["input_ids"]) for row in batch))
        return collate(batch)

    trainer = transformers.Trainer(
        model=model,
        args=arguments(folder, per_device_train_batch_size=DOCUMENTS_PER_STEP),
        train_dataset=rows,
        data_collator=counted,
        callbacks=[clock],
    )
    trainer.train()
    return tokens


def train_packed(encoder: str, documents: Documents, clock: Clock, folder: str) -> list[int]:
    """Train on packed batches whose budget holds as many documents on average."""
    classifier = Classifier(encoder, method="dense", head="family", max_length=LENGTH)
    space = LabelSpace.infer(documents.labels)
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    torch.manual_seed(0)
    model = classifier._new_model(space, classifier.plan, classifier.head)
    classifier.adopt(model, tokenizer)
    train = TrainingDocuments(classifier.encode(documents.texts), space.encode(documents.labels))
    steps = round(len(documents) / DOCUMENTS_PER_STEP)
    budget = train.encoded.tokens // steps
    # Batches are not filled to the last token: give them room until there are as many as wanted.
    while len(TokenBudgetSampler(train.encoded.sizes, budget)) > steps:
        budget += budget // 100
    settings = TrainingSettings(epochs=1, batch_tokens=budget, batch_documents=len(documents))
    settings = with_recipe(settings, train.labels, model.backbone.width)
    trainer = TerselyTrainer(
        classifier.model, settings, train, args=arguments(folder), callbacks=[clock]
    )
    tokens = [int(train.encoded.sizes[batch].sum()) for batch in trainer.sampler]
    trainer.train()
    return tokens


def child(args: argparse.Namespace) -> None:
    """One run in this process; prints its figures as JSON."""
    quiet()
    documents, _ = newsgroups(args.data, "train", args.documents)
    clock = Clock()
    run = {"stock": train_stock, "packed": train_packed}[args.child]
    with tempfile.TemporaryDirectory() as folder:
        tokens = run(args.encoder, documents, clock, folder)
    timed = clock.marks[-1] - clock.marks[UNTIMED - 1]
    counted = sum(tokens[UNTIMED : len(clock.marks)])
    peak = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    figures = {
        "tokens_per_second": counted / timed,
        "steps": len(clock.marks),
        "documents_per_step": len(documents) / len(clock.marks),
        "peak_bytes": peak,
    }
    sys.stdout.write("\n" + json.dumps(figures) + "\n")


def main() -> None:
    """Take turns and write the JSON."""
    options = parser(__doc__, "training.json", "data", "encoder", rounds=3)
    options.add_argument("--documents", type=int, default=240)
    options.add_argument("--child", choices=["stock", "packed"])
    args = options.parse_args()
    if args.child:
        child(args)
        return
    runs: dict[str, list[dict]] = {"stock": [], "packed": []}
    command = [sys.executable, __file__, *sys.argv[1:]]
    for _ in range(args.rounds):
        for name in runs:
            done = subprocess.run(
                [*command, "--child", name], capture_output=True, text=True, check=True
            )
            runs[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
            print(name, runs[name][-1], flush=True)
    pairs = list(zip(runs["packed"], runs["stock"], strict=True))
    ratios = [p["tokens_per_second"] / s["tokens_per_second"] for p, s in pairs]
    memory = [p["peak_bytes"] / s["peak_bytes"] for p, s in pairs]
    record = {
        "machine": describe_machine(),
        "python": platform.python_version(),
        "data": {"set": "20ng train", "documents": args.documents, "max_length": LENGTH},
        "runs": runs,
        "speed_ratio": {"median": statistics.median(ratios), "all": ratios},
        "memory_ratio": {"median": statistics.median(memory), "all": memory},
    }
    print(record["speed_ratio"], record["memory_ratio"])
    write(args.out, record)


if __name__ == "__main__":
    main()
