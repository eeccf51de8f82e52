"""An explanation as one HTML file that needs no network: the text, a slider over the blocks.

The template lies beside this file. Without script the text is there, shaded by how far each word
got, with the labels and the table of the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tersely.errors import OutputError, require
from tersely.explain.document import Explanation, WordFate
from tersely.explain.terminal import level

__all__ = ["to_html", "write_html"]

TEMPLATE = Path(__file__).with_name("page.html.j2")
LEVELS = 5
"""Shades from a word that no block saw to one that all saw; the template has a colour for each."""


def write_html(explanations: Sequence[Explanation], path: Path) -> Path:
    """Write explanations of one document as a page.

    Raises:
        MissingExtraError: if Jinja2 is not installed.
        OutputError: if the file cannot be written.
    """
    text = to_html(explanations)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"the page {path} cannot be written: {error.strerror}; choose another place"
        ) from None
    return path


def to_html(explanations: Sequence[Explanation]) -> str:
    """One page: an explanation, or several of the same document side by side."""
    jinja = require("jinja2", "explain")
    environment = jinja.Environment(
        autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        panels=[_panel(each) for each in explanations],
        levels=LEVELS,
    )


def _panel(explanation: Explanation) -> dict[str, Any]:
    decided = explanation.decided
    if isinstance(decided, list):
        decided = ", ".join(decided) or "no label"
    chosen = explanation.decided if isinstance(explanation.decided, list) else [decided]
    regression = explanation.problem_type == "regression"
    return {
        "model": explanation.model,
        "method": explanation.method,
        "decided": f"{decided:.4f}" if isinstance(decided, float) else decided,
        "labels": []
        if regression
        else [
            {"name": name, "share": share, "chosen": name in chosen}
            for name, share in sorted(explanation.labels.items(), key=lambda item: -item[1])
        ],
        "texts": [_spans(explanation, part) for part in range(len(explanation.texts))],
        "blocks": explanation.blocks,
        "reading": explanation.reading,
        "combined_at": explanation.combined_at,
        "said": explanation.about_length(),
        "removes": explanation.removes,
        "unread": explanation.unread,
        "data": {
            "reading": explanation.reading,
            "blocks": [block.layer + 1 for block in explanation.blocks],
            "combined": explanation.combined_at,
            "words": [_facts(explanation, word) for word in explanation.words],
            "tokens": [block.entered for block in explanation.blocks],
            "keys": [block.keys for block in explanation.blocks],
            "left": [block.left for block in explanation.blocks],
        },
    }


def _spans(explanation: Explanation, part: int) -> list[dict[str, Any]]:
    """The text in pieces: words by their number, and what stands between them."""
    text, place, spans = explanation.texts[part], 0, []
    for number, word in enumerate(explanation.words):
        if word.part != part:
            continue
        if word.start > place:
            spans.append({"text": text[place : word.start], "word": None})
        shade = level(word.reached, explanation.reading, LEVELS)
        spans.append({"text": word.text, "word": number, "level": shade, "read": word.read})
        place = word.stop
    spans.append({"text": text[place:], "word": None})
    return spans


def _facts(explanation: Explanation, word: WordFate) -> dict[str, Any]:
    """What the script needs of a word, under short names: there may be thousands."""
    if not word.read:
        return {"p": [token.piece for token in word.tokens]}
    blocks = range(len(explanation.blocks))
    best = word.furthest
    groups = sorted({token.group for token in word.tokens if token.group is not None})
    return {
        "p": [token.piece for token in word.tokens],
        "r": round(word.reached, 2),
        "k": [round(word.keys(block), 3) for block in blocks],
        "e": [any(t.present[block] for t in word.tokens if t.read) for block in blocks],
        "s": [_short(word.score(block)) for block in blocks],
        "g": groups,
        "m": _merged(explanation, best.merged_into),
        "a": best.merged_at,
    }


def _merged(explanation: Explanation, token: int | None) -> int | None:
    """The number of the word that holds a token, None for none."""
    if token is None:
        return None
    return explanation.word_of(token)


def _short(score: float | None) -> float | None:
    return None if score is None else round(score, 3)
