"""The options of all verbs, so that one name means the same, and reads the same, everywhere.

They are named as users of transformers and scikit-learn would guess; what they mean by default
stands in the library, whose defaults the verbs take over.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tersely.cli.config import load_config
from tersely.cli.messages import DEBUG
from tersely.modeling.configuration import HEADS
from tersely.text import PROBLEM_TYPES
from tersely.text.encoding import LONG_POLICIES

MODEL = "Model"
DATA = "Data"
METHOD = "Method"
TRAINING = "Training"
MEASUREMENT = "Measurement"
OUTPUT = "Output and machine"


def _choices(name: str, values: tuple[str, ...]) -> Any:
    return StrEnum(name, {value.replace("-", "_"): value for value in values})


Long = _choices("Long", LONG_POLICIES)
Head = _choices("Head", ("auto", *HEADS))
ProblemType = _choices("ProblemType", PROBLEM_TYPES)


def option(name: str, text: str, panel: str, **more: Any) -> Any:
    """An option under its panel: the shared ones below, and those that one verb has alone."""
    return typer.Option(name, help=text, rich_help_panel=panel, **more)


def flag(name: str, text: str, panel: str, **more: Any) -> Any:
    """An option that is on or off."""
    # No metavar: newer typer would call the value of a flag <bool>.
    return option(name, text, panel, metavar="", **more)


def _remember_debug(ctx: typer.Context, wanted: bool) -> bool:
    ctx.find_root().meta[DEBUG] = wanted
    return wanted


# What is read.
TrainingData = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Labelled documents: a .csv, .tsv, .jsonl, .parquet file, a folder of classes, or a "
        "Hub data set (owner/name:split).",
        show_default=False,
    ),
]
LabelledData = Annotated[
    str, typer.Argument(metavar="DATA", help="Labelled documents, as in train.")
]
UnlabelledData = Annotated[
    str,
    typer.Argument(
        metavar="DATA", help="Documents, as in train; - for one document on standard input."
    ),
]
TrainedModel = Annotated[
    str, typer.Argument(metavar="MODEL", help="A trained model: a directory or a Hub name.")
]
Validation = Annotated[
    str | None,
    option(
        "--validation",
        "Documents to choose the best epoch by, as DATA.",
        DATA,
        metavar="DATA",
        show_default="a stratified tenth",
    ),
]
TextColumn = Annotated[
    str | None,
    option("--text-column", "Column of texts.", DATA, metavar="COLUMN", show_default="guessed"),
]
TextPairColumn = Annotated[
    str | None,
    option(
        "--text-pair-column",
        "Column of second texts.",
        DATA,
        metavar="COLUMN",
        show_default="guessed",
    ),
]
LabelColumn = Annotated[
    str | None,
    option("--label-column", "Column of labels.", DATA, metavar="COLUMN", show_default="guessed"),
]
LabelSeparator = Annotated[
    str | None,
    option(
        "--label-separator", "Splits a cell into several labels, such as '|'.", DATA, metavar="TEXT"
    ),
]
Problem = Annotated[
    ProblemType | None,
    option(
        "--problem-type",
        "single_label_classification, multi_label_classification or regression.",
        DATA,
        metavar="TYPE",
        show_default="told by the labels",
    ),
]
Split = Annotated[str | None, option("--split", "Split of a Hub data set.", DATA, metavar="NAME")]

# What reads it.
Encoder = Annotated[
    str | None,
    option(
        "--model",
        "Encoder to start from: a Hub name or a directory.",
        MODEL,
        metavar="NAME",
        show_default="bert-base-uncased",
    ),
]
Revision = Annotated[
    str | None,
    option("--revision", "Branch, tag or commit of a Hub model.", MODEL, metavar="NAME"),
]
HeadKind = Annotated[
    Head,
    option(
        "--head",
        "Classifier on top: mean (of the tokens), family (its own) or auto.",
        MODEL,
        metavar="KIND",
    ),
]
MaxLength = Annotated[
    int | None,
    option(
        "--max-length",
        "Most tokens of a document or window.",
        MODEL,
        min=3,
        metavar="N",
        show_default="the encoder's, at most 512",
    ),
]
ModelMaxLength = Annotated[
    int | None,
    option(
        "--max-length",
        "Most tokens of a document or window.",
        MODEL,
        min=3,
        metavar="N",
        show_default="the model's own",
    ),
]
LongPolicy = Annotated[
    Long | None,
    option(
        "--long",
        "Longer documents: truncate, head-tail or windows; kept with the model.",
        MODEL,
        metavar="POLICY",
        show_default="truncate, or what a tersely MODEL was saved with",
    ),
]
ModelLongPolicy = Annotated[
    Long | None,
    option(
        "--long",
        "Longer documents: truncate, head-tail or windows.",
        MODEL,
        metavar="POLICY",
        show_default="the model's own",
    ),
]

# How it is reduced.
Method = Annotated[
    str,
    option("--method", "Token reduction; 'tersely methods' lists them.", METHOD, metavar="NAME"),
]
MethodOption = Annotated[
    list[str] | None,
    option(
        "--method-option",
        "An option of the method, such as keep=0.8; repeatable.",
        METHOD,
        metavar="KEY=VALUE",
    ),
]
PlanFile = Annotated[
    Path | None,
    option(
        "--plan", "A reduction plan of your own, in place of --method.", METHOD, metavar="FILE.json"
    ),
]
Teacher = Annotated[
    str | None,
    option(
        "--teacher", "A trained model of the same labels to distil from.", METHOD, metavar="MODEL"
    ),
]
TargetFlops = Annotated[
    float | None,
    option(
        "--target-flops",
        "MACs to reach, over the dense model's; sets the method's share or block.",
        METHOD,
        metavar="R",
    ),
]
Keep = Annotated[
    float | None,
    option(
        "--keep",
        "Another share of tokens to keep than the model was trained with.",
        METHOD,
        metavar="X",
        show_default="the model's own",
    ),
]
Budget = Annotated[
    float | None,
    option(
        "--budget",
        "MACs to reach on DATA, over those without any removal; sets the share.",
        METHOD,
        metavar="R",
        show_default="the model's own",
    ),
]
Keeps = Annotated[
    list[float] | None,
    option(
        "--keep",
        "Also run models at this share of tokens to keep; repeatable.",
        METHOD,
        metavar="X",
    ),
]
Budgets = Annotated[
    list[float] | None,
    option(
        "--budget",
        "Also run models at this share of the MACs without any removal; repeatable.",
        METHOD,
        metavar="R",
    ),
]
DenseShare = Annotated[
    float | None,
    option(
        "--dense-share",
        "Share of the steps that are dense, before the method is switched on.",
        METHOD,
        metavar="X",
        show_default="0.75 where a method combines or learns or hidden states are compared, else 0",
    ),
]
DistillationWeight = Annotated[
    float,
    option("--distillation-weight", "Share of the teacher in the loss.", METHOD, metavar="X"),
]
HiddenDistillation = Annotated[
    float,
    option(
        "--hidden-distillation",
        "Weight of the distance to a dense teacher's last hidden states.",
        METHOD,
        metavar="X",
    ),
]
Temperature = Annotated[float, option("--temperature", "Of the distillation.", METHOD, metavar="X")]

# How it is trained.
Epochs = Annotated[float, option("--epochs", "Passes over the documents.", TRAINING, metavar="X")]
LearningRate = Annotated[
    float | None,
    option(
        "--learning-rate",
        "Peak of the schedule.",
        TRAINING,
        metavar="X",
        show_default="5e-5 × 768 / width",
    ),
]
StepTokens = Annotated[
    int, option("--batch-tokens", "Tokens of a batch, which is one step.", TRAINING, metavar="N")
]
Warmup = Annotated[
    float, option("--warmup", "Share of the steps that warm up.", TRAINING, metavar="X")
]
WeightDecay = Annotated[float, option("--weight-decay", "Of AdamW.", TRAINING, metavar="X")]
Patience = Annotated[
    int | None,
    option(
        "--patience",
        "Stop after this many epochs without a lower validation loss.",
        TRAINING,
        metavar="N",
        show_default="never",
    ),
]
GradientCheckpointing = Annotated[
    bool, flag("--gradient-checkpointing", "Save memory, take longer.", TRAINING)
]
ReportTo = Annotated[
    list[str] | None,
    option(
        "--report-to",
        "A reporting tool of transformers' Trainer; repeatable.",
        TRAINING,
        metavar="NAME",
    ),
]
Seed = Annotated[int, option("--seed", "Of everything random.", TRAINING, metavar="N")]
Resume = Annotated[bool, flag("--resume", "Go on with an interrupted run in --out.", TRAINING)]

# How it is measured.
Rounds = Annotated[int, option("--rounds", "Turns of each model.", MEASUREMENT, metavar="N", min=1)]
LatencyDocuments = Annotated[
    int,
    option("--latency-documents", "Documents also run alone.", MEASUREMENT, metavar="N", min=0),
]
Baseline = Annotated[
    str | None,
    option(
        "--baseline",
        "The model that ratios refer to.",
        MEASUREMENT,
        metavar="NAME",
        show_default="the first",
    ),
]
Stock = Annotated[
    bool,
    flag(
        "--stock",
        "The contenders pipeline and sorted: the dense model as transformers run it.",
        MEASUREMENT,
    ),
]
NoMemory = Annotated[bool, flag("--no-memory", "Do not measure memory.", MEASUREMENT)]
BenchTraining = Annotated[
    str | None,
    option(
        "--train",
        "Documents to train contenders on, as DATA.",
        DATA,
        metavar="DATA",
        show_default="nothing is trained",
    ),
]
BenchEncoder = Annotated[
    str | None,
    option(
        "--encoder",
        "Encoder that contenders are trained from: a Hub name or a directory.",
        MODEL,
        metavar="NAME",
        show_default="as in train",
    ),
]
Seeds = Annotated[
    int,
    option("--seeds", "Train so many times, for quality.", TRAINING, metavar="N", min=1),
]
Cache = Annotated[
    Path | None,
    option(
        "--cache",
        "Where trained contenders are kept.",
        TRAINING,
        metavar="DIR",
        show_default="the user's cache",
    ),
]
Timed = Annotated[
    int | None,
    option(
        "--timed",
        "Documents in a round of the clock; quality is judged on all.",
        MEASUREMENT,
        metavar="N",
        min=1,
        show_default="all",
    ),
]
ReportFile = Annotated[
    Path | None,
    option("--report", "Write a report as one HTML file.", OUTPUT, metavar="FILE.html"),
]
PlotsDirectory = Annotated[
    Path | None,
    option("--plots", "Write the report's plots as PNG files.", OUTPUT, metavar="DIR"),
]
Limit = Annotated[
    int | None,
    option(
        "--limit",
        "Use N documents, drawn by the seed.",
        DATA,
        metavar="N",
        min=1,
        show_default="all",
    ),
]
Threads = Annotated[
    int | None,
    option("--threads", "Threads of torch.", MEASUREMENT, metavar="N", min=1, show_default="all"),
]
SampleSeed = Annotated[
    int, option("--seed", "Of training, and of the choice of documents.", MEASUREMENT, metavar="N")
]

# Where it goes, and on what it runs.
OutDirectory = Annotated[
    Path, option("--out", "Directory of the trained model.", OUTPUT, metavar="DIR")
]
OutFile = Annotated[
    Path | None,
    option(
        "--out",
        "File to write, .csv, .tsv, .jsonl or .parquet.",
        OUTPUT,
        metavar="FILE",
        show_default="standard output",
    ),
]
Probabilities = Annotated[bool, flag("--probabilities", "Also a column for each class.", OUTPUT)]
Overwrite = Annotated[bool, flag("--overwrite", "Replace an output that exists.", OUTPUT)]
Json = Annotated[bool, flag("--json", "One line of JSON on standard output.", OUTPUT)]
JsonLines = Annotated[
    bool, flag("--json", "JSON Lines on standard output, whatever the input.", OUTPUT)
]
BatchTokens = Annotated[
    int | None,
    option(
        "--batch-tokens",
        "Tokens of a packed batch.",
        OUTPUT,
        metavar="N",
        min=16,
        show_default="the model's own, or 4096",
    ),
]
Device = Annotated[str, option("--device", "auto, cpu, cuda or cuda:N.", OUTPUT, metavar="NAME")]
Config = Annotated[
    Path | None,
    option(
        "--config",
        "A YAML file with these names as keys; options given here win.",
        OUTPUT,
        metavar="FILE.yaml",
        callback=load_config,
        is_eager=True,
    ),
]
Debug = Annotated[
    bool,
    flag(
        "--debug",
        "Show the traceback of an error.",
        OUTPUT,
        envvar="TERSELY_DEBUG",
        callback=_remember_debug,
        is_eager=True,
    ),
]
