"""The default encoder depends on what can be had."""

import huggingface_hub
import pytest

from tersely import defaults
from tersely.defaults import DEFAULT_MODEL, default_model, packaged_encoder


class NoNetwork(Exception):
    """What the HTTP library below the Hub's client raises: nothing of Python's own."""


@pytest.mark.parametrize(
    ("cached", "offline", "on_hub", "falls_back"),
    [
        (None, True, True, "HF_HUB_OFFLINE is set"),
        (None, False, False, "NoNetwork: cannot resolve"),
        (None, False, True, None),
        ("a path", True, False, None),
    ],
)
def test_default_model(monkeypatch, cached, offline, on_hub, falls_back):
    def ask(*_):
        if not on_hub:
            raise NoNetwork("cannot resolve\nthe address")
        return True

    monkeypatch.setattr(defaults, "packaged_encoder", lambda: "a/model")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: cached)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(huggingface_hub, "file_exists", ask)
    model, note = default_model()
    assert model == ("a/model" if falls_back else DEFAULT_MODEL)
    assert falls_back in note if falls_back else note is None
    monkeypatch.setattr(defaults, "packaged_encoder", lambda: None)
    assert default_model() == (DEFAULT_MODEL, None)


def test_the_packaged_encoder_is_a_model_where_it_is_installed():
    encoder = packaged_encoder()
    assert encoder is None or (encoder / "config.json").is_file()
