"""A cascade explained: who answered, how surely, and what each word added to the linear stage."""

import json
import re

import numpy as np
import pytest
import torch
from explain_models import TEXT, facts_of, make, shown

from commands import run_command
from tersely.cascade import Cascade, Stage
from tersely.explain import explain_document, write_html
from tersely.linear import LinearForm, LinearStage
from tersely.reduction import preset

STAGES = (Stage("linear"), Stage("plan", preset("topk", keep=0.4, at=1, least=1)))
STAGES += (Stage("reference", temperature=2.0),)
SURE = {"linear": (0.0, 0.0), "topk": (1.0, 0.0), "reference": (1.0, 1.0)}


def cascaded(folder, answers, several=False, **options):
    """A classifier with random tables in which one stage answers everything."""
    kind = "multi_label_classification" if several else "single_label_classification"
    classifier = make(folder, problem_type=kind, **options)
    special = tuple(classifier.tokenizer.all_special_ids)
    form = LinearForm("svc", 3, classifier.model.config.encoder_config.vocab_size, 64, special)
    form = LinearForm(**(vars(form) | {"problem_type": kind, "temperature": 0.5}))
    stage, chance = LinearStage(form), torch.Generator().manual_seed(0)
    stage.weights.normal_(generator=chance)
    stage.bias.normal_(generator=chance)
    cascade = Cascade(STAGES, (SURE[answers],), 0)
    classifier.adopt(classifier.model.under_cascade(cascade, stage), classifier.tokenizer)
    return classifier


@pytest.mark.parametrize("answers", SURE)
@pytest.mark.parametrize("several", [False, True])
def test_the_stage_that_answered_is_the_one_of_predict(pieces, answers, several):
    classifier = cascaded(pieces, answers, several)
    forward = classifier.forward(classifier.encode([TEXT]))
    told = explain_document(classifier, TEXT)
    assert told.stage.name == answers and told.stage.stages == ("linear", "topk", "reference")
    assert told.stage.confidence == pytest.approx(float(forward.confidence[0]), abs=1e-5)
    assert told.decided == classifier.predict([TEXT])[0]
    shares = classifier.predict_proba([TEXT])[0]
    assert list(told.labels.values()) == pytest.approx(shares.tolist(), abs=1e-5)
    assert told.is_linear == (answers == "linear") and len(told.blocks) == 4 * (not told.is_linear)
    assert told.removes == (answers == "topk")


@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")
@pytest.mark.parametrize("options", [{}, {"max_length": 8, "long": "windows"}])
@pytest.mark.parametrize("several", [False, True])
def test_words_and_bias_add_up_to_the_log_odds(pieces, several, options):
    told = explain_document(cascaded(pieces, "linear", several, **options), TEXT)
    special = sum(token.contribution or 0 for token in told.special)
    found = special + told.stage.bias + sum(word.contribution for word in told.weighed)
    share = told.labels[told.stage.favours]
    other = 1 - share if several else told.labels[told.stage.over]
    assert found == pytest.approx(np.log(share / other), abs=1e-4)
    assert told.stage.favours == told.ranked[0][0]
    assert all(word.contribution is None for word in told.words if not word.read)


def test_terminal_page_and_json_show_it(pieces, tmp_path):
    classifier = cascaded(pieces, "linear")
    told = explain_document(classifier, TEXT)
    said = shown(told, width=120)
    assert "The stage linear answered (linear → topk → reference)" in said
    best = max(told.weighed, key=lambda word: word.contribution)
    assert re.search(rf"{best.text.lower()} +{re.escape(f'{best.contribution:+.2f}')}", said)
    assert said.count("film") == 2 and "without any" in said  # in the text and in the table
    assert all(line in said for line in TEXT.splitlines()) and "tokens in" not in said
    page = write_html(told, tmp_path / "page.html").read_text("utf-8")
    wanted = [f"{word.contribution:+.3f}" for word in told.words]
    assert [word["c"] for word in facts_of(page)["words"]] == wanted
    assert 'class="w n4"' in page or 'class="w l4"' in page
    assert "Tokens in each block" not in page
    model = classifier.save(tmp_path / "model")
    record = json.loads(run_command("explain", model, "--json", stdin=TEXT).stdout)
    assert record["stage"]["name"] == "linear"
    # Files hold float16.
    assert record["words"][0]["contribution"] == pytest.approx(told.words[0].contribution, abs=0.01)


def test_what_was_chosen_before_the_first_block_is_told_with_its_score(pieces, tmp_path):
    classifier = cascaded(pieces, "reference")
    chosen = classifier.model.alone().under_plan(preset("choose", keep=0.5, least=1))
    told = explain_document(classifier.with_model(chosen), TEXT)
    tokens = [*told.special, *(token for word in told.words for token in word.tokens)]
    assert sum(token.worth for token in tokens) == pytest.approx(len(tokens), abs=1e-3)
    worth = {word.text.lower(): word.furthest.worth for word in told.words}
    kept = [token.worth for token in tokens[len(told.special) :] if token.reached]
    assert min(kept) >= max(token.worth for token in tokens if not token.reached)
    facts = facts_of(write_html(told, tmp_path / "page.html").read_text("utf-8"))
    assert [word["w"] for word in facts["words"]] == [round(found, 3) for found in worth.values()]
    assert explain_document(classifier, TEXT).words[0].furthest.worth is None
