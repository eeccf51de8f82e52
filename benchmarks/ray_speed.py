"""Rows a second of `tersely score` by workers: processes of this machine, actors of a Ray cluster.

    python benchmarks/ray_speed.py [--rows 4000] [--workers 1 2] [--rounds 3]

The same shards each time, taking turns. A worker has one core: with processes the whole run is held
to as many cores as it has workers; the cluster has as many nodes of one core each, on this machine,
and a head without any. What Ray itself does (driver, scheduling, its object store) comes on top, on
whatever cores the machine has: with one worker on two cores it has the other one for itself. The
rate is that between the first and the last rows that are reported done, so that imports and the
loading of models, which do not grow with the rows, are left out; the seconds with them are in the
file too.

Texts are made-up words, 20 to 200 of them. The encoder has MiniLM-L6's shape and random weights,
of which speed does not depend.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, PreTrainedTokenizerFast

from common import HERE, parser, write
from tersely._io import describe_machine
from tersely.modeling import TerselyConfig, TerselyForSequenceClassification
from tersely.reduction import preset
from tersely.score import score

SOURCE = HERE.parent / "src"
WORDS = [f"word{number}" for number in range(2000)]
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]


def make_model(folder: Path) -> None:
    """A classifier of six blocks, 384 wide, that keeps half of the tokens after the second."""
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", 1), ("[SEP]", 2)]
    backend.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    encoder = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=384,
        intermediate_size=1536,
        num_hidden_layers=6,
        num_attention_heads=12,
    )
    torch.manual_seed(0)
    plan = preset("topk", keep=0.5).to_dict()
    config = TerselyConfig(encoder_config=encoder, plan=plan, num_labels=8)
    TerselyForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_texts(path: Path, rows: int) -> int:
    """Texts of random words in row groups of 1,000; how many tokens they have."""
    chance = random.Random(0)
    lengths = [chance.randint(20, 200) for _ in range(rows)]
    texts = [" ".join(chance.choices(WORDS, k=length)) for length in lengths]
    parquet.write_table(pa.table({"text": texts}), path, row_group_size=1000)
    return sum(lengths) + 2 * rows


def one_run(options: dict[str, Any]) -> dict[str, float]:
    """Score once in this process, which is a new one: its rate, and its seconds in all."""
    if options["cores"]:
        os.sched_setaffinity(0, options["cores"])
    warnings.simplefilter("ignore")
    seen: list[tuple[float, int]] = []
    begun = time.perf_counter()
    score(
        options["model"],
        options["texts"],
        options["out"],
        shard_rows=options["shard_rows"],
        workers=options["workers"],
        ray=options["ray"],
        device="cpu",
        progress=lambda rows, *_: seen.append((time.perf_counter(), rows)),
    )
    seconds = time.perf_counter() - begun
    (first, before), (last, after) = seen[0], seen[-1]
    return {"rows_per_second": (after - before) / (last - first), "seconds": seconds}


def in_a_process(**options: Any) -> dict[str, float]:
    """`one_run` in a process of its own, whose cores and threads are its own."""
    words = [sys.executable, __file__, "--run", json.dumps(options)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def start_cluster(nodes: int) -> Any:
    """A head without cores and nodes of one core each, all on this machine."""
    from ray.cluster_utils import Cluster

    store = {"object_store_memory": 80 << 20}
    # Ray's workers give way to everything else by default, its own head among it.
    polite = {"_system_config": {"worker_niceness": 0}}
    head = {"num_cpus": 0, "include_dashboard": False, **polite, **store}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(nodes):
        cluster.add_node(num_cpus=1, **store)
    cluster.wait_for_nodes()
    return cluster


def measure(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All runs, taking turns."""
    make_model(work / "model")
    tokens = write_texts(work / "texts.parquet", args.rows)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < max(args.workers):
        sys.exit(f"--workers must be at most the {len(cores)} cores, got {max(args.workers)}")
    taken: dict[tuple[str, int], list[dict[str, float]]] = {}
    common = {"model": str(work / "model"), "texts": str(work / "texts.parquet")}
    common |= {"shard_rows": args.shard_rows}
    for turn in range(args.rounds):
        for workers in args.workers:
            for where in ("processes", "ray"):
                out = str(work / f"{where}-{workers}-{turn}")
                options = common | {"out": out, "workers": workers, "ray": None, "cores": None}
                if where == "ray":
                    cluster = start_cluster(workers)
                    found = in_a_process(**options | {"ray": cluster.address})
                    cluster.shutdown()
                else:
                    found = in_a_process(**options | {"cores": cores[:workers]})
                taken.setdefault((where, workers), []).append(found)
                print(where, workers, found, flush=True)
    runs = [
        {
            "where": where,
            "workers": workers,
            "rows_per_second": statistics.median(each["rows_per_second"] for each in found),
            "turns": found,
        }
        for (where, workers), found in taken.items()
    ]
    return {"rows": args.rows, "tokens": tokens, "shard_rows": args.shard_rows, "runs": runs}


def main() -> None:
    """Measure and write the JSON."""
    options = parser(__doc__, "ray.json", rounds=3)
    options.add_argument("--rows", type=int, default=4000)
    options.add_argument("--shard-rows", type=int, default=100)
    options.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options.add_argument("--run", help=argparse.SUPPRESS)
    args = options.parse_args()
    if args.run is not None:
        print(json.dumps(one_run(json.loads(args.run))))
        return
    # The cluster's processes have to find tersely where it is not installed.
    path = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {"PYTHONPATH": os.pathsep.join(path), "RAY_DEDUP_LOGS": "0"}
    with tempfile.TemporaryDirectory() as work:
        record = measure(args, Path(work))
    import ray

    record |= {"rounds": args.rounds, "machine": describe_machine()}
    record["machine"]["versions"]["ray"] = ray.__version__
    write(args.out, record)


if __name__ == "__main__":
    main()
