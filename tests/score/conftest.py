"""A tiny model that nobody trained, since its decisions do not matter, and Parquet files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from tersely.modeling import from_encoder
from words import LABELS, labelled, save_encoder, tokenizer


def directory_of(plan: str, **options):
    """A fixture of a model's directory."""

    @pytest.fixture(scope="session")
    def make(tmp_path_factory) -> str:
        encoder = save_encoder(tmp_path_factory.mktemp("encoder"))
        folder = tmp_path_factory.mktemp("models") / "model"
        labels = {"id2label": dict(enumerate(LABELS))}
        from_encoder(str(encoder), plan=plan, **(labels | options)).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        return str(folder)

    return make


model = directory_of("topk")
several = directory_of("dense", problem_type="multi_label_classification")
regression = directory_of("dense", id2label={0: "size"}, problem_type="regression")


@pytest.fixture
def write(tmp_path):
    """Write rows with ids to `in/<name>`, in row groups of 7."""

    def save(name: str, count: int, *, seed: int = 0, texts: list | None = None) -> Path:
        texts = labelled(count, seed=seed)[0] if texts is None else texts
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        ids = [f"{name}-{number}" for number in range(len(texts))]
        table = pa.table({"id": ids, "text": texts})
        parquet.write_table(table, folder / name, row_group_size=7)
        return folder / name

    return save


@pytest.fixture
def damage():
    """Overwrite the first page of a row group's texts; the footer stays as it is."""

    def spoil(path: Path, group: int) -> None:
        column = parquet.read_metadata(path).row_group(group).column(1)
        place = column.dictionary_page_offset or column.data_page_offset
        with path.open("r+b") as file:
            file.seek(place)
            file.write(b"\xff" * 20)

    return spoil
