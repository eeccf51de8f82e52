"""One encoder for the whole room."""

import pytest
from explain_models import PIECES

from tiny import tiny_encoder, tiny_tokenizer


@pytest.fixture(scope="session")
def pieces(tmp_path_factory):
    """A directory with a tiny BERT and a WordPiece tokenizer that lowers capitals."""
    folder = tmp_path_factory.mktemp("pieces")
    tiny_encoder("bert", num_hidden_layers=4).save_pretrained(folder)
    tiny_tokenizer(PIECES, pieces=True).save_pretrained(folder)
    return folder
