"""Make the documentation's tables of methods from what is registered.

    python docs/make_tables.py            # writes them into the pages
    python docs/make_tables.py --check    # exit 1 if a page differs, for the tests

A table stands between `<!-- NAME: made by docs/make_tables.py -->` and `<!-- end NAME -->`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from typer.main import get_command

from tersely.certificates import LIMITS, documents_for_net_loss, documents_needed
from tersely.cli import app
from tersely.reduction import find_preset, presets

ROOT = Path(__file__).parents[1]


def spell(value: object) -> str:
    """Spell a default as `--method-option` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value != round(value, 3):
        return str(Fraction(value).limit_denominator(100))
    return f"{value:g}" if isinstance(value, float) else str(value)


def method_table() -> str:
    """Return the methods, what they do, and which were not measured yet."""
    lines = ["| method | what it does |", "|---|---|"]
    for each in map(find_preset, presets()):
        note = "" if each.is_measured else " *Not measured yet.*"
        lines.append(f"| `{each.name}` | {each.summary}{note} |")
    return "\n".join(lines)


def option_table() -> str:
    """Return the methods' options and their defaults."""
    lines = ["| method | options and defaults |", "|---|---|"]
    for each in map(find_preset, presets()):
        options = [f"`{key}` {spell(value)}" for key, value in each.options.items()]
        lines.append(f"| `{each.name}` | {', '.join(options) or 'none'} |")
    return "\n".join(lines)


def verb_tables() -> str:
    """Return what each verb takes; what few need, and its help does not show, comes last."""
    everywhere = {"set", "config", "import_", "debug", "help"}
    parts = []
    for verb, command in get_command(app).commands.items():
        parts += [f"## {verb}\n\n{command.help.splitlines()[0]}\n"]
        parts += ["| option | meaning |", "|---|---|"]
        for each in sorted(command.params, key=lambda param: param.hidden):
            if each.name not in everywhere and each.opts[0].startswith("-"):
                value = f" {each.metavar}" if each.metavar else ""
                name = "`, `".join([each.opts[0] + value, *each.secondary_opts])
                told = ("*Advanced.* " * each.hidden) + each.help.replace("|", "\\|")
                parts.append(f"| `{name}` | {told} |")
        parts.append("")
    return "\n".join(parts).rstrip()


def needed_tables() -> str:
    """Return how many documents prove a limit, for shares that change a label."""

    def no_net_loss(limit: float, share: float) -> int | None:
        return documents_for_net_loss(limit, share / 2, share / 2)

    parts = []
    for name, needed, limits, columns in (
        ("disagreement", documents_needed, LIMITS, (0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.04)),
        ("net loss", no_net_loss, LIMITS[1:], (0, 0.01, 0.02, 0.04)),
    ):
        head = " | ".join(f"{share:.1%} change" for share in columns)
        parts += [f"| {name} of at most | {head} |", "|---" * (len(columns) + 1) + "|"]
        for limit in limits:
            numbers = [needed(limit, share) for share in columns]
            cells = " | ".join("–" if each is None else f"{each:,}" for each in numbers)
            parts.append(f"| {limit:.1%} | {cells} |")
        parts.append("")
    return "\n".join(parts).rstrip()


TABLES: dict[str, Callable[[], str]] = {
    "methods": method_table,
    "options": option_table,
    "verbs": verb_tables,
    "needed": needed_tables,
}
PAGES = ("README.md",) + tuple(
    f"docs/{page}.md" for page in ("methods", "getting-started", "command-line", "certificates")
)


def made(page: str) -> str:
    """Return a page's text with its tables made anew."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: made by docs/make_tables.py -->", f"<!-- end {name} -->"
        between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        text = f"{begin}\n{table()}\n{end}"
        page = between.sub(lambda found, text=text: text, page)
    return page


def main() -> None:
    """Write the tables, or with `--check` say where they differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="Exit 1 where a page differs.")
    check, differing = parser.parse_args().check, []
    for page in PAGES:
        old = (ROOT / page).read_text("utf-8")
        new = made(old)
        if new != old:
            differing.append(page)
            if not check:
                (ROOT / page).write_text(new, "utf-8")
    if check and differing:
        sys.exit(f"{', '.join(differing)} differ from what is registered; run docs/make_tables.py")


if __name__ == "__main__":
    main()
