"""What would give a docstring's label away is taken out of its text.

The demonstration is about reading prose. A text that holds its own import line, or its object's
dotted name, can be labelled by looking for one token, and a model that skims would look too good.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Collection

__all__ = ["strip_giveaways"]

# How the libraries are called in imports and in prose, besides their import names.
_ALIASES = ("mp", "np", "nx", "pd", "plt", "sp", "tf")
_SPELLINGS = ("hugging ?face", "pytorch", "scikit-learn", "scikits?")
_COMMON_WORDS = frozenset({"transformers"})  # scikit-learn calls its preprocessing steps so

_DOTTED = re.compile(r"(?<![\w.])(?:[^\W\d]\w*\.)+[^\W\d]\w*")

_ROLE_WITH_TITLE = re.compile(r":[\w:+.-]+:`([^`<>]*?)\s*<[^`<>]*>`")
_ROLE = re.compile(r":(?:[\w+-]+:)?[\w+-]+:`~?([^`]*)`")
_DIRECTIVE_OF_OBJECT = re.compile(
    r"^\s*\.\. (?:\w+:)?(?:currentmodule|module|automodule|autofunction|autoclass|function|class"
    r"|method|attribute|data)::.*$",
    re.MULTILINE,
)
_IMPORT = re.compile(
    r"^[ \t]*(?:>>> |\.\.\. |In \[\d+\]: )?[ \t]*"
    r"(?:import[ \t]+[\w.]+(?:[ \t]+as[ \t]+\w+)?(?:[ \t]*,[^\n]*)?"
    r"|from[ \t]+[\w.]+[ \t]+import[ \t]+(?:\([^)]*\)|[^\n]*))[ \t]*(?:#[^\n]*)?$\n?",
    re.MULTILINE,
)
_PLACEHOLDER = re.compile(r"^[ \t]*(?:\{\w+\}|%\(\w+\)s|\$\w+)[ \t]*$\n?", re.MULTILINE)
_FIRST_LINE = 150  # characters within which a signature would begin
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def strip_giveaways(text: str, module: str, name: str, libraries: Collection[str]) -> str:
    """Take signatures, imports and the names of the object and of the libraries out of a docstring.

    Dotted references keep their last part, so that the prose can still be read. A name that could
    be an English word (`sum`) goes only where it is called, `sum(`; any other (`KMeans`, `log1p`)
    goes everywhere. A standard library module's name stays as a word: `email` is what it is about.

    Args:
        text: the docstring, unindented.
        module: the dotted path of the module it stands in.
        name: the object's name inside the module, with dots; empty for the module itself.
        libraries: import names of the libraries that the corpus is made from.

    Returns:
        The text that is left.

    Example:
        >>> strip_giveaways("sum(a) -> b", "numpy", "sum", ["numpy"])
        ''
        >>> strip_giveaways("Add up a :class:`~numpy.ndarray`.", "numpy", "sum", ["numpy"])
        'Add up a ndarray.'
    """
    text = _CONTROL.sub(" ", text)
    own = [part for part in name.split(".") if part]
    if own:
        text = _without_signature(text, own[-1])
    text = _DIRECTIVE_OF_OBJECT.sub("", text)
    text = _IMPORT.sub("", text)
    text = _PLACEHOLDER.sub("", text)
    text = _ROLE_WITH_TITLE.sub(r"\1", text)
    text = _ROLE.sub(r"\1", text)
    roots = {*libraries, *_ALIASES, *module.split(".")}
    text = _without_dotted_names(text, own, roots)
    for part in reversed(own):
        text = _without_bare_name(text, part)
    text = _name_in_prose(frozenset(libraries) - sys.stdlib_module_names).sub("", text)
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _without_signature(text: str, name: str) -> str:
    """Drop leading lines `name(...)` or `a.name(...) -> b`, over as many lines as they take."""
    if name not in text[:_FIRST_LINE]:  # most: saves making a pattern for each
        return text
    call = re.compile(rf"\s*(?:\w+\s*=\s*)?(?:[\w.]+\.)?{re.escape(name)}\s*\(")
    while match := call.match(text):
        end = _closing(text, match.end())
        line_end = text.find("\n", end)
        rest = text[end : len(text) if line_end < 0 else line_end].strip()
        if rest and not rest.startswith(("->", ":", "=")):  # a sentence that begins with a call
            break
        text = "" if line_end < 0 else text[line_end + 1 :]
    return text


def _closing(text: str, start: int) -> int:
    """Find the place after the bracket that closes the one just before `start`."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place + 1
    return len(text)


def _without_dotted_names(text: str, own: list[str], roots: Collection[str]) -> str:
    """Drop dotted names that end in the object's own; shorten `library.module.thing` to `thing`."""

    def shorter(match: re.Match[str]) -> str:
        parts = match[0].split(".")
        if parts[-1] in own:
            return ""
        return parts[-1] if parts[0] in roots else match[0]

    return _DOTTED.sub(shorter, text)


def _without_bare_name(text: str, part: str) -> str:
    """Drop one name: wherever it is called, or everywhere if it cannot be an English word."""
    if part not in text:
        return text
    could_be_a_word = part.isalpha() and (part.islower() or part.istitle())
    after = r"(?=\s?\()" if could_be_a_word else r"(?!\w)"
    return re.sub(rf"(?<!\w){re.escape(part)}{after}", "", text)


@functools.lru_cache(maxsize=8)
def _name_in_prose(libraries: frozenset[str]) -> re.Pattern[str]:
    """Match the names of libraries as words, in any case, with the blank that follows."""
    names = [re.escape(name) for name in sorted(libraries - _COMMON_WORDS)]
    return re.compile(rf"(?<!\w)(?:{'|'.join([*names, *_SPELLINGS])})(?!\w)[ \t]?", re.IGNORECASE)
