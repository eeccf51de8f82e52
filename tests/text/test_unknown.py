"""Documents of unknown tokens alone are counted, windows taken together; empty ones are not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tersely.text.encoding import EncodedDocuments, LengthReport
from tersely.text.unknown import count_unknown

CLS, SEP, UNK = 1, 2, 3
TOKENIZER = SimpleNamespace(unk_token_id=UNK, all_special_ids=[0, CLS, SEP, UNK])


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ([[[CLS, UNK, UNK, SEP]]], 1),
        ([[[CLS, UNK, 9, SEP]]], 0),
        ([[[CLS, 9, UNK, SEP]]], 0),
        ([[[CLS, SEP]]], 0),
        ([[[CLS, UNK, SEP], [CLS, 9, SEP]], [[CLS, UNK, SEP], [CLS, UNK, SEP]]], 1),
        ([[[UNK]], [[9]], [[UNK, UNK]]], 2),
        ([], 0),
    ],
)
def test_count_unknown(documents, expected):
    windows = [np.array(window, dtype=np.int32) for document in documents for window in document]
    counts = np.array([len(document) for document in documents], dtype=np.int64)
    report = LengthReport(len(documents), 0, 0, 0, "windows", 512)
    encoded = EncodedDocuments(windows, None, counts, report)
    assert count_unknown(encoded, TOKENIZER) == expected


def test_a_tokenizer_of_bytes_knows_everything():
    tokenizer = SimpleNamespace(unk_token_id=None, all_special_ids=[0])
    report = LengthReport(1, 0, 1, 0, "truncate", 512)
    encoded = EncodedDocuments([np.array([5])], None, np.array([1]), report)
    assert count_unknown(encoded, tokenizer) == 0
