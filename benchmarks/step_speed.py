"""Time of a training step under each plan, over that of a dense step on the same batch.

    python benchmarks/step_speed.py --data $DATA --encoder DIRECTORY

One process and one thread, one copy of the weights a plan; for every batch (20 Newsgroups, cut at
512 tokens) the plans take turns with a whole step: forward, the loss as tersely's trainer computes
it, backward, AdamW. Ratios are taken batch by batch, so that a machine whose speed changes slows
both, and of the processor's time, which other processes on the machine do not count in.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers

from tersely import Classifier, TrainingSettings, preset
from tersely._io import keep_freed_memory
from tersely.bench import describe_machine
from tersely.errors import TerselyWarning
from tersely.modeling import from_encoder, with_plan
from tersely.modeling.loading import load_tokenizer
from tersely.text import LabelSpace, read_documents
from tersely.text.batching import TokenBudgetSampler
from tersely.training.trainer import TerselyTrainer, TrainingDocuments

HERE = Path(__file__).parent
LENGTH, BATCH_TOKENS, UNTIMED = 512, 2048, 1
PLANS = {
    "dense": preset("dense"),
    "token-drop": preset("token-drop"),
    "token-drop, from block 1": preset("token-drop", start=1),
    "lat": preset("lat"),
}


class Contender:
    """A model under a plan with its optimiser, and the seconds of its steps."""

    def __init__(self, model, train: TrainingDocuments, folder: str) -> None:
        settings = TrainingSettings(batch_tokens=BATCH_TOKENS)
        arguments = settings.arguments(Path(folder), 384, device="cpu", validate=False)
        self.trainer = TerselyTrainer(model.train(), settings, train, args=arguments)
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=5e-5)
        self.seconds: list[float] = []

    def step(self, batch: dict) -> None:
        """One optimiser step."""
        started = time.process_time()
        self.trainer.compute_loss(self.trainer.model, dict(batch)).backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.seconds.append(time.process_time() - started)


def main() -> None:
    """Take turns and print, and write the JSON if asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--plans", nargs="+", default=list(PLANS))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore", TerselyWarning)
    transformers.logging.set_verbosity_error()
    keep_freed_memory()
    torch.set_num_threads(1)
    table = read_documents(args.data / "20ng" / "train.parquet", labels="required")
    rows = np.random.default_rng(0).permutation(len(table))[: 30 * (args.steps + UNTIMED)]
    documents = table.select(rows.tolist())
    space = LabelSpace.infer(documents.labels)
    dense = from_encoder(args.encoder, id2label=space.id2label, max_length=LENGTH, head="mean")
    reader = Classifier(args.encoder, method="dense", max_length=LENGTH)
    reader.adopt(dense, load_tokenizer(args.encoder, {}))
    train = TrainingDocuments(reader.encode(documents.texts), space.encode(documents.labels))
    with tempfile.TemporaryDirectory() as folder:
        models = {name: with_plan(dense, PLANS[name]) for name in args.plans}
        contenders = {name: Contender(model, train, folder) for name, model in models.items()}
        sampler = TokenBudgetSampler(train.encoded.sizes, BATCH_TOKENS, 0)
        for numbers in list(sampler)[: args.steps + UNTIMED]:
            batch = train.collate(numbers)
            for contender in contenders.values():
                contender.step(batch)
    base = contenders["dense"].seconds[UNTIMED:]
    ratios = {
        name: [s / b for s, b in zip(contender.seconds[UNTIMED:], base, strict=True)]
        for name, contender in contenders.items()
    }
    record = {
        "machine": describe_machine(),
        "steps": args.steps,
        "batch_tokens": BATCH_TOKENS,
        "processor_seconds_of_a_dense_step": statistics.median(base),
        "time_over_dense": {
            name: dict(zip(("q1", "median", "q3"), statistics.quantiles(values, n=4), strict=True))
            for name, values in ratios.items()
        },
    }
    print(json.dumps(record, indent=1))
    if args.out is not None:
        args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
