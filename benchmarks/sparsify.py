"""Patterns by layers by sparsity: the accuracy of a model whose attention is thinned.

    python benchmarks/sparsify.py --model DIRECTORY --test test.csv --out results/

The first experiment of Breaking BERT (arXiv 2210.03841), on any data set and any fine-tuned dense
model: every pattern at every range of layers at several shares of the pairs, one JSON a cell, a
table and a plot. With `--train` each cell is fine-tuned first, else the dense weights are evaluated
as they are; `degrees` and `ramp` learn how far each layer looks, so they need it. A cell whose JSON
is there is skipped; one that was made with other settings is an error, not a cell. The sparsity of
a cell is counted, not computed: pairs that the pattern leaves out of the blocks that it stands at.
`--part r8` with `--test` a folder of data sets takes one of the fixed parts of `make_parts.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers

from tersely import Classifier, Plan, TrainingSettings
from tersely.errors import TerselyWarning, require
from tersely.methods.breaking_bert import LearnedNeighbours
from tersely.methods.patterns import GlobalTokens, Lexical, Neighbours, RandomPairs, Syntax, Union
from tersely.modeling import TerselyForSequenceClassification, with_plan
from tersely.modeling.inference import batches
from tersely.reduction import Knowledge, Pattern, Step
from tersely.text import Documents, read_documents
from tersely.text.metrics import evaluate_logits
from tersely.text.syntax import DependencyParser, spacy_heads

HERE = Path(__file__).parent
# Those that can be brought to any share, and those that are as sparse as the words make them.
BY_SHARE = ("neighbours", "random", "global", "bigbird", "lexical")
LEARNED = ("degrees", "ramp")
FIXED = ("same-words", "syntax")
RANGES = ("all", "first-half", "last-half", "last-third")


def pattern_of(name: str, share: float | None) -> Pattern:
    """A pattern at a share of the pairs; a union of three takes a third of it for each."""
    made = {
        "neighbours": lambda: Neighbours(share=share),
        "random": lambda: RandomPairs(share=share),
        "global": lambda: GlobalTokens(share=share),
        "bigbird": lambda: Union(
            of=[
                Neighbours(share=share / 3),
                RandomPairs(share=share / 3),
                GlobalTokens(share=share / 3),
            ]
        ),
        "degrees": lambda: LearnedNeighbours(by="degrees", target=1 - share),
        "ramp": lambda: LearnedNeighbours(by="ramp", target=1 - share),
        "lexical": lambda: Lexical(by="embedding", share=share),
        "same-words": Lexical,
        "syntax": Syntax,
    }
    return made[name]()


def blocks_of(name: str, depth: int) -> list[int]:
    """The blocks of a range, in an encoder of this depth."""
    bounds = {
        "all": (0, depth),
        "first-half": (0, depth // 2),
        "last-half": (depth // 2, depth),
        "last-third": (depth - max(1, depth // 3), depth),
    }
    return list(range(*bounds[name]))


def read(source: Path, name: str | None, split: str, limit: int | None) -> Documents:
    """A file, or a fixed part of a data set in a folder of them; the first ones of it."""
    if name is None:
        documents = read_documents(source, labels="required")
    else:
        rows = json.loads((HERE / "parts" / f"{name}.json").read_text())[split]
        documents = read_documents(source / name / f"{split}.parquet", labels="required")
        documents = documents.select(rows)
    if limit is None or limit >= len(documents):
        return documents
    rows = np.random.default_rng(0).permutation(len(documents))[:limit]
    return documents.select(sorted(rows.tolist()))


def evaluate(
    classifier: Classifier, model: TerselyForSequenceClassification, documents: Documents
) -> dict:
    """Metrics, and the sparsity that was counted."""
    encoded = classifier.encode(documents.texts)
    logits = np.zeros((len(encoded), model.num_labels), dtype=np.float32)
    connected = pairs = everything = 0.0
    started = time.perf_counter()
    with torch.inference_mode():
        for numbers, inputs in batches(encoded, 4096, model.device):
            output = model(**inputs, output_trace=True)
            logits[numbers] = output.logits.float().cpu().numpy()
            for layer in output.trace.blocks:
                whole = sum(q * k for q, k in zip(layer.queries, layer.keys, strict=True))
                everything += whole
                if layer.connected is not None:
                    connected += sum(layer.connected)
                    pairs += whole
    labels = classifier.label_space.encode(documents.labels)
    return {
        "metrics": evaluate_logits(logits, labels),
        "sparsity": 1 - connected / pairs if pairs else 0.0,
        "sparsity_of_all_blocks": (pairs - connected) / everything,
        "documents": len(documents),
        "seconds": time.perf_counter() - started,
    }


def cells(args: argparse.Namespace) -> list[tuple[str, str, float | None]]:
    """Pattern, range and share of every cell; the dense model is the first."""
    found: list[tuple[str, str, float | None]] = [("dense", "none", None)]
    for name in args.patterns:
        shares = [None] if name in FIXED else args.shares
        found += [(name, where, share) for where in args.layers for share in shares]
    return found


def run_cell(
    args: argparse.Namespace, dense: Classifier, cell: tuple[str, str, float | None]
) -> dict:
    """Train if asked to, and evaluate."""
    name, where, share = cell
    steps = []
    if name != "dense":
        depth = dense.model.config.encoder_config.num_hidden_layers
        steps = [Step(pattern_of(name, share), blocks_of(where, depth))]
    plan = Plan(f"{name}, {where}", steps)
    test = read(args.test, args.part, "test", args.documents)
    if args.train is None:
        model, classifier = with_plan(dense.model, plan), dense
    else:
        settings = TrainingSettings(epochs=args.epochs, learning_rate=args.learning_rate, seed=0)
        classifier = Classifier(
            args.model, method=plan, max_length=dense.limit, knowledge=dense.knowledge
        )
        train = read(args.train, args.part, "train", None)
        classifier.fit(train, validation=0, settings=settings)
        model = classifier.model
    result = evaluate(classifier, model, test)
    return {
        "pattern": name,
        "layers": where,
        "share": share,
        "settings": settings_of(args),
        **result,
        "plan": plan.to_dict(),
    }


def settings_of(args: argparse.Namespace) -> dict:
    """What all cells of a folder must have in common."""
    trained = args.train is not None
    return {
        "model": Path(args.model).name,
        "data": args.part or args.test.name,
        "documents": args.documents,
        "max_length": args.max_length,
        "epochs": args.epochs if trained else 0,
        "learning_rate": args.learning_rate if trained else None,
    }


def table(results: list[dict]) -> str:
    """A table in Markdown, the sparsest last."""
    lines = ["| pattern | layers | sparsity there | accuracy | macro F1 |", "|---|---|---|---|---|"]
    order = sorted(results, key=lambda r: (r["layers"], r["pattern"], r["sparsity"]))
    for own in order:
        metrics = own["metrics"]
        lines.append(
            f"| {own['pattern']} | {own['layers']} | {100 * own['sparsity']:.1f} % | "
            f"{100 * metrics['accuracy']:.1f} | {100 * metrics['macro_f1']:.1f} |"
        )
    return "\n".join(lines)


def plot(results: list[dict], target: Path) -> None:
    """Accuracy over sparsity, one panel a range of layers, one line a pattern."""
    require("matplotlib", "bench").use("Agg")
    pyplot = require("matplotlib.pyplot", "bench")
    ranges = [where for where in RANGES if any(own["layers"] == where for own in results)]
    order = (*BY_SHARE, *LEARNED, *FIXED)
    names = [name for name in order if any(own["pattern"] == name for own in results)]
    dense = next(own["metrics"]["accuracy"] for own in results if own["pattern"] == "dense")
    figure, panels = pyplot.subplots(
        1, len(ranges), figsize=(4.2 * len(ranges), 3.8), sharey=True, squeeze=False
    )
    for panel, where in zip(panels[0], ranges, strict=True):
        panel.axhline(100 * dense, color="0.5", linestyle="--", linewidth=1, label="dense")
        for number, name in enumerate(names):
            own = [r for r in results if r["layers"] == where and r["pattern"] == name]
            own.sort(key=lambda r: r["sparsity"])
            panel.plot(
                [100 * r["sparsity"] for r in own],
                [100 * r["metrics"]["accuracy"] for r in own],
                marker="os^Dvxp"[number % 7],
                color=f"C{number}",
                label=name,
            )
        spelt = where.replace("-", " ")
        panel.set_title("all layers" if where == "all" else f"the {spelt} of the layers")
        panel.set_xlabel("sparsity of their attention, %")
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("accuracy, %")
    panels[0][-1].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(target, dpi=120)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a fine-tuned dense model")
    parser.add_argument("--test", type=Path, required=True, help="documents with labels")
    parser.add_argument("--train", type=Path, help="fine-tune each cell on these first")
    parser.add_argument("--part", help="a fixed part: the data set's name in the folder given")
    parser.add_argument("--out", type=Path, required=True)
    choices = (*BY_SHARE, *LEARNED, *FIXED)
    parser.add_argument("--patterns", nargs="*", default=BY_SHARE, choices=choices)
    parser.add_argument("--layers", nargs="*", default=RANGES[:3], choices=RANGES)
    parser.add_argument("--shares", nargs="*", type=float, default=[0.5, 0.22, 0.1, 0.05])
    parser.add_argument("--documents", type=int, help="test on so many, drawn at random")
    parser.add_argument("--max-length", type=int)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--spacy", default="en_core_web_sm", help="the pipeline for 'syntax'")
    args = parser.parse_args()
    if args.train is None and set(args.patterns) & set(LEARNED):
        parser.error(f"{' and '.join(LEARNED)} learn their widths; give --train")
    return args


def main() -> None:
    """Go through the cells, then draw what is there."""
    args = parsed()
    warnings.simplefilter("ignore", TerselyWarning)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    args.out.mkdir(parents=True, exist_ok=True)
    dense = Classifier.from_pretrained(args.model, max_length=args.max_length)
    if "syntax" in args.patterns:
        parser = DependencyParser(dense.tokenizer, spacy_heads(args.spacy))
        dense.knowledge = dense.model.knowledge = Knowledge(parser=parser)
    results = []
    for cell in cells(args):
        name = "-".join(str(part) for part in cell if part is not None)
        target = args.out / f"{name}.json"
        if not target.exists():
            result = run_cell(args, dense, cell)
            target.write_text(json.dumps(result, indent=1) + "\n")
            accuracy = 100 * result["metrics"]["accuracy"]
            sparsity = 100 * result["sparsity"]
            print(f"{name}: {sparsity:.1f} % sparse, accuracy {accuracy:.1f}", flush=True)
        results.append(json.loads(target.read_text()))
        if results[-1]["settings"] != settings_of(args):
            sys.exit(f"{target} was made with other settings; give another --out")
    (args.out / "table.md").write_text(table(results) + "\n")
    plot(results, args.out / "plot.png")


if __name__ == "__main__":
    main()
