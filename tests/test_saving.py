"""What is written replaces what was there in one go, or not at all."""

from __future__ import annotations

import pytest

from tersely._io import written_whole
from tersely.errors import ExportError, OutputError


@pytest.fixture
def older(tmp_path):
    """A directory with a model in it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("older")
    (folder / "notes.txt").write_text("mine")
    return folder


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_files_come_into_their_places_together(older):
    with written_whole(older, "model") as part:
        (part / "config.json").write_text("newer")
        (part / "weights").write_text("1")
        assert contents(part).keys() == {"config.json", "weights"}
        assert (older / "config.json").read_text() == "older"
    assert contents(older) == {"config.json": "newer", "weights": "1", "notes.txt": "mine"}


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (OSError(28, "No space left on device"), OutputError, "the export cannot be .*No space"),
        (ExportError("other labels"), ExportError, "^other labels$"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "^stop$"),
    ],
)
def test_an_error_leaves_the_older_files(older, error, raised, message):
    with pytest.raises(raised, match=message), written_whole(older, "export") as part:
        (part / "config.json").write_text("newer")
        raise error
    assert contents(older) == {"config.json": "older", "notes.txt": "mine"}


def test_a_place_that_cannot_be_a_directory_is_said(older):
    with (
        pytest.raises(OutputError, match="the model cannot be written to .*; free some space"),
        written_whole(older / "config.json" / "model", "model"),
    ):
        pytest.fail("there is nowhere to write to")


def test_what_is_replaced_goes_unless_it_is_written_anew(older):
    (older / "record.json").write_text("older")
    names = ("config.json", "record.json", "absent.json")
    with (
        pytest.raises(ExportError),
        written_whole(older, "model", replaces=names),
    ):
        raise ExportError("other labels")
    assert contents(older).keys() == {"config.json", "record.json", "notes.txt"}
    with written_whole(older, "model", replaces=names) as part:
        (part / "config.json").write_text("newer")
    assert contents(older) == {"config.json": "newer", "notes.txt": "mine"}
