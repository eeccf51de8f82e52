"""The demo: train dense, the default and Focus on the Core here, and measure them side by side.

Sized for two cores and under ten minutes: 1,500 documents at 128 tokens, one epoch each (the same
number of steps), small batches because there are few documents. Quality is measured on all held-out
documents, speed on a part of them.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tersely.bench import BenchReport, PackedContender, bench, render
from tersely.classifier import Classifier
from tersely.demo.corpus import DemoCorpus, build_corpus
from tersely.demo.encoder import demo_encoder
from tersely.errors import TerselyWarning
from tersely.text import Documents
from tersely.training import TrainingSettings

__all__ = ["METHODS", "run_demo"]

METHODS = ("dense", "topk", "focus-pfc")
_LENGTH = 128
# On 400 of the held-out documents dense is right in 61 % after an epoch at 4e-4, in 56 % of all of
# them after one at 1e-4, where TF-IDF with logistic regression has 74 % (2026-11-22).
_SETTINGS = TrainingSettings(epochs=1, learning_rate=4e-4, batch_tokens=1024)
_TIMED = 256  # documents in a round of the clock


def run_demo(out: Path, *, seed: int = 0, console: Console | None = None) -> dict[str, Any]:
    """Train, measure and compare; prints the table, and says where the models are.

    Args:
        out: folder for the models, `held-out.csv` and `report.json`.
        seed: of the corpus, the shuffles and the new weights.
        console: where the table is printed; standard output by default. All else that is said goes
            to standard error.

    Returns:
        The report as JSON has it, with the paths of the models.

    Raises:
        DataError: if the installed libraries hold too few documents.
        MissingExtraError: if the demo's encoder is not installed.
    """
    console = console or Console()
    messages = Console(stderr=True)
    started = time.perf_counter()
    encoder = demo_encoder()
    corpus = _corpus(seed)
    messages.print(
        f"{len(corpus.train_texts):,} documents to train on and {len(corpus.heldout_texts):,} held "
        f"out (other modules), {len(corpus.labels)} subjects: {', '.join(corpus.labels)}.\n",
        highlight=False,
    )
    train = Documents.from_lists(corpus.train_texts, corpus.train_labels)
    settings = replace(_SETTINGS, seed=seed)
    classifiers = {}
    for method in METHODS:
        classifier = Classifier(encoder, method=method, max_length=_LENGTH)
        messages.print(f"Training [bold]{method}[/bold], {settings.epochs:g} epoch …")
        with _quiet_lengths():
            classifier.fit(train, validation=0, settings=settings, progress=True)
        classifier.save(out / method)
        classifiers[method] = classifier
    report = _measure(classifiers, corpus, out, seed)
    console.print(render(report))
    record = json.loads(report.to_json())
    record["seconds_in_all"] = time.perf_counter() - started
    record["training"] = {m: _training(c) for m, c in classifiers.items()}
    record["models"] = {method: str(out / method) for method in METHODS}
    (out / "report.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    sample = _write_sample(corpus, out)
    _explain(messages, record, out, sample)
    return record


def _corpus(seed: int) -> DemoCorpus:
    with _bars() as bars:
        task = bars.add_task("Reading the installed libraries' documentation", total=None)
        return build_corpus(
            seed=seed,
            progress=lambda stage, done, total: bars.update(task, completed=done, total=total),
        )


def _measure(
    classifiers: dict[str, Classifier], corpus: DemoCorpus, out: Path, seed: int
) -> BenchReport:
    """Quality on all held-out documents, speed and memory on a part of them."""
    contenders = [
        PackedContender(c, name, source={"source": str(out / name), "device": str(c.device)})
        for name, c in classifiers.items()
    ]
    space = classifiers[METHODS[0]].label_space
    with _bars() as bars, _quiet_lengths():
        task = bars.add_task("Measuring", total=None)
        return bench(
            contenders,
            corpus.heldout_texts,
            space.encode(corpus.heldout_labels, unseen="skip"),
            problem_type=space.problem_type,
            timed=_TIMED,
            latency_documents=48,
            seed=seed,
            progress=lambda stage, done, total: bars.update(
                task, description=f"Measuring: {stage}", completed=done, total=total
            ),
        )


def _training(classifier: Classifier) -> dict[str, Any]:
    record = classifier.training or {}
    return {key: record[key] for key in ("steps", "seconds", "tokens_per_epoch", "settings")}


def _write_sample(corpus: DemoCorpus, out: Path) -> Path:
    """The held-out documents as a file, so that the commands which are shown can be tried."""
    from tersely.text import write_table

    documents = Documents.from_lists(corpus.heldout_texts, corpus.heldout_labels)
    return write_table(out / "held-out.csv", documents.table, {}, overwrite=True)


def _explain(messages: Console, record: dict[str, Any], out: Path, sample: Path) -> None:
    model = out / METHODS[1]
    models = " ".join(str(out / method) for method in METHODS)
    messages.print(
        f"\nTook {record['seconds_in_all'] / 60:.1f} minutes. The models are in {out}. Use them "
        "so:\n\n"
        f"  tersely predict {model} {sample} --out labels.csv\n"
        f"  tersely evaluate {model} {sample}\n"
        f"  tersely bench {sample} --models {models}\n\n"
        "or from Python:\n\n"
        "  from tersely import Classifier\n"
        f'  Classifier.from_pretrained("{model}").predict(["Compute the singular values."])\n',
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


@contextmanager
def _bars() -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:
        yield bars


@contextmanager
def _quiet_lengths() -> Iterator[None]:
    """Most of the documents are longer than the demo reads, by design: not worth a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*documents are longer than", TerselyWarning)
        yield
