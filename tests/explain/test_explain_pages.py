"""What is shown: the terminal with and without colours, and a page that needs nothing else."""

import dataclasses
import html
import io
import json
import re

import numpy as np
import pytest
from explain_models import TEXT, make
from rich.console import Console

from tersely.errors import TerselyWarning
from tersely.explain import explain_document, write_html
from tersely.explain.show import render

MARKS = re.compile(r"[₀₁₂₃₄₅₆₇₈₉⟦⟧]")


def shown(explanations, **options) -> str:
    console = Console(file=io.StringIO(), width=200, **options)
    console.print(render(explanations, console))
    return console.file.getvalue()


@pytest.fixture
def page_of(tmp_path):
    return lambda told: write_html([told], tmp_path / "page.html").read_text("utf-8")


def facts_of(page):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page)[1])


@pytest.fixture(scope="module")
def told(pieces):
    return explain_document(make(pieces, "topk", keep=0.4, at=1), TEXT)


def test_without_colours_marks_say_how_far_words_got(told):
    text = shown([told], no_color=True)
    assert "\x1b[4" not in text.replace("\x1b[1", "")
    assert all(line in MARKS.sub("", text) for line in TEXT.splitlines())
    for word in told.words:
        if round(word.reached) == 2:
            assert word.text + "₂" in text
    assert "word₂: seen by 2 of 4 blocks" in text
    assert any(round(word.reached) == 2 for word in told.words)

    # With colours the text is bare.
    text = shown([told], force_terminal=True, color_system="truecolor", no_color=False)
    bare = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert all(line in bare for line in TEXT.splitlines())
    assert "48;2;31;95;168" in text and "48;2;169;200;234" in text


def test_what_the_data_say_is_shown(told, page_of):
    same = dataclasses.replace(told, known=told.decided)
    other = dataclasses.replace(told, known="[another] <one>")
    several = dataclasses.replace(told, decided=["a", "b"], known=["b", "a"])
    assert told.about_label() is None and "the data say" not in shown([told], no_color=True)
    assert same.about_label() == several.about_label() == "the data say the same"
    assert "the data say [another] <one>" in shown([other], no_color=True)
    assert '<p class="warn">The data say [another] &lt;one&gt;.</p>' in page_of(other)
    assert "<p>The data say the same.</p>" in page_of(same)
    assert "light-dark(" in page_of(same)


def test_what_was_never_read_stands_in_brackets(pieces):
    with pytest.warns(TerselyWarning):
        told = explain_document(make(pieces, "topk", keep=0.4, at=1, max_length=8), TEXT)
    text = shown([told], no_color=True)
    assert "⟦(un\nplayed) goodly film.⟧" in re.sub(r" +\n", "\n", text)
    assert "were never read" in text


def test_texts_cannot_steer_the_terminal(pieces):
    told = explain_document(make(pieces), "the \x1b[31mcat\x07 [bold]sat[/bold]")
    text = shown([told], no_color=True)
    assert "\x1b[31m" not in text and "\x07" not in text and "[bold]sat[/bold]" in text


def test_the_page_holds_the_text_and_needs_nothing_else(told, page_of):
    page = page_of(told)
    assert not re.search(r"https?://|<link|@import|src=", page)
    body = re.search(r'<div class="text">(.*?)</div>', page, re.DOTALL)[1]
    assert html.unescape(re.sub(r"<[^>]*>", "", body)) == TEXT
    data = facts_of(page)
    assert len(data["words"]) == len(told.words)
    for word, facts in zip(told.words, data["words"], strict=True):
        keys = np.max([token.keys for token in word.tokens], axis=0)
        assert facts["k"] == pytest.approx(keys.tolist(), abs=1e-3)
        best = max(token.scores[1] for token in word.tokens if token.scores[1] is not None)
        assert facts["s"][1] == pytest.approx(best, abs=1e-3)
        assert facts["p"] == [token.piece for token in word.tokens]


def test_texts_and_labels_cannot_become_markup(pieces, page_of):
    classifier = make(pieces)
    classifier.model.config.id2label = {0: "<i>one</i>", 1: "two", 2: "three"}
    text = 'the </script><script>alert("cat")</script> & <b>'
    page = page_of(explain_document(classifier, text))
    assert "<script>alert" not in page and "<i>one" not in page and "<b>" not in page
    assert "&lt;i&gt;one&lt;/i&gt;" in page
