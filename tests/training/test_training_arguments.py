"""The Trainer trains on the model's own device, however many GPUs it sees."""

from __future__ import annotations

import pytest
import torch
from transformers.training_args import ParallelMode

from tersely import TrainingSettings
from tersely.training.run import trainer_arguments

SETTINGS = TrainingSettings(epochs=1, learning_rate=1e-4, mixed_precision=False)


@pytest.fixture
def current(monkeypatch):
    """Two GPUs as far as transformers can see, and which of them was made the current one."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: chosen.append(str(device)))
    return chosen


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1", "cpu"])
def test_the_models_own_device_and_no_other(current, tmp_path, device):
    arguments = trainer_arguments(SETTINGS, tmp_path, device=device, validate=False)
    assert arguments.device == torch.device(device)
    assert arguments.n_gpu == (device != "cpu")
    if device == "cpu":
        assert not current
    else:
        # accelerate moves batches to the current one.
        assert arguments.parallel_mode is ParallelMode.NOT_PARALLEL and current[-1] == device
