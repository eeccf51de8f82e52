"""Two checkouts against each other: dense and `topk`, a forward pass and a training step.

    python benchmarks/before_after.py OLD/src NEW/src [--rounds 8]

An encoder of MiniLM-L6's size with random weights, on synthetic documents of mixed lengths. Each
round starts one process for each checkout, A B A B …, so that a busy machine slows both down; a
process measures the fastest of a few passes. What counts is the ratio of a round, old time over new
time: above 1 the new one is faster. The package of the old checkout may be called `laconic`.
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
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "before_after.json"
PLANS = ("dense", "topk")
TOKENS, REPEATS = 4096, 4


def measure(source: Path) -> dict[str, float]:
    """Return the seconds of each case with the package in a folder, in a process of its own."""
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
    seconds = {}
    for plan in PLANS:
        config = config_class(
            encoder_config=encoder, plan=package.preset(plan).to_dict(), num_labels=4
        )
        model = model_class(config)

        def forward(model=model) -> None:
            with torch.inference_mode():
                model(**batch)

        def step(model=model) -> None:
            model(**batch, labels=labels).loss.backward()
            model.zero_grad()

        model.eval()
        seconds[f"{plan}, forward"] = fastest(forward)
        model.train()
        seconds[f"{plan}, training step"] = fastest(step)
    return seconds


def fastest(run) -> float:
    """Return the least of a few times, after one that warms up."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def main() -> None:
    """Measure in turns, and write the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    environment = os.environ | {"OMP_NUM_THREADS": str(args.threads), "HF_HUB_OFFLINE": "1"}
    found: dict[str, list[dict[str, float]]] = {"old": [], "new": []}
    for number in range(args.rounds):
        for side in ("old", "new"):
            command = [sys.executable, __file__, "--measure", str(getattr(args, side).resolve())]
            done = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            found[side].append(json.loads(done.stdout.splitlines()[-1]))
        print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
    cases = {}
    for case in found["old"][0]:
        pairs = [(a[case], b[case]) for a, b in zip(found["old"], found["new"], strict=True)]
        ratios = sorted(a / b for a, b in pairs)
        cases[case] = {
            "ratio": round(statistics.median(ratios), 4),
            "lowest": round(ratios[0], 4),
            "highest": round(ratios[-1], 4),
            "old_seconds": round(statistics.median(a for a, _ in pairs), 4),
            "new_seconds": round(statistics.median(b for _, b in pairs), 4),
        }
        print(f"{case:24} {cases[case]['ratio']:.3f}  {ratios[0]:.3f} to {ratios[-1]:.3f}")
    record = {
        "what": "seconds of the old checkout over those of the new one, medians over rounds",
        "rounds": args.rounds,
        "threads": args.threads,
        "tokens": TOKENS,
        "machine": platform.processor() or platform.machine(),
        "cases": cases,
    }
    args.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(Path(sys.argv[2]))))
    else:
        main()
