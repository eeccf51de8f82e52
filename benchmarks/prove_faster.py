"""`tersely accelerate` on the dense models of train_focus.py; writes the evidence, no texts.

    python benchmarks/prove_faster.py --data $DATA --models DIRECTORY [--only bbc r8 20ng]

The texts are the test documents, which no model was trained on. BBC News has too few of them for
0.5 %, so its limit is what they can prove; 20 Newsgroups, whose models are right in two of three
documents, is asked for 1 %.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from tersely._io import keep_freed_memory
from tersely.cli import app

HERE = Path(__file__).parent
RUNS = {"bbc": ("1.5%", 445), "r8": ("0.5%", 1600), "20ng": ("1%", 1600)}


def main() -> None:
    """Run the command for every set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=list(RUNS), choices=RUNS)
    args = parser.parse_args()
    keep_freed_memory()
    out = HERE / "results" / "accelerate"
    out.mkdir(parents=True, exist_ok=True)
    for name in args.only:
        allowed, most = RUNS[name]
        with tempfile.TemporaryDirectory() as folder:
            command = ["accelerate", f"$MODELS/{name}-dense-0", f"$DATA/{name}/test.parquet"]
            command += ["--limit", str(most), "--max-disagreement", allowed, "--out", "faster"]
            places = {"$MODELS": str(args.models), "$DATA": str(args.data), "faster": folder}
            real = list(command)
            for shown, place in places.items():
                real = [part.replace(shown, place) for part in real]
            app(real, prog_name="tersely", standalone_mode=False)
            evidence = json.loads((Path(folder) / "evidence.json").read_text())
        evidence["command"] = " ".join(["tersely", *command])
        (out / f"{name}.json").write_text(json.dumps(evidence, indent=1) + "\n")


if __name__ == "__main__":
    main()
