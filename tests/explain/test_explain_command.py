"""The verb: what it reads, what it writes, and what it refuses."""

import json

import pytest
from explain_models import TEXT, make

from commands import check_refusal, run_command
from tersely.errors import ModelError
from tersely.explain import explain_document


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


def test_a_page_is_written_and_two_models_stand_in_it(model, data, tmp_path):
    page = tmp_path / "page.html"
    result = run(model, data, "--row", 2, "--against", model, "--html", page)
    assert result.exit_code == 0 and result.stdout == "" and "holds the page" in result.stderr
    assert page.read_text("utf-8").count('class="panel"') == 2
    both = json.loads(run(model, data, "--row", 2, "--against", model, "--json").stdout)
    assert both[0] == both[1]


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
        ((), "choose it with --row N"),
        (("--row", 11), "--row must be at most 10"),
        (("--row", 1, "--html", "nowhere/page.html"), "choose another place"),
    ],
)
def test_what_it_refuses(model, data, options, said):
    check_refusal(run(model, data, *options), 1, said)


def test_a_budget_is_for_the_first_of_two_models_and_that_is_said(model, data):
    result = run(model, data, "--row", 1, "--against", model, "--keep", 0.9, "--json")
    assert "--keep is for" in result.stderr and "runs as it was trained" in result.stderr
    first, second = (record["blocks"][-1]["left"] for record in json.loads(result.stdout))
    assert first > second


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
