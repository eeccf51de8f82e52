"""The default encoder depends on what can be had."""

from __future__ import annotations

import pytest

from tersely import defaults
from tersely.classifier import DEFAULT_MODEL


class NoNetwork(Exception):
    """What the HTTP library below the Hub's client raises: nothing of Python's own."""


@pytest.mark.parametrize(
    ("installed", "cached", "offline", "on_hub", "falls_back"),
    [
        (True, False, True, True, True),
        (True, False, False, False, True),
        (True, False, False, True, False),
        (True, True, True, False, False),
        (False, False, True, False, False),
    ],
)
def test_default_model(monkeypatch, installed, cached, offline, on_hub, falls_back):
    def ask(*_):
        if not on_hub:
            raise NoNetwork
        return True

    monkeypatch.setattr(defaults, "demo_encoder_available", lambda: installed)
    monkeypatch.setattr(defaults, "demo_encoder", lambda: "somewhere/model")
    monkeypatch.setattr(defaults, "try_to_load_from_cache", lambda *_: "a path" if cached else None)
    monkeypatch.setattr(defaults.constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(defaults, "file_exists", ask)
    model, note = defaults.default_model()
    assert model == ("somewhere/model" if falls_back else DEFAULT_MODEL)
    assert (note is not None) == falls_back
