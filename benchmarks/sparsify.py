"""Patterns by layers by sparsity: the accuracy of a model whose attention is thinned.

    python benchmarks/sparsify.py --model DIRECTORY --test test.csv --out results/

The first experiment of Breaking BERT (arXiv 2210.03841), on any data set and any fine-tuned dense
model: every pattern at every range of layers at several shares of the pairs, one JSON a cell, of
which make_results.py makes the table. With `--train` each cell is fine-tuned first, else the dense
weights are evaluated as they are; `degrees` learns how far each layer looks, so it needs it. A cell
whose JSON is there is skipped; one that was made with other settings is an error, not a cell. The
sparsity of a cell is counted, not computed: pairs that the pattern leaves out of the blocks that it
stands at. `--part r8` with `--test` a folder of data sets takes one of the fixed parts of
`make_parts.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

from common import drawn, fixed_part, parser, quiet, write
from tersely import Classifier, Plan, TrainingSettings
from tersely.methods.breaking_bert import LearnedNeighbours
from tersely.methods.patterns import GlobalTokens, Lexical, Neighbours, RandomPairs, Syntax, Union
from tersely.modeling import TerselyForSequenceClassification, with_plan
from tersely.modeling.inference import batches
from tersely.reduction import Knowledge, Pattern, Step
from tersely.text import Documents, read_documents
from tersely.text.metrics import evaluate_logits
from tersely.text.syntax import DependencyParser, Heads

# Those that can be brought to any share, and those that are as sparse as the words make them.
BY_SHARE = ("neighbours", "random", "global", "bigbird", "lexical")
LEARNED = ("degrees",)
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
        "degrees": lambda: LearnedNeighbours(target=1 - share),
        "lexical": lambda: Lexical(by="embedding", share=share),
        "same-words": Lexical,
        "syntax": Syntax,
    }
    return made[name]()


def spacy_heads(name: str) -> Heads:
    """The parser of a pipeline of spaCy, which has to be installed."""
    import spacy

    pipeline = spacy.load(name)

    def heads(words: list[str]) -> list[int]:
        document = spacy.tokens.Doc(pipeline.vocab, words=words)
        return [word.head.i for word in pipeline(document)]

    return heads


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
    """A file, or a fixed part of a data set in a folder of them; some of it, drawn at random."""
    if name is None:
        return drawn(read_documents(source, labels="required"), limit, in_order=True)
    return drawn(fixed_part(source, name, split), limit, in_order=True)


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
        classifier.fit(train, validation=0, cascade="off", settings=settings)
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


def parsed() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    options.add_argument("--model", required=True, help="a fine-tuned dense model")
    options.add_argument("--test", type=Path, required=True, help="documents with labels")
    options.add_argument("--train", type=Path, help="fine-tune each cell on these first")
    options.add_argument("--part", help="a fixed part: the data set's name in the folder given")
    options.add_argument("--out", type=Path, required=True)
    choices = (*BY_SHARE, *LEARNED, *FIXED)
    options.add_argument("--patterns", nargs="*", default=BY_SHARE, choices=choices)
    options.add_argument("--layers", nargs="*", default=RANGES[:3], choices=RANGES)
    options.add_argument("--shares", nargs="*", type=float, default=[0.5, 0.22, 0.1, 0.05])
    options.add_argument("--documents", type=int, help="test on so many, drawn at random")
    options.add_argument("--max-length", type=int)
    options.add_argument("--epochs", type=float, default=1)
    options.add_argument("--learning-rate", type=float)
    options.add_argument("--spacy", default="en_core_web_sm", help="the pipeline for 'syntax'")
    args = options.parse_args()
    if args.train is None and set(args.patterns) & set(LEARNED):
        options.error(f"{' and '.join(LEARNED)} learn their widths; give --train")
    return args


def main() -> None:
    """Go through the cells."""
    args = parsed()
    quiet()
    dense = Classifier.from_pretrained(args.model, max_length=args.max_length)
    if "syntax" in args.patterns:
        words = DependencyParser(dense.tokenizer, spacy_heads(args.spacy))
        dense.knowledge = dense.model.knowledge = Knowledge(parser=words)
    for cell in cells(args):
        name = "-".join(str(part) for part in cell if part is not None)
        target = args.out / f"{name}.json"
        if not target.exists():
            result = run_cell(args, dense, cell)
            write(target, result)
            accuracy = 100 * result["metrics"]["accuracy"]
            sparsity = 100 * result["sparsity"]
            print(f"{name}: {sparsity:.1f} % sparse, accuracy {accuracy:.1f}", flush=True)
        if json.loads(target.read_text())["settings"] != settings_of(args):
            sys.exit(f"{target} was made with other settings; give another --out")


if __name__ == "__main__":
    main()
