"""Docstrings out of Python files, without importing what they document.

Importing scipy, torch and pandas to read their documentation would take longer than the whole
demonstration and would need all of them to work; their source files only need to be there.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
import sysconfig
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Document", "documents_in", "find_modules", "root_folder"]

# Tests repeat what they test, vendored copies repeat other libraries, and transformers' modular
# files are the sources from which its modeling files are generated.
_LEFT_OUT_FOLDERS = frozenset({"externals", "test", "tests", "vendor", "_vendor", "__pycache__"})
_LEFT_OUT_FILES = ("conftest", "modular_", "test_")

# The functions with which compiled libraries attach documentation to objects written in C.
_DOCUMENTING_CALLS = frozenset(
    {"_add_docstr", "_add_newdoc_ufunc", "add_docstr", "add_docstr_all", "add_newdoc"}
)


@dataclass(frozen=True)
class Document:
    """One docstring: the module it stands in, the object's name inside it, the cleaned text."""

    module: str
    name: str
    text: str

    @property
    def origin(self) -> str:
        """Where the text comes from, as `module:name`; a module's own docstring has no name."""
        return f"{self.module}:{self.name}"


def root_folder(package: str) -> Path | None:
    """Find the folder that holds a top-level package or module, without importing it.

    Args:
        package: a name without dots, such as `"scipy"` or `"json"`.

    Returns:
        The folder (the standard library's or a `site-packages`), or None if it is not installed.
    """
    if package in sys.stdlib_module_names:
        return Path(sysconfig.get_paths()["stdlib"])
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module somebody put into sys.modules by hand has no spec
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).parent
    return Path(spec.origin).parent if spec.origin else None


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
        root = root_folder(prefix.partition(".")[0])
        if root is None:
            missing.add(prefix.partition(".")[0])
            continue
        place = root.joinpath(*prefix.split("."))
        files = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
        for file in files:
            parts = file.relative_to(root).with_suffix("").parts
            if file.is_file() and not _left_out(parts):
                modules[".".join(part for part in parts if part != "__init__")] = file
    return dict(sorted(modules.items())), sorted(missing)


def _left_out(parts: tuple[str, ...]) -> bool:
    return not _LEFT_OUT_FOLDERS.isdisjoint(parts) or parts[-1].startswith(_LEFT_OUT_FILES)


def documents_in(file: Path, module: str) -> list[Document]:
    """Read the docstrings of a file: the module's, its classes', its functions', and C objects'.

    Args:
        file: a Python source file.
        module: its dotted module path.

    Returns:
        The documents in file order, unindented as `inspect.cleandoc` does. Functions inside
        functions are left out: nobody reads their documentation.

    Raises:
        SyntaxError, ValueError: if the file cannot be read as Python source.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # other people's invalid escapes
        warnings.simplefilter("ignore", DeprecationWarning)  # the same, before Python 3.12
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
    if called not in _DOCUMENTING_CALLS or len(call.args) < 2:
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
