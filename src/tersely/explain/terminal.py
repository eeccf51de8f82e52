"""Explanations and surveys in the terminal: the text shaded by how far each word got.

Without colours a small number behind a word says the same, so that pipes, logs and screen readers
lose nothing but the shades.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tersely.explain.document import Explanation, WordLineage
from tersely.explain.survey import ClassWords, Survey

SHADES = (
    ("#f3f4f6", "#6b7280"),
    ("#dbe7f5", "#1c2430"),
    ("#a9c8ea", "#1c2430"),
    ("#5f97d3", "#0b1524"),
    ("#1f5fa8", "#ffffff"),
)
"""From a word that no block saw to one that all of them saw: background, then ink."""
_LOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_LABELS = 6  # shown beside the text; --json has all
_SIDE_BY_SIDE = 100  # columns that two texts need


def level(reached: float, blocks: int) -> int:
    """Return which of the shades: the last for all blocks, the first for less than half of one.

    Example:
        >>> [level(reached, 6) for reached in (0, 1, 3, 5.8, 6)]
        [0, 1, 2, 3, 4]
    """
    last = len(SHADES) - 1
    if blocks == 0 or reached >= blocks - 1e-6:
        return last
    return 0 if reached < 0.5 else min(last - 1, 1 + int((last - 1) * reached / blocks))


def render_many(explanations: Sequence[Explanation], console: Console) -> RenderableType:
    """Return explanations of the same document, side by side where there is room."""
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
    """Return one explanation: what was decided, the text with its legend, and the blocks."""
    marks = _Marks(console)
    head = f"{explanation.model} ({explanation.method}): {explanation.answer}"
    parts: list[RenderableType] = [Text(head, "bold")]
    if len(explanation.labels) > 1:
        parts.append(_labels(explanation))
    texts = (marks.text(explanation, part) for part in range(len(explanation.texts)))
    parts += [Text(""), *texts, Text(""), marks.legend(explanation)]
    said = explanation.about_length()
    if said is not None:
        parts.append(Text(said))
    table = _table("block", "tokens in", "keys", "tokens on")
    for block in explanation.blocks:
        table.add_row(block.name, *(f"{n:,.0f}" for n in (block.entered, block.keys, block.left)))
    return Group(*parts, Text(""), table)


def _table(*names: str, **options: object) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), **options)
    for name in names:
        table.add_column(name, justify="right")
    return table


def _labels(explanation: Explanation) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    ranked = sorted(explanation.labels.items(), key=lambda item: -item[1])
    for name, share in ranked[:_LABELS]:
        table.add_row(Text(_plain(name)), f"{share:.4f}", "█" * round(20 * share))
    if len(ranked) > _LABELS:
        table.add_row(f"… {len(ranked) - _LABELS} more", "", "")
    return table


def _plain(text: str) -> str:
    """Return text that cannot steer the terminal."""
    return "".join(c if c in "\n\t" or c.isprintable() else "�" for c in text)


class _Marks:
    """How far a word got, as this console can show it: by shades, or by small numbers."""

    def __init__(self, console: Console) -> None:
        self.coloured = console.color_system is not None and not console.no_color
        self.unicode = console.encoding.lower().startswith("utf")
        # What stands around text that was never read.
        self.brackets = ("⟦", "⟧") if self.unicode else ("[[", "]]")

    def text(self, explanation: Explanation, part: int) -> Text:
        """Return a text with its words marked."""
        text, line, place, reading = explanation.texts[part], Text(), 0, True
        for word in (word for word in explanation.words if word.part == part):
            line.append(_plain(text[place : word.start]))
            if word.read != reading and not self.coloured:
                line.append(self.brackets[word.read])
            reading = word.read
            self.append(line, word, explanation.reading)
            place = word.stop
        if not reading and not self.coloured:
            line.append(self.brackets[1])
        return line.append(_plain(text[place:]))

    def append(self, line: Text, word: WordLineage, blocks: int) -> None:
        """Append a word with its mark."""
        if self.coloured:
            back, ink = SHADES[level(word.reached, blocks)]
            line.append(_plain(word.text), f"{ink} on {back}" if word.read else "strike dim")
            return
        line.append(_plain(word.text))
        if word.read and round(word.reached) < blocks:
            number = str(round(word.reached))
            line.append(number.translate(_LOW) if self.unicode else f"_{number}")

    def legend(self, explanation: Explanation) -> Text:
        """Return what the marks mean."""
        blocks = explanation.reading
        if not explanation.removes and not explanation.unread:
            return Text("this model takes no token away: every word that is read gets through")
        tail = ""
        if explanation.combined_at is not None:
            into = explanation.blocks[explanation.combined_at].left / explanation.windows
            tail = f", where {round(into)} combination tokens take all in"
        if not self.coloured:
            mark = "word₂" if self.unicode else "word_2"
            text = f"{mark}: seen by 2 of {blocks} blocks (rounded mean of the heads); no number: "
            unread = f"; {'…'.join(self.brackets)}: never read" if explanation.unread else ""
            return Text(f"{text}by all{tail}{unread}")
        line = Text("seen by ")
        names = ["no block", *([" "] * (len(SHADES) - 2)), f"all {blocks}"]
        for (back, ink), name in zip(SHADES, names, strict=True):
            line.append(f" {name} ", f"{ink} on {back}")
        line.append(f" blocks{tail}")
        if explanation.unread:
            line.append("; ").append("struck out", "strike dim").append(": never read")
        return line


def render_survey(survey: Survey) -> RenderableType:
    """Return a survey: the blocks, and the words of each class."""
    table = _table("block", "tokens in", "keys", "tokens on", "keys, of read", "on, of read")
    for block in survey.blocks:
        figures = [f"{value:,.1f}" for value in (block.entered, block.keys, block.left)]
        shares = [f"{value / max(survey.tokens, 1e-9):.1%}" for value in (block.keys, block.left)]
        table.add_row(block.name, *figures, *shares)
    if not survey.removes:
        said = "\nthis model takes no token away: every word that is read gets through"
        return Group(table, Text(said))
    which = "of the data" if survey.by == "label" else "as predicted"
    said = (
        f"\nWords by class ({which}) that were read at least {survey.minimum} times: the share "
        "of the blocks that saw them (mean of occurrences and heads), and how often they occur."
    )
    words = (part for each in survey.classes for part in (Text(""), _words(each)))
    return Group(table, Text(said), *words)


def _words(words: ClassWords) -> Table:
    title = f"{words.label}: {words.documents:,} documents, all words {words.stayed:.1%}"
    table = _table(title=Text(title, "bold"), title_justify="left")
    for name in ("stays longest", "", "", "leaves first", "", ""):
        table.add_column(name, justify="left" if name else "right")
    for pair in zip(words.most, words.least, strict=True):
        cells = ((Text(each.word), f"{each.stayed:.1%}", f"{each.count:,}") for each in pair)
        table.add_row(*(cell for each in cells for cell in each))
    if not words.most:
        table.add_row("no word occurs often enough")
    return table
