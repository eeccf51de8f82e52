"""Many documents explained: shares of words by class, counted by hand where that is possible."""

from collections import Counter

import pytest
from explain_models import make

from tersely.explain import explain_document, survey_documents
from tersely.text import Documents

TEXTS = ["The cat sat, playing. The film", "a good film (the cat)", "the the bad cat"] * 3
LABELS = ["one", "two", "two"] * 3


def by_hand(classifier, texts):
    """Sum and count of each word's share, from one explanation after the other."""
    found: dict[str, list[float]] = {}
    for text in texts:
        told = explain_document(classifier, text)
        for word in told.words:
            if word.read:
                found.setdefault(word.text.lower(), []).append(word.reached / told.reading)
    return {word: (len(s), sum(s) / len(s)) for word, s in found.items()}


@pytest.mark.parametrize(
    ("method", "options"), [("topk", {"keep": 0.4, "at": 1}), ("focus-pfc", {"combine_at": 2})]
)
def test_shares_are_the_means_of_single_explanations(pieces, method, options):
    classifier = make(pieces, method, **options)
    told = survey_documents(classifier, Documents.from_lists(TEXTS, LABELS), minimum=1, top=100)
    assert told.by == "label" and told.removes and told.documents == len(TEXTS)
    assert [words.label for words in told.classes] == ["one", "two"]
    for words in told.classes:
        texts = [text for text, label in zip(TEXTS, LABELS, strict=True) if label == words.label]
        expected = by_hand(classifier, texts)
        counts = {word: count for word, (count, _) in expected.items()}
        assert {each.word: each.count for each in words.most} == counts
        for each in (*words.most, *words.least):
            assert each.stayed == pytest.approx(expected[each.word][1], abs=1e-5)
        stayed = [each.stayed for each in words.most]
        assert stayed == sorted(stayed, reverse=True)
        assert [each.stayed for each in words.least] == sorted(stayed)


def test_without_labels_the_predictions_are_the_classes(pieces):
    classifier = make(pieces, "random", keep=0.5, at=1)
    told = survey_documents(classifier, Documents.from_lists(TEXTS))
    assert told.by == "prediction"
    assert {w.label: w.documents for w in told.classes} == Counter(classifier.predict(TEXTS))


def test_blocks_are_means_and_a_dense_model_keeps_all(pieces):
    classifier = make(pieces)
    told = survey_documents(classifier, Documents.from_lists(TEXTS, LABELS), minimum=1)
    lengths = [len(classifier.tokenizer(text)["input_ids"]) for text in TEXTS]
    assert not told.removes
    assert told.tokens == pytest.approx(sum(lengths) / len(lengths))
    for block in told.blocks:
        assert (block.entered, block.keys, block.left) == pytest.approx((told.tokens,) * 3)
    assert all(words.stayed == pytest.approx(1) for words in told.classes)


def test_a_document_of_several_labels_counts_for_each(pieces):
    classifier = make(pieces, problem_type="multi_label_classification")
    labels = [["one", "two"], ["two"], []] * 3
    told = survey_documents(classifier, Documents.from_lists(TEXTS, labels))
    assert {words.label: words.documents for words in told.classes} == {"one": 3, "two": 6}
