"""What is shown: the terminal with and without colours, and a page that needs nothing else."""

import dataclasses
import html
import json
import re

import numpy as np
import pytest
from explain_models import TEXT, facts_of, make, shown

from commands import check_refusal, run_command
from tersely.errors import ModelError, TerselyWarning
from tersely.explain import explain_document, write_html

MARKS = re.compile(r"[₀₁₂₃₄₅₆₇₈₉⟦⟧]")


@pytest.fixture
def page_of(tmp_path):
    return lambda told: write_html(told, tmp_path / "page.html").read_text("utf-8")


@pytest.fixture(scope="module")
def told(pieces):
    return explain_document(make(pieces, "topk", keep=0.4, at=1), TEXT)


def test_without_colours_marks_say_how_far_words_got(told):
    text = shown(told)
    assert "\x1b[4" not in text.replace("\x1b[1", "")
    assert all(line in MARKS.sub("", text) for line in TEXT.splitlines())
    for word in told.words:
        if round(word.reached) == 2:
            assert word.text + "₂" in text
    assert "word₂: seen by 2 of 4 blocks" in text
    assert any(round(word.reached) == 2 for word in told.words)

    # With colours the text is bare.
    text = shown(told, force_terminal=True, color_system="truecolor", no_color=False)
    bare = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert all(line in bare for line in TEXT.splitlines())
    assert "48;2;31;95;168" in text and "48;2;169;200;234" in text


def test_what_the_data_say_is_shown(told, page_of):
    same = dataclasses.replace(told, known=told.decided)
    other = dataclasses.replace(told, known="[another] <one>")
    several = dataclasses.replace(told, decided=["a", "b"], known=["b", "a"])
    assert told.about_label() is None and "known label" not in shown(told)
    assert same.about_label() == several.about_label() == "the known label agrees"
    assert "known label: [another] <one>" in shown(other)
    assert '<p class="warn">Known label: [another] &lt;one&gt;.</p>' in page_of(other)
    assert "<p>The known label agrees.</p>" in page_of(same)
    assert "light-dark(" in page_of(same)


def test_what_was_never_read_stands_in_brackets(pieces):
    with pytest.warns(TerselyWarning):
        told = explain_document(make(pieces, "topk", keep=0.4, at=1, max_length=8), TEXT)
    text = shown(told)
    assert "⟦(un\nplayed) goodly film.⟧" in re.sub(r" +\n", "\n", text)
    assert "were never read" in text


def test_texts_cannot_steer_the_terminal(pieces):
    told = explain_document(make(pieces), "the \x1b[31mcat\x07 [bold]sat[/bold]")
    text = shown(told)
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


def test_many_labels_are_folded_and_only_the_legends_that_apply_show(told, page_of):
    """Journeys: 23 bars pushed the document down, and all three legends showed."""
    labels = {f"class {number}": 1 / 23 for number in range(23)}
    page = page_of(dataclasses.replace(told, labels=labels, decided="class 0"))
    shown, _, folded = page.partition("<summary>17 more labels</summary>")
    assert shown.count('<span class="bar">') == 6 and folded.count('<span class="bar">') == 17
    assert "[hidden] { display: none !important; }" in page  # or `display: flex` would win
    assert "of one colour" not in page  # where nothing is merged
    legends = re.findall(r'<div class="legend" data-legend="(\w+)"( hidden)?>', page)
    assert legends == [("overview", ""), ("block", " hidden")]


def test_texts_and_labels_cannot_become_markup(pieces, page_of):
    classifier = make(pieces)
    classifier.model.config.id2label = {0: "<i>one</i>", 1: "two", 2: "three"}
    text = 'the </script><script>alert("cat")</script> & <b>'
    page = page_of(explain_document(classifier, text))
    assert "<script>alert" not in page and "<i>one" not in page and "<b>" not in page
    assert "&lt;i&gt;one&lt;/i&gt;" in page


# ---- the verb: what it reads, what it writes, and what it refuses ------------------------------


@pytest.fixture(scope="module")
def model(pieces, tmp_path_factory):
    return make(pieces, "topk", keep=0.4, at=1).save(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.jsonl"
    rows = [{"text": TEXT, "label": "one"}, {"text": "the cat", "label": "two"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows * 5), "utf-8")
    return path


def run(*arguments, stdin=None):
    return run_command("explain", *arguments, stdin=stdin)


def test_a_text_file_a_row_and_standard_input_are_the_same_document(model, data, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, "utf-8")
    results = run(model, path, "--json"), run(model, data, "--row", 3, "--json")
    results += (run(model, "--json", stdin=TEXT),)
    told = [json.loads(result.stdout) for result in results]
    assert [each.pop("known") for each in told] == [None, "one", None]
    assert told[0] == told[1] == told[2] and told[0]["texts"] == [TEXT]
    printed = run(model, path)
    assert printed.exit_code == 0 and "model (topk)" in printed.stdout


def test_a_page_is_written(model, data, tmp_path):
    page = tmp_path / "page.html"
    result = run(model, data, "--row", 2, "--html", page)
    assert result.exit_code == 0 and result.stdout == "" and "holds the page" in result.stderr
    assert "two" in page.read_text("utf-8")


def test_labels_in_disorder_are_no_concern_unless_they_are_asked_for(model, tmp_path):
    path = tmp_path / "data.jsonl"
    rows = [{"text": TEXT, "label": "one"}, {"text": TEXT, "label": None}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert json.loads(run(model, path, "--row", 1, "--json").stdout)["known"] is None
    asked = run(model, path, "--row", 1, "--label-column", "label")
    assert asked.exit_code == 1 and "every document needs a label" in asked.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "choose the one to explain with --row N"),
        (("--row", 11), "--row must be at most 10"),
        (("--row", 1, "--html", "nowhere/page.html"), "choose another place"),
    ],
)
def test_what_it_refuses(model, data, options, said):
    check_refusal(run(model, data, *options), 1, said)


def test_a_budget_lets_more_tokens_on(model, data):
    records = (run(model, data, "--row", 1, *more, "--json") for more in ((), ("--keep", 0.9)))
    own, more = (json.loads(each.stdout)["blocks"][-1]["left"] for each in records)
    assert more > own


@pytest.mark.parametrize("labels", [("[/INST]", "[spam]", "plain"), ("[bold]", "a", "b")])
def test_labels_are_no_markup(pieces, data, tmp_path, labels):
    classifier = make(pieces, "topk", keep=0.4, at=1)
    classifier.model.config.id2label = dict(enumerate(labels))
    folder = classifier.save(tmp_path / "model")
    for result in (run(folder, data, "--row", 1), run_command("info", folder)):
        assert result.exit_code == 0 and all(label in result.stdout for label in labels)


def test_an_export_is_not_explained(pieces):
    classifier = make(pieces)
    classifier.model = None  # as of an export, which a graph runs
    with pytest.raises(ModelError, match="is an export"):
        explain_document(classifier, TEXT)
