"""Words are put together from their pieces, parsed once, and stemmed."""

from tersely.text.syntax import DependencyParser, stem_table, word_numbers

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
    assert word_numbers(Pieces(WORDPIECE), [1, 3, 4, 6, 5, 7, 2]) == [-1, 0, 0, 1, 2, 2, -1]
    assert word_numbers(Pieces(WORDPIECE), [1, 4, 2]) == [-1, 0, -1]
    # The first piece of a text has no blank before it, and what follows [SEP] is a new word.
    ids, numbers = [1, 3, 4, 5, 7, 6, 8, 2, 3, 2], [-1, 0, 0, 1, 1, 2, 2, -1, 3, -1]
    assert word_numbers(Pieces(BYTE_LEVEL), ids) == numbers


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
