"""How time grows with the length of documents and with their number; fits the exponents.

    python benchmarks/growth.py [--lengths 64 128 … 8192] [--counts 64 128 256 512]

A ModernBERT-shaped encoder of four blocks, 384 wide, with random weights (time does not depend on
what they are): dense packed, sorted and padded, and with tokens removed in the second block. Every
length runs the same number of tokens, so that a straight line through the logarithms of the
milliseconds for each document has the exponent as its slope: 1 for work that is proportional to the
length, 2 for attention alone. The documents are random token ids.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, ModernBertConfig

from common import parser, quiet, write
from tersely import preset
from tersely._io import describe_machine
from tersely.bench import Timing, summarise, take_turns
from tersely.modeling import TerselyConfig, TerselyForSequenceClassification
from tersely.modeling.inference import run_model
from tersely.text.batching import pack
from tersely.text.encoding import EncodedDocuments, LengthReport

PLANS = {
    "dense packed": preset("dense"),
    "topk keep=0.25 at=1": preset("topk", keep=0.25, at=1),
    "tome ratio=0.2": preset("tome", ratio=0.2),
    "focus-c at=1": preset("focus-c", combine_at=1),
}
LABELS, WORDS, RUN_TOKENS, BATCH_TOKENS = 8, 4096, 8192, 4096


def configuration() -> ModernBertConfig:
    """The encoder: four blocks, the first and the last with global attention."""
    return ModernBertConfig(
        vocab_size=WORDS,
        hidden_size=384,
        intermediate_size=576,
        num_hidden_layers=4,
        num_attention_heads=6,
        global_attn_every_n_layers=3,
        max_position_embeddings=8192,
        num_labels=LABELS,
        pad_token_id=0,
    )


def documents(lengths: list[int]) -> EncodedDocuments:
    """Documents of random ids."""
    generator = np.random.default_rng(0)
    windows = [generator.integers(10, WORDS, size=n).astype(np.int32) for n in lengths]
    report = LengthReport(len(lengths), 0, sum(lengths), 0, "truncate", 8192)
    return EncodedDocuments(windows, None, np.ones(len(lengths), dtype=np.int64), report)


class Packed:
    """A plan on packed batches, without texts."""

    tokens = macs = None

    def __init__(self, name: str, model: TerselyForSequenceClassification) -> None:
        self.name, self.model = name, model

    def load(self, encoded: EncodedDocuments) -> None:
        """Take the documents."""
        self.encoded = encoded

    def run(self) -> np.ndarray:
        """All documents."""
        return run_model(self.model, self.encoded, BATCH_TOKENS).logits


class Padded:
    """transformers' own model on padded batches, sorted by length, 32 documents at most."""

    name = "padded, sorted"
    tokens = macs = None

    def __init__(self, model: Any) -> None:
        self.model = model

    def load(self, encoded: EncodedDocuments) -> None:
        """Pad the documents."""
        order = np.argsort(-encoded.sizes, kind="stable")
        size = max(1, min(32, BATCH_TOKENS // int(encoded.sizes.max())))
        self.batches = []
        for start in range(0, len(order), size):
            part = order[start : start + size]
            ids = torch.zeros(len(part), int(encoded.sizes[part[0]]), dtype=torch.long)
            for row, number in enumerate(part):
                flat = pack(encoded, [number])["input_ids"][0]
                ids[row, : len(flat)] = flat
            self.batches.append((ids, (ids > 0).long()))

    def run(self) -> np.ndarray:
        """All documents."""
        with torch.inference_mode():
            outputs = [self.model(input_ids=i, attention_mask=m).logits for i, m in self.batches]
        return torch.cat(outputs).numpy()


def contenders() -> list[Any]:
    """All of them, with weights from one seed."""
    found: list[Any] = []
    for name, plan in PLANS.items():
        torch.manual_seed(0)
        config = TerselyConfig(encoder_config=configuration(), plan=plan.to_dict())
        found.append(Packed(name, TerselyForSequenceClassification(config).eval()))
    torch.manual_seed(0)
    stock = AutoModelForSequenceClassification.from_config(configuration()).eval()
    return [*found, Padded(stock)]


def measure(
    who: list[Any], encoded: EncodedDocuments, rounds: int
) -> tuple[dict[str, list[float]], int]:
    """Seconds of each round, by name."""
    for each in who:
        each.load(encoded)
    timings: list[Timing] = take_turns(who, rounds, warmup=1)
    return {timing.name: list(timing.seconds) for timing in timings}, len(encoded)


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """The slope of the logarithms: seconds grow as size to this power."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def fits(points: list[dict[str, Any]], size: str, per_document: bool) -> dict[str, Any]:
    """For each contender the exponent over all sizes, and over the upper half of them."""
    found = {}
    for name in points[0]["seconds"]:
        sizes = [point[size] for point in points]
        middle = [
            summarise(point["seconds"][name]).median / (point["documents"] if per_document else 1)
            for point in points
        ]
        half = len(sizes) // 2
        found[name] = {
            "exponent": exponent(sizes, middle),
            "exponent_upper_half": exponent(sizes[half:], middle[half:]),
        }
    return found


def main() -> None:
    """Measure both, print the exponents, write the JSON."""
    options = parser(__doc__, "growth.json", rounds=3)
    lengths = [64, 128, 256, 512, 1024, 2048, 4096, 8192]
    options.add_argument("--lengths", type=int, nargs="*", default=lengths)
    options.add_argument("--counts", type=int, nargs="*", default=[16, 32, 64, 128, 256])
    args = options.parse_args()
    quiet()
    who = contenders()
    by_length, by_count = [], []
    for length in args.lengths:
        lengths = [length] * max(1, RUN_TOKENS // length)
        seconds, count = measure(who, documents(lengths), args.rounds)
        by_length.append({"length": length, "documents": count, "seconds": seconds})
        print(length, {name: round(min(each), 3) for name, each in seconds.items()}, flush=True)
    generator = np.random.default_rng(1)
    for count in args.counts:
        lengths = np.clip(generator.lognormal(4.8, 0.7, size=count), 8, 512).astype(int).tolist()
        seconds, _ = measure(who, documents(lengths), args.rounds)
        point = {"documents": count, "tokens": sum(lengths), "seconds": seconds}
        by_count.append(point)
        print(count, {name: round(min(each), 3) for name, each in seconds.items()}, flush=True)
    record = {
        "encoder": "ModernBERT, 4 blocks, 384 wide, random weights",
        "batch_tokens": BATCH_TOKENS,
        "rounds": args.rounds,
        "machine": describe_machine(),
        "length": {"points": by_length, "fits": fits(by_length, "length", True)},
        "count": {"points": by_count, "fits": fits(by_count, "documents", False)},
    }
    write(args.out, record)
    print(json.dumps({key: record[key]["fits"] for key in ("length", "count")}, indent=1))


if __name__ == "__main__":
    main()
