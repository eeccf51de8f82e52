"""Benchmarks are a folder of scripts: it is put on the path, as Python does when it runs one."""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from words import labelled, save_encoder

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> Path:
    """A tiny encoder that takes documents as long as the scripts cut them."""
    folder = tmp_path_factory.mktemp("encoder")
    return save_encoder(folder, num_hidden_layers=4, max_position_embeddings=512)


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """A folder of data sets as the scripts read them, with two of few words."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("r8", "bbc"):
        (folder / name).mkdir()
        for seed, split in enumerate(("train", "validation", "test")):
            texts, labels = labelled(30, seed=seed)
            pq.write_table(
                pa.table({"text": texts, "label": labels}), folder / name / f"{split}.parquet"
            )
    return folder


@pytest.fixture
def script(monkeypatch, data, encoder):
    """Run a script in this process: `script(module, "--part", "dense")`."""

    def run(module, *arguments: object) -> None:
        command = [module.__file__, "--data", data, "--encoder", encoder, *arguments]
        monkeypatch.setattr(sys, "argv", [str(word) for word in command])
        module.main()

    return run
