"""One search for the whole room."""

import pytest

from tersely import Classifier
from three_kinds import TEXTS


@pytest.fixture(scope="session")
def fast(kinds):
    """The classifier of documents of three kinds with a cascade certified at 5 %."""
    return Classifier.from_pretrained(kinds, device="cpu").accelerate(TEXTS, limit=0.05)
