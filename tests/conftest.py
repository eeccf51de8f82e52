"""What every test runs under: offline, one thread, and the same random numbers each time.

pytest puts this folder on the path of imports, so a test anywhere says
`from tiny import FAMILIES, tiny_config`.
"""

import copy
import gc
import os
import random
import signal
import sys

# Before anything imports transformers, which reads these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# What tests start keeps to one thread as well: `make test` runs as many processes as cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell that starts this in the background has interrupts ignored, and every process that a test
# starts and interrupts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

# On tensors this small, waiting for a second thread takes longer than the work.
torch.set_num_threads(1)
# A busy machine is slow now and then, which says nothing about the property.
settings.register_profile("tersely", deadline=None, max_examples=30)
settings.load_profile("tersely")


def pytest_collection_finish():
    """Spare the collector what is imported by now: its rounds took a tenth of the tests' time."""
    gc.freeze()


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """A directory with a tiny BERT of four blocks and the tokenizer of whole words."""
    from words import save_encoder

    return save_encoder(tmp_path_factory.mktemp("encoder"), num_hidden_layers=4)


@pytest.fixture(scope="session")
def dense(tmp_path_factory):
    """A directory with a dense classifier whose head is random."""
    from cascades import save_dense

    return save_dense(tmp_path_factory.mktemp("dense"))


@pytest.fixture(scope="session")
def cascade(dense, tmp_path_factory):
    """A directory with the same under a cascade that answers half of its documents early."""
    from cascades import save_cascade

    return save_cascade(dense, tmp_path_factory.mktemp("cascade"))


@pytest.fixture(scope="session")
def reviewed(cascade, tmp_path_factory):
    """A directory with a cascade that sets its less sure half apart for people."""
    from cascades import save_reviewed

    return save_reviewed(cascade, tmp_path_factory.mktemp("reviewed"))


@pytest.fixture(scope="session")
def kinds(tmp_path_factory):
    """A directory with a dense classifier of documents of three kinds."""
    from three_kinds import write_dense

    return write_dense(tmp_path_factory.mktemp("kinds"))


@pytest.fixture
def own_registry(monkeypatch):
    """What a test registers is forgotten afterwards, by this process and by those it starts."""
    from tersely.reduction import parts, presets

    monkeypatch.setenv(parts.EXTENSIONS, "")  # where --import leaves word for workers
    for room, name in ((parts, "_REGISTRY"), (sys.modules[presets.__module__], "_PRESETS")):
        monkeypatch.setattr(room, name, copy.deepcopy(getattr(room, name)))


@pytest.fixture(autouse=True)
def idle(monkeypatch):
    """Let commands find the machine idle, whatever runs beside the tests, and the heap tidy.

    To tidy it before each turn of a comparison takes long in a process with this many modules.
    """
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(gc, "collect", lambda: None)


@pytest.fixture(autouse=True)
def seeded():
    """Start every test from the same random numbers, whichever tests ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
