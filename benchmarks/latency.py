"""How long one document takes, with a model's cascade and without: alone, and of a busy server.

    python benchmarks/latency.py --model fast/ --texts new.csv

From text to label, one document at a time, the cascade and its reference in turns, so that both see
the same machine; the first round is not counted. Most documents of a cascade are answered by a fast
stage, and some pay for every stage: p50 shows the former, p95 the latter where more than a
twentieth go on. Then each is served under load, at rates by its own capacity (`serve_load.py`).
"""

import json
import time
from collections import Counter
from pathlib import Path

import numpy as np

from common import drawn, parser, quiet, versions, write
from serve_load import under_load
from tersely import Classifier
from tersely._io import describe_machine
from tersely.text import read_documents

WAYS = {"cascade": {}, "reference": {"max_disagreement": 0.0}}
"""How the same model is loaded."""


def alone(model: str | Path, texts: list[str], rounds: int) -> dict[str, dict]:
    """Time each document by itself; p50 and p95 in milliseconds, and who answered how many."""
    loaded = {
        name: Classifier.from_pretrained(model, device="cpu", **how) for name, how in WAYS.items()
    }
    seconds = {name: [] for name in WAYS}
    for number in range(rounds + 1):
        for text in texts:
            for name, classifier in loaded.items():
                begun = time.perf_counter()
                classifier.predict([text])
                if number:
                    seconds[name].append(time.perf_counter() - begun)
    found = {}
    for name, classifier in loaded.items():
        p50, p95 = np.percentile(seconds[name], (50, 95)) * 1000
        stages = [stage.name for stage in classifier.model.cascade.stages]
        forward = classifier.forward(classifier.encode(texts, tell=False))
        answered = Counter(stages[stage] for stage in forward.stages)
        found[name] = {"p50_ms": p50, "p95_ms": p95, "answered_by": dict(answered)}
    return found


def main() -> None:
    """Measure and write the JSON."""
    options = parser(__doc__, "latency.json", rounds=3)
    options.add_argument("--model", required=True)
    options.add_argument("--texts", required=True)
    options.add_argument("--documents", type=int, default=200)
    options.add_argument("--seconds", type=float, default=20)
    args = options.parse_args()
    quiet()
    texts = drawn(read_documents(args.texts, labels="ignore"), args.documents).texts
    served = {"reference": under_load(args.model, texts, args.seconds, "--max-disagreement", "0")}
    served["cascade"] = under_load(args.model, texts, args.seconds)
    record = {"documents": len(texts), "alone": alone(args.model, texts, args.rounds)}
    record |= {"served": served, "machine": describe_machine(), "versions": versions()}
    print(json.dumps(record, indent=1))
    write(args.out, record)


if __name__ == "__main__":
    main()
