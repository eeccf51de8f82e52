"""The report on a data set: models of train_focus.py against everything one would pick instead.

    python benchmarks/compare.py --data $DATA --models DIRECTORY --encoder DIRECTORY --only bbc

Runs `tersely bench` with all contenders. TF-IDF and static embeddings are fitted on the same fixed
part (see make_parts.py) that the models were trained on; the controls are put on the dense model
without training. Quality is judged on the fixed test part, speed on a random 64 of its documents.
Writes `results/bench/NAME.json` and `NAME.html`; no text of a document is in either.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tersely._io import keep_freed_memory
from tersely.bench import BenchReport, write_report
from tersely.cli import app

HERE = Path(__file__).parent
CONTENDERS = (
    "pipeline",
    "sorted",
    "onnx",
    "onnx-int8",
    "dense:max_length=64,trained=no",
    "random:trained=no",
    "topk:trained=no",
    "pool:trained=no",
    "tome:trained=no",
    "fewer-layers:trained=no",
    "tfidf",
    "static",
    "half",
    "compiled",
    "varlen",
)
METHODS = ("dense", "focus-pfc", "focus-pf")


def write_part(data: Path, name: str, split: str, folder: Path, most: int | None) -> Path:
    """The fixed part of a data set as a file, which is what the command takes.

    Fewer rows are a random draw, since a part is in the order of its classes.
    """
    rows = np.array(json.loads((HERE / "parts" / f"{name}.json").read_text())[split])
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:most])
    path = folder / f"{name}-{split}.parquet"
    pq.write_table(pq.read_table(data / name / f"{split}.parquet").take(rows), path)
    return path


def run(args: argparse.Namespace, name: str, folder: Path) -> BenchReport:
    """One run of the command, in this process, so that it is what users run."""
    train = write_part(args.data, name, "train", folder, None)
    test = write_part(args.data, name, "test", folder, args.documents)
    models = [str(args.models / f"{name}-{method}-0") for method in METHODS]
    command = ["bench", test, "--train", train, "--encoder", args.encoder, "--models", *models]
    command += ["--contenders", *CONTENDERS, "--timed", args.timed, "--rounds", args.rounds]
    command += ["--latency-documents", 32, "--cache", args.cache, "--json"]
    command = [str(part) for part in command]
    sys.argv = ["tersely", *command]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        app(command, prog_name="tersely", standalone_mode=False)
    record = json.loads(output.getvalue().splitlines()[-1])
    places = {args.data: "$DATA", args.models: "$MODELS", folder: "$PART", args.cache: "$CACHE"}
    for place, shown in {**places, Path(args.encoder): "$ENCODER"}.items():
        record["command"] = record["command"].replace(str(place), shown)
    if found := re.search(r"(?<![\w$/])/\w+", record["command"]):
        raise SystemExit(f"a path of this machine is left in the command: {found[0]}")
    return BenchReport.from_json(json.dumps(record))


def main() -> None:
    """Run the command for every set, and write JSON and HTML."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--only", nargs="*", default=["bbc", "20ng"])
    parser.add_argument("--documents", type=int, help="of the test part, drawn; all by default")
    parser.add_argument("--timed", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=Path(".cache/bench"))
    args = parser.parse_args()
    keep_freed_memory()
    out = HERE / "results" / "bench"
    out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name in args.only:
        with tempfile.TemporaryDirectory() as folder:
            report = run(args, name, Path(folder))
        (out / f"{name}.json").write_text(report.to_json() + "\n")
        write_report(report, out / f"{name}.html")
        print(f"{name}: {len(report.results)} contenders, {report.judged} documents")


if __name__ == "__main__":
    main()
