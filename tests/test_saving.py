"""What is saved replaces what was there at once or not at all; cards say what is true."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from huggingface_hub import ModelCard
from safetensors.numpy import save_file

from tersely import Classifier, TrainingSettings
from tersely._io import check_writable, written_whole
from tersely.errors import ExportError, OutputError, TerselyWarning
from tersely.text import Documents
from words import LABELS, labelled


@pytest.fixture
def older(tmp_path):
    """A directory with a model in it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("older")
    (folder / "notes.txt").write_text("mine")
    return folder


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (OSError(28, "No space left on device"), OutputError, "the export cannot be .*No space"),
        (ExportError("other labels"), ExportError, "^other labels$"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "^stop$"),
    ],
)
def test_an_error_leaves_the_older_files(older, error, raised, message):
    names = ("config.json", "notes.txt")
    with pytest.raises(raised, match=message):
        with written_whole(older, "export", replaces=names) as part:
            (part / "config.json").write_text("newer")
            raise error
    assert contents(older) == {"config.json": "older", "notes.txt": "mine"}
    with pytest.raises(raised), written_whole(older / "new", "export"):
        raise error
    assert not (older / "new").exists()


def test_only_a_folder_that_is_not_there_is_to_be_made(older):
    for folder, advice in (older / "no", "make that folder, or "), (older / "notes.txt", ""):
        with pytest.raises(OutputError, match=f"directory; {advice}choose another place"):
            check_writable(folder, folder / "labels.csv")


def test_a_place_that_cannot_be_a_directory_is_said(older):
    with pytest.raises(OutputError, match="the model cannot be written to .*; free some space"):
        with written_whole(older / "config.json" / "model", "model"):
            pytest.fail("there is nowhere to write to")


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_who_may_read_the_folder_may_read_the_weights(tmp_path):
    """A model that root trained could not be served by another user: safetensors writes 0600."""
    before = os.umask(0o022)
    try:
        with written_whole(tmp_path / "model", "model") as part:
            (part / "config.json").write_text("{}")
            save_file({"weight": np.zeros(1)}, part / "model.safetensors")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()}
    assert modes == {0o644}


def test_files_come_together_and_what_they_replace_goes(older):
    (older / "record.json").write_text("older")
    names = ("config.json", "record.json", "absent.json")
    with written_whole(older, "model", replaces=names) as part:
        (part / "config.json").write_text("newer")
        (part / "weights").write_text("1")
        assert contents(part).keys() == {"config.json", "weights"}
        assert contents(older).keys() >= {"config.json", "notes.txt", "record.json"}
    assert contents(older) == {"config.json": "newer", "weights": "1", "notes.txt": "mine"}


PROGRAM = """
import os, sys
from tersely._io import keep_freed_memory
took = keep_freed_memory()
def resident():
    line = next(l for l in open("/proc/self/status") if l.startswith("VmRSS"))
    return int(line.split()[1]) // 1024
before = resident()
blocks = [bytearray(b"x" * (8 << 20)) for _ in range(20)]
blocks.clear()
print(took, resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
@pytest.mark.parametrize("own", [{}, {"MALLOC_TRIM_THRESHOLD_": "131072"}])
def test_freed_memory_is_kept_unless_the_environment_says_otherwise(own):
    command, environment = [sys.executable, "-c", PROGRAM], os.environ | own
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    took, kept = done.stdout.split()
    # Of 160 MiB; not every libc has the setting.
    assert took == "False" or (not own and int(kept) > 100)


# ---- cards -------------------------------------------------------------------------------------

QUICK = TrainingSettings(epochs=1, learning_rate=5e-3, batch_tokens=256, seed=7)


@pytest.fixture(scope="module")
def trained(encoder):
    classifier = Classifier(encoder, method="focus-pfc", max_length=32)
    return classifier.fit(*labelled(45), settings=QUICK)


def test_the_card_says_what_the_model_is(trained, encoder, tmp_path):
    card = ModelCard.load(trained.save(tmp_path / "my-model") / "README.md")
    data = card.data.to_dict()
    assert data["library_name"] == "tersely" and data["pipeline_tag"] == "text-classification"
    assert {"tersely", "focus-pfc"} <= set(data["tags"])
    # A directory of this machine is no name for anybody else.
    assert "base_model" not in data and str(encoder) not in card.content
    assert "# my-model" in card.text and 'from_pretrained("my-model/")' in card.text
    assert all(f"`{label}`" in card.text for label in LABELS)
    assert "at most 32 tokens" in card.text and "seed 7" in card.text
    assert all(f"`{kind}`" in card.text for kind in ("drop-keys", "combine", "fuzzy-ratio"))
    assert "not evaluated" in card.text and "model-index" not in data
    assert "taught by `the dense stage`" in card.text


def test_a_name_of_the_hub_is_the_base_model(trained, tmp_path, monkeypatch):
    config = trained.model.config.encoder_config
    monkeypatch.setattr(config, "_name_or_path", "someone/some-encoder")
    card = ModelCard.load(trained.save(tmp_path) / "README.md")
    assert card.data.base_model == "someone/some-encoder"


def test_what_was_evaluated_stands_in_the_card(trained, tmp_path):
    found = trained.evaluate(Documents.from_lists(*labelled(12, seed=2)))
    # Review 9: the last figures stood in the card, whatever they were measured on.
    assert "not evaluated" in (trained.save(tmp_path) / "README.md").read_text("utf-8")
    card = ModelCard.load(trained.save(tmp_path, evaluation=found) / "README.md")
    results = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert results == pytest.approx(found.metrics, abs=1e-6)
    assert f"| accuracy | {found['accuracy']:.4f} |" in card.text
    assert "12 documents of `the given texts`" in card.text
    encoded = trained.encode(labelled(12, seed=2)[0])
    assert (found.tokens, found.macs) == (encoded.tokens, trained.forward(encoded).macs)
    assert f"{found.tokens / 12:.0f} tokens and cost {found.macs / 12:.3g} MACs" in card.text


def test_our_card_is_written_again_and_anybody_elses_is_kept(trained, tmp_path):
    path = trained.save(tmp_path) / "README.md"
    trained.save(tmp_path, evaluation=trained.evaluate(Documents.from_lists(*labelled(12, seed=2))))
    assert "| accuracy |" in path.read_text("utf-8")
    for changed in (path.read_text("utf-8") + "\nMy own words.\n", "# Mine\n"):
        path.write_text(changed, "utf-8")
        with pytest.warns(TerselyWarning, match="is kept as it is"):
            trained.save(tmp_path)
        assert path.read_text("utf-8") == changed
        assert json.loads((tmp_path / "training.json").read_text("utf-8"))
