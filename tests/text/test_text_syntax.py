"""What pieces tell: words, sentences, stems; which documents are alike, and which to label next."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.text.encoding import encode
from tersely.text.likeness import ALIKE, choose_diverse, find_alike, piece_vectors
from tersely.text.syntax import (
    ALONE,
    ENDS_SENTENCE,
    DependencyParser,
    piece_marks,
    stem_table,
    word_numbers,
)
from tiny import tiny_tokenizer
from words import labelled, tokenizer

WORDPIECE = ["[PAD]", "[CLS]", "[SEP]", "run", "##ning", "runs", "the", "##s", "Running"]
BYTE_LEVEL = ["<pad>", "<s>", "</s>", "run", "ning", "Ġruns", "Ġthe", "s", "."]


class Pieces:
    """As much of a tokenizer as is asked for."""

    all_special_ids = (0, 1, 2)

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def __len__(self) -> int:
        return len(self.tokens)

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self.tokens[number] for number in ids]

    def decode(self, ids: list[int]) -> str:
        joined = "".join(self.convert_ids_to_tokens(ids))
        return joined.replace("##", "").replace("Ġ", " ")


def test_pieces_of_a_word_have_its_number():
    marks = piece_marks(Pieces(WORDPIECE))
    assert word_numbers(marks, [1, 3, 4, 6, 5, 7, 2]) == [-1, 0, 0, 1, 2, 2, -1]
    assert word_numbers(marks, [1, 4, 2]) == [-1, 0, -1]
    # The first piece of a text has no blank before it, and what follows [SEP] is a new word.
    ids, numbers = [1, 3, 4, 5, 7, 6, 8, 2, 3, 2], [-1, 0, 0, 1, 1, 2, 3, -1, 4, -1]
    assert word_numbers(piece_marks(Pieces(BYTE_LEVEL)), ids) == numbers


@given(st.text("ab .,!?'é3", max_size=40))
def test_marks_say_of_words_what_the_tokenizer_says(text):
    tokenizer = tiny_tokenizer(["a", "##b", "b", "##a", ".", ",", "!", "?", "'", "3", "##3", "e"])
    encoding = tokenizer(text).encodings[0]
    numbers = word_numbers(piece_marks(tokenizer), encoding.ids)
    unknown = tokenizer.unk_token_id in encoding.ids  # stands for a word, and for no text
    assert unknown or numbers == [-1 if w is None else w for w in encoding.word_ids]


def test_sentences_end_with_their_points():
    assert piece_marks(Pieces(BYTE_LEVEL)).tolist() == [ALONE] * 3 + [1, 1, 0, 0, 1, ENDS_SENTENCE]


def test_a_parser_gets_words_and_is_asked_once_for_a_document():
    asked = []

    def heads(words):
        asked.append(words)
        return [max(0, number - 1) for number in range(len(words))]

    parser = DependencyParser(Pieces(WORDPIECE), heads)
    for _ in range(2):
        assert parser([1, 3, 4, 6, 5, 2]) == ([-1, 0, 0, 1, 2, -1], [0, 0, 1])
    assert asked == [["running", "the", "runs"]]
    assert parser([1, 2]) == ([-1, -1], [])


def test_stems_are_shared_by_forms_and_not_by_pieces_that_go_on():
    stems = stem_table(Pieces(WORDPIECE)).tolist()
    assert stems[3] == stems[5] == stems[8], "run, runs, Running"
    assert stems[4] != stems[3] and len({*stems[:3]}) == 3
    assert len(stems) == len(WORDPIECE)


# ---- likeness, against slow versions -----------------------------------------------------------


def encoded(texts):
    return encode(tokenizer(), texts, max_length=64)


def special():
    return tokenizer().all_special_ids


def test_vectors_are_those_of_scikit_learn():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    texts = [*labelled(30)[0], "cat cat cat dog", "", "unheard of"]
    expected = text.TfidfVectorizer(sublinear_tf=True).fit(texts[:-1])
    found = piece_vectors(encoded(texts[:-1]), special())
    other = expected.transform(texts[:-1])
    np.testing.assert_allclose((found @ found.T).toarray(), (other @ other.T).toarray(), atol=1e-9)


def test_near_duplicates_are_found():
    train, labels = labelled(40)
    new = labelled(20, seed=5)[0]
    other = [train[3], "  ".join(reversed(train[7].split())), *new, ""]
    found, compared = find_alike(encoded(train), encoded(other), special())
    vectors = piece_vectors(encoded(train + other), special()).toarray()
    slow = [n for n, row in enumerate(vectors[40:]) if (vectors[:40] @ row).max() >= ALIKE]
    assert found == slow and found[:2] == [0, 1] and compared == len(other)


@given(st.integers(1, 12), st.integers(0, 99))
def test_what_is_chosen_is_in_doubt_and_unlike_what_was_chosen_before(count, seed):
    chance = np.random.default_rng(seed)
    vectors = chance.random((8, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[5], doubt = vectors[2], chance.random(8).round(2)
    doubt[chance.integers(8)] = 0
    chosen = []
    while len(chosen) < count:
        worth = {
            n: doubt[n] * (1 - max((vectors[n] @ vectors[c] for c in chosen), default=0))
            for n in range(8)
        }
        best = max(worth, key=worth.get)
        if worth[best] < 1e-6:
            break
        chosen.append(best)
    assert choose_diverse(doubt, vectors, count) == chosen
    assert not {2, 5} <= {*chosen}
