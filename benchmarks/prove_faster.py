"""`tersely accelerate` on the dense models of full_size.py; writes the evidence, no texts.

    python benchmarks/prove_faster.py --data $DATA --models DIRECTORY [--only bbc r8 20ng]

The linear stage is fitted on training documents, which the model was trained on; validation and
test documents choose and prove, which it was not. There are 5,000 at most of each. BBC News and
SST-2 have too few of them for 1 %, so their limit is 2 %.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common import RESULTS, parser, quiet, write
from compare import run_shown

LIMITS = {"bbc": 0.02, "r8": 0.01, "20ng": 0.01, "sst2": 0.02, "arxiv": 0.01, "imdb": 0.01}
MOST = 5000


def write_texts(data: Path, name: str, folder: Path) -> None:
    """Write the training documents of a set, and those apart, as the two files that are read."""
    for part, splits in (("train", ["train"]), ("apart", ["validation", "test"])):
        files = [data / name / f"{split}.parquet" for split in splits]
        rows = pa.concat_tables(map(pq.read_table, files))
        some = np.random.default_rng(0).permutation(len(rows))[:MOST]
        pq.write_table(rows.take(np.sort(some)), folder / f"{part}.parquet")


def main() -> None:
    """Run the command for every set."""
    options = parser(__doc__, None, "data", "models")
    options.add_argument("--only", nargs="*", default=list(LIMITS), choices=LIMITS)
    options.add_argument("--keep", type=Path, help="folder for the fast models, for latency.py")
    args = options.parse_args()
    quiet()
    for name in args.only:
        with tempfile.TemporaryDirectory() as folder:
            texts = Path(folder)
            write_texts(args.data, name, texts)
            own = texts / "faster" if args.keep is None else args.keep / name
            command = ["accelerate", f"$MODELS/{name}-start-0", "$TEXTS/apart.parquet", "--train"]
            command += ["$TEXTS/train.parquet", "--max-disagreement", LIMITS[name], "--out"]
            places = {"$MODELS": args.models, "$TEXTS": texts, "faster": own}
            run_shown([*command, "faster"], places)
            evidence = json.loads((own / "evidence.json").read_text())
        write(RESULTS / "accelerate" / f"{name}.json", evidence)


if __name__ == "__main__":
    main()
