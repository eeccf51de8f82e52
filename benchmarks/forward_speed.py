"""Forward speed on 20 Newsgroups: transformers' pipeline, sorted batches, dense packed, Focus.

    python benchmarks/forward_speed.py --data $DATA --encoder DIRECTORY

MiniLM-L6, 512 tokens, float32, forward pass only (tokenising outside the clock), all contenders in
one process with the same threads and allocator (which keeps freed memory, as tersely's commands
do), taking turns. Speed does not depend on what the
weights were trained for, so the heads are new. `pipeline` is what
`pipeline("text-classification", batch_size=32)` computes with truncation at 512 tokens, in arrival
order; `sorted` the same in length-sorted batches.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import torch
import transformers
from rich.console import Console

from common import newsgroups, parser, quiet, save_stock, write
from tersely import Classifier, preset
from tersely.bench import PackedContender, StockContender, bench, render
from tersely.modeling import from_encoder

LABELS = 20
PLANS = {
    "dense": preset("dense"),
    "focus-pfc": preset("focus-pfc"),
    "focus-pfc shared": preset("focus-pfc", heads="mean", reading="complement"),
    "focus-c": preset("focus-c"),
}


def contenders(encoder: str, folder: Path) -> list:
    """The models of the comparison, which lie in a folder for the next time."""
    found = []
    torch.manual_seed(0)
    for name, plan in PLANS.items():
        directory = folder / name.replace(" ", "-")
        if not directory.exists():
            model = from_encoder(encoder, plan=plan, num_labels=LABELS)
            model.save_pretrained(directory)
            transformers.AutoTokenizer.from_pretrained(encoder).save_pretrained(directory)
        classifier = Classifier.from_pretrained(directory)
        found.append(PackedContender(classifier, name))
    stock = save_stock(encoder, folder / "stock", LABELS)
    found.append(StockContender(stock, name="pipeline", order="arrival"))
    found.append(StockContender(stock, name="sorted", order="sorted"))
    return found


class MatrixPeak:
    """MACs a second of the fastest float32 matrix product, measured between contenders' turns.

    How much of the machine a contender uses is the share of that around its turn: a shared
    machine's speed drifts within minutes. It is handed to `bench` as `progress`.
    """

    # (rows, inner, columns): the two of a small encoder's feed-forward, and a square.
    SHAPES = ((4096, 384, 1536), (4096, 1536, 384), (2048, 2048, 2048))

    def __init__(self) -> None:
        self.steps: list[tuple[str, float]] = []

    def __call__(self, step: str, done: int, total: int) -> None:
        """Measure after a step."""
        self.steps.append((step, max(self._rate(*shape) for shape in self.SHAPES for _ in "123")))

    def share(self, name: str, macs: float, seconds: list[float]) -> float:
        """The median over a contender's turns of its rate by the peak just before and after."""
        places = [p for p, (step, _) in enumerate(self.steps) if step.endswith(f": {name}")]
        turns = [p for p in places if self.steps[p][0].startswith("round")]
        peaks = [(self.steps[p - 1][1] + self.steps[p][1]) / 2 for p in turns]
        return median(macs / s / peak for s, peak in zip(seconds, peaks, strict=True))

    def _rate(self, rows: int, inner: int, columns: int) -> float:
        left = torch.linspace(-1, 1, rows * inner).view(rows, inner)
        right = torch.linspace(-1, 1, inner * columns).view(inner, columns)
        out = torch.empty(rows, columns)
        started = time.perf_counter()
        torch.mm(left, right, out=out)
        return rows * inner * columns / (time.perf_counter() - started)


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = parser(__doc__, "forward.json", "data", "encoder", rounds=5)
    options.add_argument("--work", type=Path, default=Path(".cache/forward_speed"))
    options.add_argument("--documents", type=int, default=512)
    args = options.parse_args()
    quiet()
    documents, about = newsgroups(args.data, "test", args.documents)
    who = contenders(args.encoder, args.work)
    peak = MatrixPeak()
    report = bench(who, documents.texts, rounds=args.rounds, latency_documents=48, progress=peak)
    Console(width=100).print(render(report))
    record = report.to_dict() | {"data": about}
    for each in record["results"]:
        each["peak_share"] = peak.share(each["name"], each["macs"], each["seconds"])
    record["matrix_peak"] = max(rate for _, rate in peak.steps)
    write(args.out, record)


if __name__ == "__main__":
    main()
