"""The documentation of installed libraries: found and read without importing any, and cleaned.

Importing scipy, torch and pandas to read their docstrings would take longer than the whole demo;
their source files only need to be there. What would give a text's label away is taken out: a text
with its own import line can be labelled by looking for one token, and a model that skims would
look too good.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import re
import sys
import sysconfig
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

# Tests repeat what they test, vendored copies repeat other libraries, and transformers' modular
# files are the sources from which its modeling files are generated.
_LEFT_OUT_FOLDERS = {"externals", "test", "tests", "vendor", "_vendor", "__pycache__"}
_LEFT_OUT_FILES = ("conftest", "modular_", "test_")

# The functions with which compiled libraries attach documentation to objects written in C.
_DOCUMENTING = "_add_docstr _add_newdoc_ufunc add_docstr add_docstr_all add_newdoc".split()

# How the libraries are called in imports and in prose, besides their import names.
_ALIASES = ("mp", "np", "nx", "pd", "plt", "sp", "tf")
_SPELLINGS = ("hugging ?face", "pytorch", "scikit-learn", "scikits?")
_COMMON_WORDS = {"transformers"}  # scikit-learn calls its preprocessing steps so

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_DOTTED = re.compile(r"(?<![\w.])(?:[^\W\d]\w*\.)+[^\W\d]\w*")
_ROLE_WITH_TITLE = re.compile(r":[\w:+.-]+:`([^`<>]*?)\s*<[^`<>]*>`")
_ROLE = re.compile(r":(?:[\w+-]+:)?[\w+-]+:`~?([^`]*)`")
_WHOLE_LINES = re.compile(
    r"^[ \t]*(?:"
    # .. currentmodule:: scipy.stats
    r"\.\. (?:\w+:)?(?:currentmodule|module|automodule|autofunction|autoclass|function|class"
    r"|method|attribute|data)::.*"
    # >>> import numpy as np    and    from scipy import (stats,\n special)
    r"|(?:>>> |\.\.\. |In \[\d+\]: )?[ \t]*"
    r"(?:import[ \t]+[\w.]+(?:[ \t]+as[ \t]+\w+)?(?:[ \t]*,[^\n]*)?"
    r"|from[ \t]+[\w.]+[ \t]+import[ \t]+(?:\([^)]*\)|[^\n]*))[ \t]*(?:#[^\n]*)?"
    # {input}    and    %(doc)s
    r"|(?:\{\w+\}|%\(\w+\)s|\$\w+)[ \t]*"
    r")$\n?",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Document:
    """One docstring: the module it stands in, the object's name inside it, the text."""

    module: str
    name: str
    text: str


def find_modules(prefixes: Collection[str]) -> tuple[dict[str, Path], list[str]]:
    """List the source files under module prefixes, each once.

    Args:
        prefixes: dotted module paths; a package stands for everything below it.

    Returns:
        Module path -> file, sorted by module path, and the sorted names of the libraries that are
        not installed. A prefix that an installed library does not have in this version is empty.
    """
    modules: dict[str, Path] = {}
    missing: set[str] = set()
    for prefix in prefixes:
        library = prefix.partition(".")[0]
        root = _root_folder(library)
        if root is None:
            missing.add(library)
            continue
        place = root.joinpath(*prefix.split("."))
        for file in place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]:
            parts = file.relative_to(root).with_suffix("").parts
            left_out = _LEFT_OUT_FOLDERS & set(parts) or parts[-1].startswith(_LEFT_OUT_FILES)
            if file.is_file() and not left_out:
                modules[".".join(part for part in parts if part != "__init__")] = file
    return dict(sorted(modules.items())), sorted(missing)


def _root_folder(package: str) -> Path | None:
    """Find the folder that holds a top-level package or module; None if it is not installed."""
    if package in sys.stdlib_module_names:
        return Path(sysconfig.get_paths()["stdlib"])
    spec = importlib.util.find_spec(package)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).parent
    return Path(spec.origin).parent if spec.origin else None


def documents_in(file: Path, module: str) -> list[Document]:
    """Read the docstrings of a file: the module's, its classes', its functions', and C objects'."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's invalid escapes
        tree = ast.parse(file.read_bytes())
    own = ast.get_docstring(tree, clean=False)
    found = [("", own)] if own else []
    found.extend(_documented(tree.body, ""))
    return [Document(module, name, inspect.cleandoc(text)) for name, text in found]


def _documented(body: list[ast.stmt], outer: str) -> Iterator[tuple[str, str]]:
    """Yield (name inside the module, docstring) for what the statements define."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text:
                yield outer + node.name, text
            if isinstance(node, ast.ClassDef):
                yield from _documented(node.body, f"{outer}{node.name}.")
        elif isinstance(node, ast.If | ast.Try):
            yield from _documented(node.body, outer)
        elif isinstance(node, ast.Expr | ast.Assign) and isinstance(node.value, ast.Call):
            yield from _attached(node.value)


def _attached(call: ast.Call) -> Iterator[tuple[str, str]]:
    """Yield the name and text of a call such as `add_docstr(torch.abs, "...")`."""
    called = call.func.attr if isinstance(call.func, ast.Attribute) else call.func
    if isinstance(called, ast.Name):
        called = called.id
    if called not in _DOCUMENTING or len(call.args) < 2:
        return
    *names, last = call.args
    if isinstance(last, ast.Tuple) and last.elts:  # numpy: ("attribute", "its docstring")
        *attribute, last = last.elts
        names += attribute
    text = _literal_text(last)
    if text:
        yield ".".join(_literal_text(name) or ast.unparse(name) for name in names), text


def _literal_text(node: ast.expr) -> str:
    """Put together the literal parts of a string expression, such as `"..." + x` or `.format`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp):
        return _literal_text(node.left) + _literal_text(node.right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _literal_text(node.func.value)
    return ""


def strip_giveaways(document: Document, libraries: Collection[str]) -> str:
    """Take signatures, imports and the names of the object and of the libraries out of a text.

    Dotted references keep their last part, so that the prose can still be read. A name that could
    be an English word (`sum`) goes only where it is called, `sum(`; any other (`KMeans`, `log1p`)
    goes everywhere. A standard library module's name stays as a word: `email` is what it is about.

    Example:
        >>> strip_giveaways(Document("numpy", "sum", "Add a :class:`~numpy.ndarray`."), ["numpy"])
        'Add a ndarray.'
    """
    text = _CONTROL.sub(" ", document.text)
    own = [part for part in document.name.split(".") if part]
    if own:
        text = _without_signature(text, own[-1])
    text = _WHOLE_LINES.sub("", text)
    text = _ROLE_WITH_TITLE.sub(r"\1", text)
    text = _ROLE.sub(r"\1", text)
    roots = {*libraries, *_ALIASES, *document.module.split(".")}

    def shorter(match: re.Match[str]) -> str:
        """Leave nothing of the object's own dotted name, `thing` of `library.module.thing`."""
        parts = match[0].split(".")
        if parts[-1] in own:
            return ""
        return parts[-1] if parts[0] in roots else match[0]

    text = _DOTTED.sub(shorter, text)
    for part in reversed(own):
        if part in text:
            could_be_a_word = part.isalpha() and (part.islower() or part.istitle())
            after = r"(?=\s?\()" if could_be_a_word else r"(?!\w)"
            text = re.sub(rf"(?<!\w){re.escape(part)}{after}", "", text)
    text = _name_in_prose(frozenset(libraries) - sys.stdlib_module_names).sub("", text)
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _without_signature(text: str, name: str) -> str:
    """Drop leading lines `name(...)` or `a.name(...) -> b`, over as many lines as they take."""
    if name not in text[:150]:  # most: saves making a pattern for each
        return text
    call = re.compile(rf"\s*(?:\w+\s*=\s*)?(?:[\w.]+\.)?{re.escape(name)}\s*\(")
    while match := call.match(text):
        depth, end = 1, match.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        rest, _, following = text[end:].partition("\n")
        if rest.strip() and not rest.strip().startswith(("->", ":", "=")):
            break  # a sentence that begins with a call
        text = following
    return text


@functools.lru_cache(maxsize=8)
def _name_in_prose(libraries: frozenset[str]) -> re.Pattern[str]:
    """Match the names of libraries as words, in any case, with the blank that follows."""
    names = [re.escape(name) for name in sorted(libraries - _COMMON_WORDS)]
    return re.compile(rf"(?<!\w)(?:{'|'.join([*names, *_SPELLINGS])})(?!\w)[ \t]?", re.IGNORECASE)
