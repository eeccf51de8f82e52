"""Untrained classifiers with a tokenizer of word pieces, and what is shown of their answers."""

import io
import json
import re
from pathlib import Path

from rich.console import Console
from transformers import AutoTokenizer

from tersely import Classifier
from tersely.explain.show import render
from tersely.modeling import from_encoder
from tersely.reduction import find_preset

PIECES = "play ##ing ##ed un the cat sat , . ( ) a b c ##a ##b ##c film good bad ##ly".split()
TEXT = "The cat  sat, playing (un\nplayed) goodly film."


def make(folder: Path, method: str = "dense", *, problem_type=None, labels=3, **options):
    """A classifier with random weights; options of the model by name, others of the method."""
    mine = {name: options.pop(name) for name in ("max_length", "long") if name in options}
    if "least" in find_preset(method).options:
        options.setdefault("least", 1)  # the texts of these tests are short
    classifier = Classifier(folder, method=method, method_options=options, device="cpu", **mine)
    model = from_encoder(
        str(folder),
        plan=classifier.plan,
        id2label=dict(enumerate(["one", "two", "three"][:labels])),
        problem_type=problem_type,
        **mine,
    )
    classifier.adopt(model, AutoTokenizer.from_pretrained(folder))
    return classifier


def shown(told, width=200, **options) -> str:
    """What a terminal shows."""
    console = Console(file=io.StringIO(), width=width, **({"no_color": True} | options))
    console.print(render(told, console))
    return console.file.getvalue()


def facts_of(page: str):
    """The data that a page holds."""
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page)[1])
