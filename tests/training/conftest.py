"""One dense classifier for the whole room, which no test changes."""

import pytest

from tersely import Classifier, TrainingSettings
from words import PLAIN, documents


@pytest.fixture(scope="session")
def dense(encoder):
    settings = TrainingSettings(epochs=2, learning_rate=5e-3, batch_tokens=128, seed=1, **PLAIN)
    return Classifier(encoder, method="dense").fit(documents(), settings=settings)
