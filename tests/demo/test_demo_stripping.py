"""What gives a label away is gone, and the prose is still there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.demo.stripping import strip_giveaways

LIBRARIES = ["numpy", "scipy", "sklearn", "transformers", "email"]


@pytest.mark.parametrize(
    ("name", "text", "left"),
    [
        pytest.param("sum", "sum(a, b=(1, 2))\n\nAdd up.", "Add up.", id="signature"),
        pytest.param("sum", "sum(a) -> b", "", id="nothing-else"),
        pytest.param("sum", "sum(a,\n    b) -> int\nAdd up.", "Add up.", id="over-two-lines"),
        pytest.param("sum", "x.sum(a)\nsum(a, b)\nAdd up.", "Add up.", id="two-signatures"),
        pytest.param("sum", "sum(a) is the sum.", "(a) is the sum.", id="sentence"),
        pytest.param("sum", "The sum, ``sum (a)``.", "The sum, `` (a)``.", id="common-word"),
        pytest.param("A.log1p", "See log1p and log1px.", "See  and log1px.", id="no-word"),
        pytest.param("KMeans.fit", "KMeans can fit; k.fit(x).", "can fit; (x).", id="class"),
        pytest.param("f", ">>> from scipy import x\nNow x.", "Now x.", id="from"),
        pytest.param("f", "    >>> import numpy as np\nNow.", "Now.", id="import"),
        pytest.param("f", ">>> from a.b import (c,\n...   d)\n>>> c", ">>> c", id="brackets"),
        pytest.param("f", "People import goods from abroad.", None, id="import-in-prose"),
        pytest.param("f", "A scipy.stats.norm, np.abs(x).", "A norm, abs(x).", id="dotted"),
        pytest.param("f", "A part.of.module.g, of.g here.", "A g, g here.", id="own-module"),
        pytest.param("f", "A :class:`~sklearn.x.Y` and :ref:`it <a.b>`.", "A Y and it.", id="role"),
        pytest.param("f", "A NumPy array, a PyTorch one.", "A array, a one.", id="prose"),
        pytest.param("f", "An email to the transformers.", None, id="words"),
        pytest.param("f", "Some a.b.c and 1.5 or e.g. this.", None, id="foreign"),
        pytest.param("f", ".. currentmodule:: scipy.x\n{input}\n%(d)s\nText.", "Text.", id="rst"),
        pytest.param("f", "a\x00b \ud800 c", "a b   c", id="control"),
        pytest.param("", "part.of.module\n\nDoes things.", "module\n\nDoes things.", id="module"),
    ],
)
def test_strips(name, text, left):
    expected = text if left is None else left
    assert strip_giveaways(text, "part.of.module", name, LIBRARIES) == expected


@given(st.text(), st.sampled_from(["", "f", "A.b", "log1p", "C.__init__"]))
def test_never_fails_and_leaves_what_can_be_written(text, name):
    left = strip_giveaways(text, "scipy.stats", name, LIBRARIES)
    assert left == left.strip()
    left.encode("utf-8")


@given(st.lists(st.sampled_from(["numpy.x", "scipy.a.b", "SciPy", "word", "(", "numpy", "\n"])))
def test_no_library_is_named(words):
    left = strip_giveaways(" ".join(words), "m", "f", LIBRARIES).lower()
    assert "numpy" not in left and "scipy" not in left
    assert left.count("word") == words.count("word")
