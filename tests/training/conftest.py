"""One dense classifier for the whole room, which no test changes, and trainers on its documents."""

import pytest

from tersely import Classifier, TrainingSettings
from tersely.training.run import trainer_arguments
from tersely.training.trainer import TerselyTrainer, TrainingDocuments
from words import PLAIN, documents


@pytest.fixture(scope="session")
def dense(encoder):
    settings = TrainingSettings(epochs=2, learning_rate=5e-3, batch_tokens=128, seed=1, **PLAIN)
    return Classifier(encoder, method="dense").fit(documents(), settings=settings)


@pytest.fixture
def make_trainer(dense, tmp_path):
    """Make a trainer of a model, and the documents that it trains on."""

    def make(model, settings, teacher_logits=None):
        data = documents()
        labels = dense.label_space.encode(data.labels)
        train = TrainingDocuments(dense.encode(data.texts), labels, teacher_logits)
        arguments = trainer_arguments(settings, tmp_path, device="cpu", validate=False)
        return TerselyTrainer(model, settings, train, args=arguments), train

    return make
