"""An explanation as one HTML file that needs no network: the text, a slider over the blocks.

The template lies beside this file. Without script the text is there, shaded by how far each word
got, with the labels and the table of the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tersely.errors import OutputError, require
from tersely.explain.document import Explanation, WordLineage
from tersely.explain.terminal import SHADES, level

_LABELS = 5  # shown above the text; the others are behind a fold


def write_html(explanations: Sequence[Explanation], path: str | Path) -> Path:
    """Write explanations of one document as a page.

    Raises:
        MissingExtraError: if Jinja2 is not installed.
        OutputError: if the file cannot be written.
    """
    path, text = Path(path), to_html(explanations)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"the page {path} cannot be written: {error.strerror}; choose another place"
        ) from None
    return path


def to_html(explanations: Sequence[Explanation]) -> str:
    """Return one page: an explanation, or several of the same document side by side."""
    jinja = require("jinja2", "explain")
    environment = jinja.Environment(
        autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = Path(__file__).with_name("page.html.j2").read_text(encoding="utf-8")
    panels = [_panel(each) for each in explanations]
    return environment.from_string(source).render(panels=panels, shades=SHADES)


def _panel(told: Explanation) -> dict[str, Any]:
    chosen = told.decided if isinstance(told.decided, list) else [told.decided]
    ranked = sorted(told.labels.items(), key=lambda item: -item[1])
    labels = [{"name": n, "share": share, "chosen": n in chosen} for n, share in ranked]
    if told.problem_type == "regression":
        labels = []
    # Which word holds a token; of a special token none does.
    holders = {place: number for number, word in enumerate(told.words) for place in word.places}
    facts = {
        "reading": told.reading,
        "combined": told.combined_at,
        "words": [_facts(told, word, holders) for word in told.words],
        "blocks": [[b.number + 1, b.entered, b.keys, b.left] for b in told.blocks],
    }
    merges = any(token.merged_at for word in told.words for token in word.tokens)
    return {
        "told": told,
        "labels": [labels[:_LABELS], labels[_LABELS:]],
        "texts": [list(_spans(told, part)) for part in range(len(told.texts))],
        "groups": merges or told.combined_at is not None,
        "facts": facts,
    }


def _spans(told: Explanation, part: int) -> Iterator[tuple[str, int | None, str]]:
    """Yield the text in pieces: its words with their numbers and shades, and what is between."""
    text, place = told.texts[part], 0
    for number, word in enumerate(told.words):
        if word.part == part:
            yield text[place : word.start], None, ""
            shade = f"l{level(word.reached, told.reading)}" if word.read else "unread"
            yield word.text, number, shade
            place = word.stop
    yield text[place:], None, ""


def _facts(told: Explanation, word: WordLineage, holders: dict[int, int]) -> dict[str, Any]:
    """Return what the script needs of a word, under short names: there may be thousands."""
    pieces = {"p": [token.piece for token in word.tokens]}
    if not word.read:
        return pieces
    blocks = range(len(told.blocks))
    read = [token for token in word.tokens if token.read]
    scores = [word.score(block) for block in blocks]
    return pieces | {
        "r": round(word.reached, 2),
        "k": [round(word.keys(block), 3) for block in blocks],
        "e": [any(token.present[block] for token in read) for block in blocks],
        "s": [None if score is None else round(score, 3) for score in scores],
        "g": sorted({token.group for token in read if token.group is not None}),
        "m": holders.get(word.furthest.merged_into),
        "a": word.furthest.merged_at,
    }
