"""How explanations look: the text shaded by how far each word got.

In a terminal without colours a small number behind a word says the same, so that pipes, logs and
screen readers lose nothing but the shades. The page is one file that needs no network, with a
slider over the blocks; without script the text is there, with the labels and the table.
"""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tersely._io import plain_table, write_page
from tersely.explain.document import Explanation, WordLineage

SHADES = (
    ("#f3f4f6", "#6b7280"),
    ("#dbe7f5", "#1c2430"),
    ("#a9c8ea", "#1c2430"),
    ("#5f97d3", "#0b1524"),
    ("#1f5fa8", "#ffffff"),
)
"""From a word that no block saw to one that all of them saw: background, then ink."""
AGAINST = ("#f3f4f6", "#f8e3d2", "#f2c08f", "#e08a3c", "#a84f0c")
"""Backgrounds of words that speak against what the linear stage decided, faint to strong."""
_LOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_LABELS = 6  # shown beside the text; --json has all, and the page behind a fold
_WORDS = 8  # named for and against; --json has all


def level(reached: float, blocks: int) -> int:
    """Return which of the shades: the last for all blocks, the first for less than half of one."""
    last = len(SHADES) - 1
    if blocks == 0 or reached >= blocks - 1e-6:
        return last
    return 0 if reached < 0.5 else min(last - 1, 1 + int((last - 1) * reached / blocks))


def render(told: Explanation, console: Console) -> RenderableType:
    """Return what was decided, the text with its legend, and the blocks, one below the other."""
    # Without colours small numbers say how far a word got, and brackets what was never read.
    coloured = console.color_system is not None and not console.no_color
    parts: list[RenderableType] = [Text(f"{told.model} ({told.method}): {told.answer}", "bold")]
    parts += [Text(_plain(said)) for said in [told.about_label()] if said]
    if told.stage is not None:
        parts.append(Text(told.stage.sentence()))
    if len(told.labels) > 1:
        parts.append(_labels(told))
    texts = (_text(told, part, coloured) for part in range(len(told.texts)))
    parts += [Text(""), *texts, Text(""), _legend(told, coloured)]
    parts += map(Text, filter(None, [told.about_length()]))
    return Group(*parts, Text(""), _weighed(told) if told.is_linear else _blocks(told))


def _blocks(told: Explanation) -> Table:
    table = plain_table(">block", ">tokens in", ">keys", ">tokens on")
    for block in told.blocks:
        figures = (block.entered, block.keys, block.left)
        table.add_row(block.name, *(f"{number:,.0f}" for number in figures))
    return table


def _labels(explanation: Explanation) -> Table:
    table = plain_table("", "", "", show_header=False)
    for name, share in explanation.ranked[:_LABELS]:
        table.add_row(Text(_plain(name)), f"{share:.4f}", "█" * round(20 * share))
    if (more := len(explanation.labels) - _LABELS) > 0:
        table.add_row(f"… {more} more", "", "")
    return table


def _weighed(told: Explanation) -> Table:
    title = Text(f"log-odds of {told.stage.contrast}")
    table = plain_table("speaks for it", ">", "against it", ">", title=title, title_justify="left")
    sums: Counter[str] = Counter()  # of all places where a word stands
    for word in told.weighed:
        sums[_plain(word.text.lower())] += word.contribution
    ends = (
        [(word, f"{worth:+.2f}") for word, worth in order[:_WORDS] if f"{worth:+.2f}"[0] == sign]
        for order, sign in ((sums.most_common(), "+"), (sums.most_common()[::-1], "-"))
    )
    for pair in zip_longest(*ends, fillvalue=("", "")):
        table.add_row(*(Text(cell) for each in pair for cell in each))
    rest = sum(word.contribution for word in told.weighed)
    table.add_row("all words", f"{rest:+.2f}", "without any", f"{told.stage.bias:+.2f}")
    return table


def _style(shade: str) -> str:
    back, ink = SHADES[int(shade[1])]
    return f"{ink} on {AGAINST[int(shade[1])] if shade[0] == 'n' else back}"


def _plain(text: str) -> str:
    """Return text that cannot steer the terminal."""
    return "".join(c if c in "\n\t" or c.isprintable() else "�" for c in text)


def _text(explanation: Explanation, part: int, coloured: bool) -> Text:
    text, line, place, reading = explanation.texts[part], Text(), 0, True
    for word in (word for word in explanation.words if word.part == part):
        line.append(_plain(text[place : word.start]))
        if word.read != reading and not coloured:
            line.append("⟦⟧"[word.read])
        reading, place = word.read, word.stop
        style = _style(shade(explanation, word)) if word.read else "strike dim"
        line.append(_plain(word.text), style if coloured else None)
        if word.read and round(word.reached) < explanation.reading and not coloured:
            line.append(str(round(word.reached)).translate(_LOW))
    if not reading and not coloured:
        line.append("⟧")
    return line.append(_plain(text[place:]))


def shade(told: Explanation, word: WordLineage) -> str:
    """Return a word's shade: by how far it got, or by what it contributed, `n` for against."""
    if not told.is_linear:
        return f"l{level(word.reached, told.reading)}"
    share = word.contribution / (abs(told.weighed[0].contribution) or 1.0)
    strong = 0 if abs(share) < 0.05 else math.ceil(4 * abs(share))
    return f"{'n' if share < 0 else 'l'}{strong}"


def _legend(explanation: Explanation, coloured: bool) -> Text:
    if explanation.is_linear:
        ends = [(" for ", _style("l3")), " or ", (" against ", _style("n3"))]
        ends = ends if coloured else ["for or against"]
        return Text.assemble("no block read it; words speak ", *ends, f" {explanation.answer}")
    blocks, tail = explanation.reading, ""
    if not explanation.removes and not explanation.unread:
        return Text("this model removes no tokens: every word that is read reaches the end")
    if explanation.combined_at is not None:
        into = explanation.blocks[explanation.combined_at].left / explanation.windows
        tail = f", where {round(into)} combination tokens take all in"
    if not coloured:
        unread = "; ⟦…⟧: never read" if explanation.unread else ""
        said = f"word₂: seen by 2 of {blocks} blocks (rounded mean of the heads); no number: by all"
        return Text(said + tail + unread)
    names = ["no block", *([" "] * (len(SHADES) - 2)), f"all {blocks}"]
    shades = [(f" {name} ", _style(f"l{number}")) for number, name in enumerate(names)]
    unread = ["; ", ("struck out", "strike dim"), ": never read"] if explanation.unread else []
    return Text.assemble("seen by ", *shades, f" blocks{tail}", *unread)


def write_html(told: Explanation, path: str | Path) -> Path:
    """Write an explanation as a page."""
    chosen = told.decided if isinstance(told.decided, list) else [told.decided]
    labels = [{"name": n, "share": share, "chosen": n in chosen} for n, share in told.ranked]
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
    return write_page(
        path,
        Path(__file__).with_name("page.html.j2"),
        "explain",
        told=told,
        labels=[labels[:_LABELS], labels[_LABELS:]],
        texts=[list(_spans(told, part)) for part in range(len(told.texts))],
        groups=merges or told.combined_at is not None,
        facts=facts,
        shades=SHADES,
        against=AGAINST,
    )


def _spans(told: Explanation, part: int) -> Iterator[tuple[str, int | None, str]]:
    """Yield the text in pieces: its words with their numbers and shades, and what is between."""
    text, place = told.texts[part], 0
    for number, word in enumerate(told.words):
        if word.part == part:
            yield text[place : word.start], None, ""
            yield word.text, number, shade(told, word) if word.read else "unread"
            place = word.stop
    yield text[place:], None, ""


def _facts(told: Explanation, word: WordLineage, holders: dict[int, int]) -> dict[str, Any]:
    """Return what the script needs of a word, under short names: there may be thousands."""
    pieces = {"p": [token.piece for token in word.tokens]}
    if not word.read:
        return pieces
    if told.is_linear:
        return pieces | {"c": f"{word.contribution:+.3f}"}
    blocks = range(len(told.blocks))
    read = [token for token in word.tokens if token.read]
    scores = [[t.scores[block] for t in read if t.scores[block] is not None] for block in blocks]
    return pieces | {
        "w": word.furthest.worth and round(word.furthest.worth, 3),
        "r": round(word.reached, 2),
        "k": [round(max(token.keys[block] for token in read), 3) for block in blocks],
        "e": [any(token.present[block] for token in read) for block in blocks],
        "s": [round(max(own), 3) if own else None for own in scores],
        "g": sorted({token.group for token in read if token.group is not None}),
        "m": holders.get(word.furthest.merged_into),
        "a": word.furthest.merged_at,
    }
