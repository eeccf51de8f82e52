"""Time and peak memory of a training step: dense padded, dense packed, Focus on the Core.

    python benchmarks/step_memory.py [--rounds 3] [--steps 5]

Random weights of MiniLM-L6's size and sixteen documents of 512 random ids, the comparison of the
Focus on the Core paper. The memory is what a step takes above what rests between steps (weights,
gradients, the optimiser's moments), once they are there; gradients are zeroed in place, so that
they rest. Each contender is a process of its own, in turns; the first step, which allocates, is
not timed, and neither is the one whose memory is measured: before it the C library gives back what
it keeps of earlier steps, which would else count as resting. Without attention dropout, which
would double a step's time on a CPU for padded too.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification

from common import parser, quiet, versions, write
from tersely import TerselyConfig, TerselyForSequenceClassification, preset
from tersely._io import describe_machine

FORMAT = 2
DOCUMENTS, LENGTH, CLASSES = 16, 512, 20
MINILM = {
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_attention_heads": 12,
    "num_hidden_layers": 6,
    "attention_probs_dropout_prob": 0.0,
}
PLANS = {
    "dense packed": preset("dense"),
    "focus-pfc at 7/12": preset("focus-pfc", combine_at=7 / 12),
    "focus-pfc at 11/12": preset("focus-pfc", combine_at=11 / 12),
}
NAMES = ("dense padded", *PLANS)


def model_of(name: str) -> torch.nn.Module:
    """Return a contender with random weights."""
    torch.manual_seed(0)
    if name not in PLANS:
        config = BertConfig(**MINILM, num_labels=CLASSES, attn_implementation="sdpa")
        return BertForSequenceClassification(config)
    encoder, plan = BertConfig(**MINILM), PLANS[name].to_dict()
    config = TerselyConfig(encoder_config=encoder, plan=plan, num_labels=CLASSES)
    return TerselyForSequenceClassification(config)


def peak() -> int:
    """Return the most memory that this process had since `reset`, in bytes."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def reset() -> int:
    """Forget the peak; return the memory that rests, in bytes."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM becomes VmRSS
    return peak()


def child(name: str, steps: int) -> None:
    """Take the steps of one contender in this process, and print its figures as JSON."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model_of(name).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    ids = torch.randint(1000, 30_000, (DOCUMENTS, LENGTH), device=device)
    labels = torch.arange(DOCUMENTS, device=device)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}

    def step() -> float:
        started = time.perf_counter()
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    seconds = [step() for _ in range(steps + 1)][1:]
    rests = reset()
    step()
    print(json.dumps({"seconds": statistics.median(seconds), "bytes": peak() - rests}))


def main() -> None:
    """Let the contenders take turns, and write the JSON."""
    options = parser(__doc__, "step_memory.json", rounds=3)
    options.add_argument("--steps", type=int, default=5)
    options.add_argument("--child", choices=NAMES, help=argparse.SUPPRESS)
    args = options.parse_args()
    quiet()
    if args.child:
        child(args.child, args.steps)
        return
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    for _ in range(args.rounds):
        for name, own in runs.items():
            command = [sys.executable, __file__, "--child", name, "--steps", str(args.steps)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            own.append(json.loads(done.stdout.splitlines()[-1]))
            print(name, own[-1], flush=True)
    ratios = {
        name: {
            what: statistics.median(
                one[what] / base[what] for one, base in zip(own, runs["dense padded"], strict=True)
            )
            for what in ("seconds", "bytes")
        }
        for name, own in runs.items()
    }
    record = {
        "format": FORMAT,
        "machine": describe_machine(),
        "versions": versions(),
        "documents": DOCUMENTS,
        "length": LENGTH,
        "runs": runs,
        "over_dense_padded": ratios,
    }
    write(args.out, record)


if __name__ == "__main__":
    main()
