"""An explanation in the terminal: the text shaded by how far each word got, and what was decided.

Without colours a small number behind a word says the same, so that pipes, logs and screen readers
lose nothing but the shades.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tersely.explain.document import Explanation, WordFate
from tersely.explain.survey import ClassWords, Survey

__all__ = ["render", "render_blocks", "render_many", "render_survey"]

# From a word that no block saw to one that all of them saw: background, then ink.
_SHADES = (
    ("#f3f4f6", "#6b7280"),
    ("#dbe7f5", "#1c2430"),
    ("#a9c8ea", "#1c2430"),
    ("#5f97d3", "#0b1524"),
    ("#1f5fa8", "#ffffff"),
)
_LOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_LABELS = 6  # shown beside the text; --json has all
_SIDE_BY_SIDE = 100  # columns that two texts need


def render_many(explanations: Sequence[Explanation], console: Console) -> RenderableType:
    """Explanations of the same document, side by side where there is room."""
    parts = [render(each, console) for each in explanations]
    if len(parts) == 1:
        return parts[0]
    if console.width < _SIDE_BY_SIDE:
        return Group(*(part for each in parts for part in (each, Text(""))))
    grid = Table.grid(expand=True, padding=(0, 3))
    for _ in parts:
        grid.add_column(ratio=1)
    grid.add_row(*parts)
    return grid


def render(explanation: Explanation, console: Console) -> RenderableType:
    """One explanation: what was decided, the text with its legend, and the blocks."""
    coloured = console.color_system is not None and not console.no_color
    subscripts = console.encoding.lower().startswith("utf")
    head = Text(f"{explanation.model} ({explanation.method}): {_decided(explanation)}", "bold")
    parts: list[RenderableType] = [head]
    if len(explanation.labels) > 1:
        parts.append(_labels(explanation))
    parts += [Text(""), *_texts(explanation, coloured, subscripts), Text("")]
    parts.append(_legend(explanation, coloured, subscripts))
    said = explanation.about_length()
    if said is not None:
        parts.append(Text(said))
    parts += [Text(""), render_blocks(explanation)]
    return Group(*parts)


def _decided(explanation: Explanation) -> str:
    decided = explanation.decided
    if isinstance(decided, float):
        return f"{decided:.4f}"
    if isinstance(decided, list):
        return ", ".join(decided) or "no label"
    return decided


def _labels(explanation: Explanation) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    ranked = sorted(explanation.labels.items(), key=lambda item: -item[1])
    for name, share in ranked[:_LABELS]:
        table.add_row(
            Text(_plain(name)), Text(f"{share:.4f}", justify="right"), "█" * round(20 * share)
        )
    if len(ranked) > _LABELS:
        table.add_row(f"… {len(ranked) - _LABELS} more", "", "")
    return table


def _texts(explanation: Explanation, coloured: bool, subscripts: bool) -> list[Text]:
    shown = []
    for part, text in enumerate(explanation.texts):
        line, place, reading = Text(), 0, True
        for word in (word for word in explanation.words if word.part == part):
            line.append(_plain(text[place : word.start]))
            if word.read != reading and not coloured:
                line.append(_brackets(subscripts)[word.read])
            reading = word.read
            _append(line, word, explanation, coloured, subscripts)
            place = word.stop
        if not reading and not coloured:
            line.append(_brackets(subscripts)[1])
        shown.append(line.append(_plain(text[place:])))
    return shown


def _brackets(unicode: bool) -> tuple[str, str]:
    """What stands around text that was never read."""
    return ("⟦", "⟧") if unicode else ("[[", "]]")


def _append(
    line: Text, word: WordFate, explanation: Explanation, coloured: bool, subscripts: bool
) -> None:
    if not word.read:
        line.append(_plain(word.text), "strike dim" if coloured else None)
        return
    if coloured:
        back, ink = _SHADES[level(word.reached, explanation.reading, len(_SHADES))]
        line.append(_plain(word.text), f"{ink} on {back}")
        return
    line.append(_plain(word.text))
    blocks = round(word.reached)
    if blocks < explanation.reading:
        line.append(str(blocks).translate(_LOW) if subscripts else f"_{blocks}")


def level(reached: float, blocks: int, levels: int) -> int:
    """Which of so many shades: the last for all blocks, the first for less than half of one.

    Example:
        >>> [level(reached, 6, 5) for reached in (0, 1, 3, 5.8, 6)]
        [0, 1, 2, 3, 4]
    """
    if blocks == 0 or reached >= blocks - 1e-6:
        return levels - 1
    if reached < 0.5:
        return 0
    return min(levels - 2, 1 + int((levels - 2) * reached / blocks))


def _plain(text: str) -> str:
    """Text that cannot steer the terminal."""
    return "".join(c if c in "\n\t" or c.isprintable() else "�" for c in text)


def _legend(explanation: Explanation, coloured: bool, subscripts: bool) -> Text:
    blocks = explanation.reading
    if not explanation.removes and not explanation.unread:
        return Text("this model takes no token away: every word that is read gets through")
    stop = explanation.combined_at
    tail = "" if stop is None else f", where {_groups(explanation)} combination tokens take all in"
    if coloured:
        line = Text("seen by ")
        names = ["no block", *([" "] * (len(_SHADES) - 2)), f"all {blocks}"]
        for (back, ink), name in zip(_SHADES, names, strict=True):
            line.append(f" {name} ", f"{ink} on {back}")
        line.append(f" blocks{tail}")
        if explanation.unread:
            line.append("; ").append("struck out", "strike dim").append(": never read")
        return line
    mark = "word₂" if subscripts else "word_2"
    text = f"{mark}: seen by 2 of {blocks} blocks (rounded mean of the heads); no number: by all"
    unread = "…".join(_brackets(subscripts))
    return Text(text + tail + (f"; {unread}: never read" if explanation.unread else ""))


def _groups(explanation: Explanation) -> int:
    return round(explanation.blocks[explanation.combined_at].left / explanation.windows)


def render_blocks(explanation: Explanation) -> Table:
    """A table of what each block worked on."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("block", "tokens in", "keys", "tokens on"):
        table.add_column(name, justify="right")
    for block in explanation.blocks:
        name = f"{block.layer + 1}" + (" combines" if block.kind == "combine" else "")
        table.add_row(name, *(f"{n:,.0f}" for n in (block.entered, block.keys, block.left)))
    return table


def render_survey(survey: Survey) -> RenderableType:
    """A survey: the blocks, and the words of each class."""
    parts: list[RenderableType] = [_mean_blocks(survey)]
    if not survey.removes:
        parts.append(Text("\nthis model takes no token away: every word that is read gets through"))
        return Group(*parts)
    which = "of the data" if survey.by == "label" else "as predicted"
    parts.append(
        Text(
            f"\nWords by class ({which}) that were read at least {survey.minimum} times: the share "
            "of the blocks that saw them (mean of occurrences and heads), and how often they occur."
        )
    )
    for each in survey.classes:
        parts += [Text(""), _words(each)]
    return Group(*parts)


def _mean_blocks(survey: Survey) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("block", "tokens in", "keys", "tokens on", "keys, of read", "on, of read"):
        table.add_column(name, justify="right")
    for block in survey.blocks:
        name = f"{block.layer + 1}" + (" combines" if block.kind == "combine" else "")
        figures = [f"{value:,.1f}" for value in (block.entered, block.keys, block.left)]
        shares = [f"{value / max(survey.tokens, 1e-9):.1%}" for value in (block.keys, block.left)]
        table.add_row(name, *figures, *shares)
    return table


def _words(words: ClassWords) -> Table:
    title = Text(
        f"{words.label}: {words.documents:,} documents, all words {words.stayed:.1%}", "bold"
    )
    table = Table(box=None, title=title, title_justify="left", padding=(0, 2, 0, 0))
    for name in ("stays longest", "", "", "leaves first", "", ""):
        table.add_column(name, justify="left" if name else "right")
    for most, least in zip(words.most, words.least, strict=True):
        cells = []
        for each in (most, least):
            cells += [Text(each.word), f"{each.stayed:.1%}", f"{each.count:,}"]
        table.add_row(*cells)
    if not words.most:
        table.add_row("no word occurs often enough")
    return table
