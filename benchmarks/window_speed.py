"""Attention in windows against dense attention: the whole forward pass, and attention alone.

    python benchmarks/window_speed.py [--rounds 5]

An encoder of ModernBERT's shape with random weights (four layers of width 384, six heads, float32)
on rows of 8,192 tokens: 16 documents of 512, four of 2,048, one of 8,192. `dense` lets every layer
see everything; `neighbours W` is the plan of that name with [CLS] global; `own` is ModernBERT's own
arrangement (two layers of four in windows of 64 on each side), computed as bands, and `own, masked`
the same by masks over all pairs. Then shorter documents, for the length at which windows break
even. The contenders take turns in one process.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

import torch
from transformers import ModernBertConfig

import tersely
from common import parser, quiet, versions, write
from tersely import TerselyConfig, TerselyForSequenceClassification, preset
from tersely.attention import Band, Connections, Packing, banded, loop
from tersely.ragged import Layout

LAYERS, WIDTH, HEADS = 4, 384, 6
ROW = 8192
LENGTHS = (512, 2048, 8192)
WIDTHS = (16, 64, 128, 256)
SHORTER = (128, 192, 256, 384, 512, 768, 1024)
BREAK_EVEN_WIDTH = 64

Contender = Callable[[], object]


def model_of(plan: tersely.Plan, own_windows: bool) -> TerselyForSequenceClassification:
    """An encoder with random weights, the same ones for every plan."""
    config = ModernBertConfig(
        vocab_size=1000,
        hidden_size=WIDTH,
        intermediate_size=WIDTH * 3 // 2,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=ROW,
        global_attn_every_n_layers=3 if own_windows else 1,
        local_attention=128,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=1,
        sep_token_id=2,
    )
    torch.manual_seed(0)
    made = TerselyConfig(encoder_config=config, plan=plan.to_dict(), num_labels=2)
    return TerselyForSequenceClassification(made).eval()


def whole_passes(length: int, widths: tuple[int, ...], own: bool) -> dict[str, Contender]:
    """Forward passes of whole models over a row of documents of one length."""
    ids = torch.randint(5, 1000, (1, ROW // length * length))
    bounds = torch.arange(0, ids.shape[1] + 1, length)

    def forward(plan: tersely.Plan, windows: bool = False, pays: float = banded._PAYS) -> Contender:
        model = model_of(plan, windows)

        def run() -> object:
            before, banded._PAYS = banded._PAYS, pays
            try:
                return model(input_ids=ids, cu_seq_lens_q=bounds)
            finally:
                banded._PAYS = before

        return run

    found = {"dense": forward(preset("dense"))}
    found |= {f"neighbours {w}": forward(preset("neighbours", width=w)) for w in widths}
    if own:
        found["own"] = forward(preset("dense"), True)
        found["own, masked"] = forward(preset("dense"), True, -1)
    return found


def attention_calls(length: int, widths: tuple[int, ...]) -> dict[str, Contender]:
    """One layer's attention over the same row, without projections."""
    layout = Layout.from_lengths([length] * (ROW // length))
    states = torch.randn(3, layout.tokens, HEADS, WIDTH // HEADS)
    places = layout.positions

    def call(width: int | None) -> Contender:
        connections = None
        if width is not None:

            def sees(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
                q, k = places[q], places[k]
                return ((q - k).abs() <= width) | (q == 0) | (k == 0)

            connections = Connections(sees, Band([width] * len(layout), 1, True))
        packing, scaling = Packing(layout, connections=connections), (WIDTH // HEADS) ** -0.5
        return lambda: loop.attend(*states, packing, scaling, 0.0)

    return {"dense": call(None)} | {f"neighbours {w}": call(w) for w in widths}


@torch.inference_mode()
def take_turns(contenders: dict[str, Contender], rounds: int) -> dict[str, dict]:
    """Time them in turns; the next round starts with the next one."""
    names = list(contenders)
    for run in contenders.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    processor: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for turn in range(len(names)):
            name = names[(number + turn) % len(names)]
            started, worked = time.perf_counter(), time.process_time()
            contenders[name]()
            seconds[name].append(time.perf_counter() - started)
            processor[name].append(time.process_time() - worked)
    base = statistics.median(seconds["dense"])
    return {
        name: {
            "median_ms": round(1000 * statistics.median(own), 2),
            "fastest_ms": round(1000 * min(own), 2),
            "slowest_ms": round(1000 * max(own), 2),
            # Of all threads together; it hardly counts what else the machine was doing.
            "processor_ms": round(1000 * statistics.median(processor[name]), 2),
            "times_dense": round(base / statistics.median(own), 2),
        }
        for name, own in seconds.items()
    }


def break_even(found: dict[int, dict]) -> int | None:
    """The shortest length from which on the windows were faster at every length measured."""
    name = f"neighbours {BREAK_EVEN_WIDTH}"
    shortest = None
    for length in sorted(found, reverse=True):
        if found[length][name]["median_ms"] >= found[length]["dense"]["median_ms"]:
            break
        shortest = length
    return shortest


def main() -> None:
    """Measure, print, write the JSON."""
    options = parser(__doc__, "window.json", rounds=5)
    options.add_argument("--threads", type=int, default=2)
    args = options.parse_args()
    quiet()
    torch.set_num_threads(args.threads)
    whole, attention, short_whole, short_attention = {}, {}, {}, {}
    for length in LENGTHS:
        attention[length] = take_turns(attention_calls(length, WIDTHS), args.rounds)
        whole[length] = take_turns(whole_passes(length, WIDTHS, own=True), args.rounds)
        for name, own in whole[length].items():
            print(f"{length:>5} {name:>15} {own['median_ms']:>9} ms  {own['times_dense']}x dense")
    one = (BREAK_EVEN_WIDTH,)
    for length in SHORTER:
        short_attention[length] = take_turns(attention_calls(length, one), args.rounds)
        short_whole[length] = take_turns(whole_passes(length, one, own=False), args.rounds)
    record = {
        "what": "milliseconds for a row of 8,192 tokens, median of rounds in turns",
        "encoder": {"shape": "ModernBERT", "layers": LAYERS, "width": WIDTH, "heads": HEADS},
        "rounds": args.rounds,
        "threads": args.threads,
        "whole_pass": whole,
        "attention_of_one_layer": attention,
        "shorter_whole_pass": short_whole,
        "shorter_attention_of_one_layer": short_attention,
        "break_even": {
            "width": BREAK_EVEN_WIDTH,
            "whole_pass_tokens": break_even(short_whole),
            "attention_tokens": break_even(short_attention),
        },
        "versions": versions(),
        "processor": platform.processor() or platform.machine(),
    }
    write(args.out, record)
    print(f"break-even: {record['break_even']}")


if __name__ == "__main__":
    main()
