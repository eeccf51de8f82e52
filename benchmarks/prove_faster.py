"""`tersely accelerate` on the dense models of train_focus.py; writes the evidence, no texts.

    python benchmarks/prove_faster.py --data $DATA --models DIRECTORY [--only bbc r8 20ng]

The texts are the test documents, which no model was trained on. BBC News has too few of them for
0.5 %, so its limit is what they can prove; 20 Newsgroups, whose models are right in two of three
documents, is asked for 1 %.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from common import RESULTS, parser, quiet, write
from compare import run_shown

RUNS = {"bbc": (0.015, 445), "r8": (0.005, 1600), "20ng": (0.01, 1600)}


def main() -> None:
    """Run the command for every set."""
    options = parser(__doc__, None, "data", "models")
    options.add_argument("--only", nargs="*", default=list(RUNS), choices=RUNS)
    args = options.parse_args()
    quiet()
    for name in args.only:
        allowed, most = RUNS[name]
        command = ["accelerate", f"$MODELS/{name}-dense-0", f"$DATA/{name}/test.parquet"]
        command += ["--limit", most, "--max-disagreement", allowed, "--out", "faster"]
        with tempfile.TemporaryDirectory() as folder:
            run_shown(command, {"$MODELS": args.models, "$DATA": args.data, "faster": folder})
            evidence = json.loads((Path(folder) / "evidence.json").read_text())
        write(RESULTS / "accelerate" / f"{name}.json", evidence)


if __name__ == "__main__":
    main()
