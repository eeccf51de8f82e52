"""What the pages say is true: links lead somewhere, commands and options exist, examples run."""

import copy
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import tersely
from tersely.cli import app
from tersely.reduction import parts

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# A root folder of some machine, or a drive, at the beginning of a word.
ABSOLUTE = re.compile(
    r"(?<![\w.~$}/-])(/(?:Users|data|home|mnt|opt|private|root|srv|tmp|usr|var|work)\b|[A-Z]:\\)"
)
HISTORY = ("lab-notes.md",)  # what was tried then, with the options of the time
OF_OTHER_PROGRAMS = {"--check", "--documents", "--time"}
WORKED = ("adding-a-method.md", "adding-a-family.md")


def blocks(page: Path, *languages: str) -> list[str]:
    return [code for name, code in FENCE.findall(page.read_text("utf-8")) if name in languages]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text("utf-8"))


def anchor(heading: str) -> str:
    """The name that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def commands(page: Path) -> list[list[str]]:
    """The words of every `tersely VERB …` on a page, in blocks and in the text."""
    lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    lines += [line for line in INLINE.findall(prose(page)) if line.startswith("tersely ")]
    found = []
    for line in lines:
        # What stands after a pipe is a command of its own.
        for part in re.split(r" \| ", line):
            words = shlex.split(part, comments=True)
            if words[:1] == ["tersely"] and re.fullmatch("[a-z]+", "".join(words[1:2])):
                found.append(words)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    broken = []
    for target in LINK.findall(prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, fragment = target.partition("#")
        file = page.parent / name if name else page
        titled = bool(fragment) and file.is_file()
        headings = re.findall(r"^#+ (.*)$", prose(file), re.MULTILINE) if titled else []
        if not file.exists() or (fragment and fragment not in map(anchor, headings)):
            broken.append(target)
    assert not broken


def test_every_page_is_in_the_index():
    linked = set(LINK.findall((ROOT / "docs" / "README.md").read_text("utf-8")))
    assert {page.name for page in PAGES if page.parent.name == "docs"} - {"README.md"} <= linked


def test_no_page_names_a_path_of_a_machine():
    assert [page.name for page in PAGES if ABSOLUTE.search(page.read_text("utf-8"))] == []


def test_every_public_name_is_mentioned():
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    assert [each for each in tersely.__all__ if not re.search(rf"\b{each}\b", text)] == []


def test_figures_are_those_of_the_committed_json():
    command = [sys.executable, str(ROOT / "benchmarks" / "make_results.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_verbs_and_options_that_are_shown(page):
    verbs = get_command(app).commands
    for _, verb, *words in commands(page):
        assert verb in verbs
        known = {option for each in verbs[verb].params for option in each.opts}
        known |= {option for each in verbs[verb].params for option in each.secondary_opts}
        shown = {word.partition("=")[0] for word in words if word.startswith("-") and len(word) > 1}
        assert shown <= known | {"--help"}, f"{verb}: {sorted(shown - known)}"
    assert page.name != "getting-started.md" or len(commands(page)) > 10


def options() -> dict[str, set[str]]:
    """The options of each verb as they are typed."""
    return {
        verb: {o for p in command.params for o in p.opts + p.secondary_opts if o.startswith("--")}
        for verb, command in get_command(app).commands.items()
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_in_the_text_are_those_of_a_verb(page):
    """Review 4: an option that was gone stayed in the documentation."""
    known = {name for names in options().values() for name in names}
    known |= {"--help", "--version", *OF_OTHER_PROGRAMS}
    shown = {word for code in INLINE.findall(prose(page)) for word in code.split()[:1]}
    shown = {word.partition("=")[0] for word in shown if re.match(r"--\w", word)}
    assert page.name in HISTORY or shown <= known, sorted(shown - known)


def test_every_option_of_every_verb_is_documented():
    """Review 4: the test of the documentation looked in one direction only."""
    text = (ROOT / "docs" / "command-line.md").read_text("utf-8")
    shared = text.partition("<!-- verbs")[0]
    for verb, names in options().items():
        own = text.partition(f"\n## {verb}\n")[2].partition("\n## ")[0]
        for name in names:
            assert re.search(rf"`{name}[` ]", own + shared), (verb, name)


def test_python_on_the_pages_is_python():
    for page in PAGES:
        for code in blocks(page, "python"):
            compile(code, page.name, "exec")


@pytest.mark.parametrize("name", WORKED)
def test_worked_examples_run(name, monkeypatch, tmp_path):
    # What an example registers is forgotten afterwards.
    monkeypatch.setattr(parts, "_REGISTRY", copy.deepcopy(parts._REGISTRY))
    code = "\n".join(blocks(ROOT / "docs" / name, "python"))
    assert code.count("assert") >= 2
    module = tmp_path / "example.py"
    module.write_text(code, "utf-8")
    runpy.run_path(str(module), run_name="example")
