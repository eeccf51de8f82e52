"""The report on a data set: models of train_focus.py against everything one would pick instead.

    python benchmarks/compare.py --data $DATA --models DIRECTORY --encoder DIRECTORY --only bbc

Runs `tersely bench` with all contenders. TF-IDF and static embeddings are fitted on the same fixed
part (see make_parts.py) that the models were trained on; methods and controls are put on the dense
model without training. Quality is judged on the fixed test part, speed on 64 documents of it.
Writes `results/bench/NAME.json` and `NAME.html`; no text of a document is in either.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from common import HERE, RESULTS, parser, quiet, write
from rivals import StaticVectors
from tersely.cli import app

CONTENDERS = (
    "pipeline",
    "sorted",
    "onnx",
    "onnx-int8",
    "dense:max_length=64",
    "random",
    "topk",
    "pool",
    "tome",
    "fewer-layers",
    "tfidf",
    "rivals:StaticVectors",
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


def run_shown(command: list[object], places: dict[str, object]) -> str:
    """Run a command of tersely in this process; return what it printed.

    The record shows the command as it is written here, with names in the place of this machine's
    folders.
    """
    shown = [str(part) for part in command]
    real = list(shown)
    for name, place in places.items():
        real = [part.replace(name, str(place)) for part in real]
    sys.argv = ["tersely", *shown]
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        failed = app(real, prog_name="tersely", standalone_mode=False)
    if failed:  # an earlier run's result must not pass for this one's
        raise SystemExit(f"tersely {real[0]} ended with {failed}, see above")
    return output.getvalue()


def main() -> None:
    """Run the command for every set, and write JSON and HTML."""
    options = parser(__doc__, None, "data", "models", "encoder", rounds=5)
    options.add_argument("--only", nargs="*", default=["bbc", "20ng"])
    options.add_argument("--documents", type=int, help="of the test part, drawn; all by default")
    options.add_argument("--timed", type=int, default=64)
    args = options.parse_args()
    quiet()
    StaticVectors.encoder = args.encoder
    for name in args.only:
        with tempfile.TemporaryDirectory() as folder:
            train = write_part(args.data, name, "train", Path(folder), None).name
            test = write_part(args.data, name, "test", Path(folder), args.documents).name
            models = [f"$MODELS/{name}-{method}-0" for method in METHODS]
            command = ["bench", f"$PART/{test}", "--train", f"$PART/{train}"]
            command += ["--models", *models, "--contenders", *CONTENDERS, "--timed", args.timed]
            command += ["--rounds", args.rounds, "--latency-documents", 32]
            places = {"$MODELS": args.models, "$PART": folder}
            places |= {"$PAGE": RESULTS / "bench" / f"{name}.html"}
            printed = run_shown([*command, "--report", "$PAGE", "--json"], places)
        record = json.loads(printed.splitlines()[-1])
        write(RESULTS / "bench" / f"{name}.json", record)
        print(f"{name}: {len(record['results'])} contenders, {record['judged']} documents")


if __name__ == "__main__":
    main()
