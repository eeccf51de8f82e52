"""ONNX Runtime with int8: the dense encoder against the same with token removal.

    python benchmarks/onnx_speed.py --data $DATA --encoder DIRECTORY

MiniLM-L6, documents of 20 Newsgroups cut at 512 tokens, forward pass only (tokenising outside the
clock), all exports in one process, taking turns. Speed does not depend on what the weights were
trained for, so the heads are new, and the labels mean nothing: the exports are checked for speed
here, and for agreement in the tests. `dense torch` is tersely on packed batches in float32.

The figure that counts is the speed-up over dense int8, by the reduction in MACs.
"""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from common import newsgroups, parser, quiet, write
from tersely import Classifier, preset
from tersely.bench import PackedContender, bench, render
from tersely.export import export_model, is_export
from tersely.modeling import from_encoder
from tersely.modeling.loading import load_tokenizer

LABELS = 20
PLANS = {
    "dense": preset("dense"),
    "topk": preset("topk", keep=0.25),
    "focus-pfc": preset("focus-pfc"),
    "focus-pfc shared": preset("focus-pfc", heads="mean", reading="complement"),
}
BASELINE = "dense int8"


def exported(encoder: str, name: str, texts: list[str], folder: Path) -> Path:
    """The int8 export of a plan; made once."""
    directory = folder / name.replace(" ", "-")
    if is_export(directory):
        return directory
    torch.manual_seed(0)
    model = from_encoder(encoder, plan=PLANS[name], num_labels=LABELS, max_length=512)
    model.save_pretrained(directory / "torch")
    load_tokenizer(encoder, {}).save_pretrained(directory / "torch")
    classifier = Classifier.from_pretrained(directory / "torch", device="cpu")
    # A head that knows nothing is undecided everywhere, so its labels are no measure.
    check = export_model(classifier, directory, texts[:8], int8=True, min_agreement=0.0)
    print(name, check, flush=True)
    return directory


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = parser(__doc__, "onnx.json", "data", "encoder", rounds=5)
    options.add_argument("--work", type=Path, default=Path(".cache/onnx_speed"))
    options.add_argument("--documents", type=int, default=128)
    args = options.parse_args()
    quiet()
    documents, about = newsgroups(args.data, "test", args.documents)
    texts = documents.texts
    contenders = []
    for name in PLANS:
        directory = exported(args.encoder, name, texts, args.work)
        contenders.append(PackedContender(Classifier.from_pretrained(directory), f"{name} int8"))
    dense = args.work / "dense" / "torch"
    contenders.append(PackedContender(Classifier.from_pretrained(dense), "dense torch"))
    report = bench(
        contenders,
        texts,
        rounds=args.rounds,
        baseline=BASELINE,
        latency_documents=16,
        memory=False,
    )
    Console(width=100).print(render(report))
    record = report.to_dict() | {"data": about}
    for each in record["results"]:
        if each["name"] != "dense torch":
            share = each["speedup"]["median"] * each["macs_ratio"]
            each["speedup_over_reduction"] = share
            print(f"{each['name']}: speed-up over the reduction {share:.2f}")
    write(args.out, record)


if __name__ == "__main__":
    main()
