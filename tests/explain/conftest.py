"""One encoder for the whole room."""

from __future__ import annotations

import pytest
from explain_models import save_pieces


@pytest.fixture(scope="session")
def pieces(tmp_path_factory):
    """A directory with a tiny encoder and a tokenizer of word pieces."""
    return save_pieces(tmp_path_factory.mktemp("pieces"))
