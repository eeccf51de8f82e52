"""`tersely accelerate` on the dense models of full_size.py; writes the evidence, no texts.

    python benchmarks/prove_faster.py --data $DATA --models DIRECTORY [--only bbc r8 20ng]

The texts are the test documents, at most 5,000, which no model was trained on. BBC News and SST-2
have too few of them for 1 %, so their limit is 2 %.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from common import RESULTS, parser, quiet, write
from compare import run_shown

LIMITS = {"bbc": 0.02, "r8": 0.01, "20ng": 0.01, "sst2": 0.02, "arxiv": 0.01, "imdb": 0.01}
MOST = 5000


def main() -> None:
    """Run the command for every set."""
    options = parser(__doc__, None, "data", "models")
    options.add_argument("--only", nargs="*", default=list(LIMITS), choices=LIMITS)
    options.add_argument("--keep", type=Path, help="folder for the fast models, for latency.py")
    args = options.parse_args()
    quiet()
    for name in args.only:
        command = ["accelerate", f"$MODELS/{name}-start-0", f"$DATA/{name}/test.parquet"]
        command += ["--limit", MOST, "--max-disagreement", LIMITS[name], "--out", "faster"]
        with tempfile.TemporaryDirectory() as folder:
            own = Path(folder) if args.keep is None else args.keep / name
            run_shown(command, {"$MODELS": args.models, "$DATA": args.data, "faster": own})
            evidence = json.loads((own / "evidence.json").read_text())
        write(RESULTS / "accelerate" / f"{name}.json", evidence)


if __name__ == "__main__":
    main()
