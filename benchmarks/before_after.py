"""Two checkouts against each other: dense and `topk`, a forward pass and a training step.

    python benchmarks/before_after.py OLD/src NEW/src [--rounds 12]

An encoder of MiniLM-L6's size with random weights, on synthetic documents of mixed lengths. Each
checkout has a process of its own, which waits while the other works; they take turns pass by
pass, A B B A …, so that a busy machine slows both down. What counts is the ratio of two adjacent
passes, old time over new time: above 1 the new one is faster. The package of the old checkout may
be called `laconic`.

Whole processes in turns, which this script ran before, lay 0.72 to 1.32 apart over eight rounds on
a shared machine, wide enough to hide or to invent a tenth (2026-11-29).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "before_after.json"
PLANS = ("dense", "topk")
TOKENS = 4096


def cases(source: Path) -> dict[str, Callable[[], None]]:
    """Return what is measured with the package in a folder, by name."""
    sys.path.insert(0, str(source))
    import torch
    from transformers import BertConfig

    name = "tersely" if (source / "tersely").is_dir() else "laconic"
    package = importlib.import_module(name)
    model_class = getattr(package, f"{name.capitalize()}ForSequenceClassification")
    config_class = getattr(package, f"{name.capitalize()}Config")
    torch.manual_seed(0)
    lengths: list[int] = []
    while sum(lengths) < TOKENS:
        lengths.append(int(torch.randint(8, 513, ())))
    lengths.sort(reverse=True)
    row = torch.randint(1000, 30_000, (1, sum(lengths)))
    batch = {"input_ids": row, "cu_seq_lens_q": torch.tensor([0, *lengths]).cumsum(0)}
    labels = torch.randint(4, (len(lengths),))
    encoder = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    found: dict[str, Callable[[], None]] = {}
    for plan in PLANS:
        config = config_class(
            encoder_config=encoder, plan=package.preset(plan).to_dict(), num_labels=4
        )
        model = model_class(config)

        def forward(model=model) -> None:
            model.eval()
            with torch.inference_mode():
                model(**batch)

        def step(model=model) -> None:
            model.train()
            model(**batch, labels=labels).loss.backward()
            model.zero_grad()

        found |= {f"{plan}, forward": forward, f"{plan}, training step": step}
    return found


def wait_and_run(source: Path) -> None:
    """Run the case that each line of standard input names, and answer with its seconds."""
    known = cases(source)
    for run in known.values():
        run()  # warms up
    print(json.dumps(list(known)), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        known[line.strip()]()
        print(time.perf_counter() - start, flush=True)


class Side:
    """A checkout in a process of its own."""

    def __init__(self, source: Path, threads: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--wait", str(source.resolve())],
            env=os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.cases = json.loads(self.process.stdout.readline())

    def seconds(self, case: str) -> float:
        """Return the seconds of one pass."""
        self.process.stdin.write(case + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def main() -> None:
    """Measure in turns, and write the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    old, new = Side(args.old, args.threads), Side(args.new, args.threads)
    pairs: dict[str, list[tuple[float, float]]] = {case: [] for case in old.cases}
    for number in range(args.rounds):
        for case, found in pairs.items():
            first, second = (old, new) if number % 2 == 0 else (new, old)
            taken = {side: side.seconds(case) for side in (first, second)}
            found.append((taken[old], taken[new]))
        print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
    for side in (old, new):
        side.process.stdin.close()
    cases = {}
    for case, found in pairs.items():
        ratios = sorted(a / b for a, b in found)
        lower, middle, upper = statistics.quantiles(ratios, n=4)
        cases[case] = {
            "ratio": round(middle, 4),
            "quartiles": [round(lower, 4), round(upper, 4)],
            "lowest": round(ratios[0], 4),
            "highest": round(ratios[-1], 4),
            "old_seconds": round(statistics.median(a for a, _ in found), 4),
            "new_seconds": round(statistics.median(b for _, b in found), 4),
        }
        print(f"{case:24} {middle:.3f}  {lower:.3f} to {upper:.3f} (half of the rounds)")
    record = {
        "what": "seconds of the old checkout over those of the new, medians over pairs of passes",
        "rounds": args.rounds,
        "threads": args.threads,
        "tokens": TOKENS,
        "machine": platform.processor() or platform.machine(),
        "cases": cases,
    }
    args.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--wait"]:
        wait_and_run(Path(sys.argv[2]))
    else:
        main()
