"""The options that several verbs share, so that one name means the same everywhere.

They are named as users of transformers and scikit-learn would guess. Options that go together are a
dataclass, with what is done with them; a verb that needs some of them names those.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

import typer

from tersely._io import check_writable, counting
from tersely.cli.messages import count, progress, say
from tersely.cli.settings import MACHINE, option
from tersely.errors import DataError, OutputError

if TYPE_CHECKING:
    from tersely.classifier import Classifier
    from tersely.text import Documents

Problem = Literal["single_label_classification", "multi_label_classification", "regression"]

# The types of settings, with what the help shows as their values.
Column = Annotated[str | None, {"metavar": "COLUMN"}]
Name = Annotated[str | None, {"metavar": "NAME"}]
Data = Annotated[str | None, {"metavar": "DATA"}]
Model = Annotated[str | None, {"metavar": "MODEL"}]
Directory = Annotated[Path | None, {"metavar": "DIR"}]
Page = Annotated[Path | None, {"metavar": "FILE.html"}]
Count = Annotated[int, {"min": 1}]
MaybeCount = Annotated[int | None, {"min": 1}]
Length = Annotated[int | None, {"min": 3}]
Share = Annotated[float, {"metavar": "SHARE", "min": 0, "max": 1}]
Limit = Annotated[float | None, {"metavar": "SHARE", "min": 0, "max": 1}]
Policy = Literal["truncate", "head-tail", "windows", "select", "select-sentence"]
Long = Annotated[Policy | None, {"metavar": "POLICY"}]

# The arguments of verbs, and the options that are no settings.


def argument(name: str, text: str) -> Any:
    """Return a verb's argument; that it is required, or `-`, is said by the usage."""
    return typer.Argument(metavar=name, help=text, show_default=False)


_KINDS = (
    "Labelled documents: a .csv, .tsv, .jsonl, .parquet file, a folder of classes, or a Hub data "
    "set (owner/name:split)."
)
_ONE = "Documents, in the formats of train; - reads one document from standard input."
TrainingData = Annotated[str, argument("DATA", _KINDS)]
LabelledData = Annotated[str, argument("DATA", "Labelled documents, in the formats of train.")]
UnlabelledData = Annotated[str, argument("DATA", _ONE)]
TrainedModel = Annotated[str, argument("MODEL", "A trained model: a directory or a Hub name.")]
Out = Annotated[Path, option("--out", "The directory to write to.", MACHINE, metavar="DIR")]
Overwrite = Annotated[bool, option("--overwrite", "Replace existing output.", MACHINE, metavar="")]
_LINE = "Print one line of JSON to standard output."
Json = Annotated[bool, option("--json", _LINE, MACHINE, metavar="")]


@dataclass(frozen=True)
class Columns:
    """Which columns of the data are read, and what the labels are.

    Attributes:
        text_column: The column with the texts. [detected]
        text_pair_column: The column with the second texts of pairs. [detected]
        label_column: The column with the labels. [detected]
        problem_type: The kind of labels: single_label_classification, multi_label_classification
            or regression. [inferred from the labels]
    """

    panel: ClassVar = "Data"
    text_column: Column = None
    text_pair_column: Column = None
    label_column: Column = None
    problem_type: Annotated[Problem | None, {"metavar": "TYPE"}] = None

    def read(
        self, source: str, labels: str = "ignore", problem_type: str | None = None
    ) -> Documents:
        """Return the documents of a source; `problem_type` holds where none is given."""
        if source == "-" and sys.stdin.isatty():
            say("reading one document from standard input; end it with Ctrl-D")
        from tersely.text import read_documents

        options = vars(self) | {"problem_type": self.problem_type or problem_type}
        return read_documents(source, labels=labels, **options)


Texts = Annotated[Columns, ("text_column", "text_pair_column")]
Judged = Annotated[Columns, (*get_args(Texts)[1], "label_column")]
"""The columns where a model says what the labels are."""


@dataclass(frozen=True)
class Sample:
    """Which of the documents are used.

    Attributes:
        limit: Use a random sample of N documents. [all]
        seed: The seed for everything random.
    """

    panel: ClassVar = "Data"
    limit: MaybeCount = None
    seed: int = 0

    def of(self, documents: Documents) -> Documents:
        """Return as many documents as `limit` says, in their order.

        They are drawn: files are often sorted by class, and the first are of a few classes only.
        """
        if self.limit is None or self.limit >= len(documents):
            return documents
        import numpy as np

        numbers = np.random.default_rng(self.seed).permutation(len(documents))[: self.limit]
        return documents.select(sorted(numbers.tolist()))

    def single_texts(self, documents: Documents, verb: str) -> Documents:
        """Return a sample of documents for a verb without text pairs, and say what it is."""
        if documents.pairs is not None:
            raise DataError(
                f"{verb} works on single texts, but {documents.source} holds text pairs; choose "
                "one of the columns with text_column"
            )
        chosen = self.of(documents)
        drawn = f", drawn from {len(documents):,}" if len(chosen) < len(documents) else ""
        say(describe(chosen) + drawn)
        return chosen


def describe(documents: Documents) -> str:
    """Return what the documents are and which columns were taken, for a message."""
    columns = f"texts in {documents.text_column!r}"
    if documents.pair_column is not None:
        columns += f" and {documents.pair_column!r}"
    if documents.label_column is not None:
        columns += f", labels in {documents.label_column!r}"
    return f"{count(len(documents), 'document')} from {documents.source}: {columns}"


@dataclass(frozen=True)
class Loading:
    """How a trained model reads documents, and on what.

    Attributes:
        max_length: Maximum tokens of a document or window. [the model's own]
        long: What to read of longer documents: truncate, head-tail, windows, select or
            select-sentence. [the model's own]
        batch_tokens: Tokens per packed batch. [the model's own, or 4096]
        device: Where to run: auto, cpu, cuda or cuda:N.
        threads: The number of torch threads. [one per core]
        max_disagreement: For a cascade: another of its certified limits, or 0 for the reference
            alone. [the one it was made for]
        max_loss: The same for certified limits on the net loss.
        max_error: A certified limit on the share of wrong labels; less confident answers are
            marked for review.
    """

    panel: ClassVar = "Model"
    max_length: Length = None
    long: Long = None
    batch_tokens: Annotated[int | None, {"min": 16}] = None
    device: Annotated[str, {"metavar": "NAME", "panel": MACHINE}] = "auto"
    threads: Annotated[int | None, {"min": 1, "panel": MACHINE}] = None
    max_disagreement: Limit = None
    max_loss: Limit = None
    max_error: Limit = None

    def load(self, model: str, **more: Any) -> Classifier:
        """Return the trained model of a directory or a Hub name."""
        from tersely.classifier import Classifier

        return Classifier.from_pretrained(model, **(vars(self) | more))


Answering = Annotated[
    Loading, tuple(each.name for each in fields(Loading) if each.name != "max_error")
]
"""Where every document is answered."""
Machine = Annotated[Loading, ("device", "threads")]


@dataclass(frozen=True)
class Budget:
    """The budget that a model is run at; the weights stay the same.

    Attributes:
        keep: The share of tokens to keep. [the model's own]
        budget: The target share of the MACs without token removal, on DATA; sets the share of
            tokens. [the model's own]
    """

    panel: ClassVar = "Method"
    keep: float | None = None
    budget: float | None = None

    def __post_init__(self) -> None:
        if self.keep is not None and self.budget is not None:
            raise typer.BadParameter("--keep and --budget set the same share; give one of them")

    def of(self, classifier: Classifier, documents: Documents) -> Classifier:
        """Return the classifier at this budget."""
        if self.keep is not None:
            return classifier.with_options(keep=self.keep)
        if self.budget is None:
            return classifier
        from tersely.reduction import has_share, plan_share

        set_to = classifier.with_budget(self.budget, documents.texts, documents.pairs)
        if has_share(set_to.plan):
            name, value, _ = plan_share(set_to.plan, set_to.model.plan.depth)
            plan = f"{classifier.plan.name} runs with {name}={value:.3g}"
            again = f"; --keep {value:.3g} needs no search" if name == "keep" else ""
            say(f"{plan} for a budget of {self.budget:g}{again}")
        return set_to


def answer(classifier: Classifier, documents: Documents, what: str) -> tuple[Any, Any]:
    """Return documents encoded, and what a classifier says of them; `what` is told meanwhile."""
    with progress(what) as bar:
        encoded = classifier.encode(documents.texts, documents.pairs, progress=bar.show)
        return encoded, classifier.forward(encoded, counting(bar.show, what, len(encoded)))


def write_rows(out: Path | None, table: Any, columns: dict[str, Any], *, overwrite: bool) -> None:
    """Write a table with further columns to a file, or as JSON Lines to standard output."""
    from tersely.text import write_table

    if out is not None:
        write_table(out, table, columns, overwrite=overwrite)
        return
    with tempfile.TemporaryDirectory(prefix="tersely-") as folder:
        path = write_table(Path(folder, "table.jsonl"), table, columns)
        sys.stdout.write(path.read_text(encoding="utf-8"))


def check_directory(out: Path, *, overwrite: bool, resume: bool = False) -> None:
    """Make sure, before long work, that a directory can be made or filled.

    With `overwrite` what it holds may be replaced, with `resume` it may hold an interrupted run.
    """
    if overwrite and resume:
        raise typer.BadParameter("--resume and --overwrite exclude each other; choose one")
    if out.exists() and not out.is_dir():
        raise OutputError(f"the output {out} must be a directory, but is a file; name another")
    filled = out.is_dir() and any(out.iterdir())
    interrupted = (out / "checkpoints").is_dir()
    if filled and resume and not interrupted:
        raise OutputError(f"{out} holds no interrupted run to resume; start over with --overwrite")
    if filled and not overwrite and not resume:
        go_on = ", or continue with --resume" if interrupted else ""
        raise OutputError(
            f"the output {out} exists and is not empty; name another directory, or allow it with "
            f"--overwrite{go_on}"
        )
    check_writable(next(place for place in (out, *out.absolute().parents) if place.exists()), out)
