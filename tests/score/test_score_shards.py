"""Shards hold every row of the inputs once, in order, however the files are laid out."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.errors import DataError
from tersely.score import shards
from tersely.score.shards import cut_shards, find_inputs, read_chunks


@given(
    counts=st.lists(st.integers(0, 60), min_size=1, max_size=3),
    group=st.integers(1, 30),
    rows=st.integers(1, 40),
    chunk=st.integers(1, 25),
    read=st.integers(1, 25),
)
def test_every_row_is_read_once_and_in_order(tmp_path_factory, counts, group, rows, chunk, read):
    folder = tmp_path_factory.mktemp("in")
    for number, count in enumerate(counts):
        table = pa.table({"n": pa.array(range(count), pa.int64()), "text": ["x"] * count})
        parquet.write_table(table, folder / f"{number}.parquet", row_group_size=group)
    cut = cut_shards(find_inputs([str(folder)]), rows)
    assert [shard.number for shard in cut] == list(range(len(cut)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_ROWS", chunk)
        patch.setattr(shards, "_ROWS_READ", read)
        found = []
        for shard in cut:
            assert 0 < shard.rows <= rows
            chunks = list(read_chunks(shard, ["n"]))
            assert all(part.column_names == ["n"] for part in chunks)
            values = [value for part in chunks for value in part["n"].to_pylist()]
            assert values == list(range(shard.first, shard.first + shard.rows))
            found += [(shard.input.name, value) for value in values]
    expected = [(f"{i}.parquet", value) for i, count in enumerate(counts) for value in range(count)]
    assert found == expected


def test_large_cells_make_small_chunks(tmp_path):
    texts = ["x" * 300_000] * 600
    parquet.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    (shard,) = cut_shards(find_inputs([str(tmp_path)]), 1000)
    sizes = [chunk.num_rows for chunk in read_chunks(shard, ["text"])]
    assert sizes == [256, 256, 88]


def test_memory_does_not_grow_with_the_file(tmp_path):
    # 40 MB that do not compress, in a single row group.
    texts = [os.urandom(1000).hex() for _ in range(20_000)]
    parquet.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", row_group_size=20_000)
    del texts
    before = pa.total_allocated_bytes()
    most = 0
    for shard in cut_shards(find_inputs([str(tmp_path)]), 8000):
        for _ in read_chunks(shard, ["text"]):
            most = max(most, pa.total_allocated_bytes() - before)
    assert most < 16 << 20


def test_patterns_name_files_by_what_they_share(tmp_path):
    for name in ("in/b/1.parquet", "in/a/1.parquet", "in/a/_hidden.parquet", "in/a/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.table({"text": ["x"]}), path)
    pattern = str(tmp_path / "in" / "**" / "*.parquet")
    twice = [pattern, str(tmp_path / "in" / "a")]
    assert [file.name for file in find_inputs(twice)] == ["a/1.parquet", "b/1.parquet"]
    with pytest.raises(DataError, match="names no Parquet file"):
        find_inputs([str(tmp_path / "*.parquet")])


def test_a_folder_among_files_stands_for_its_files(tmp_path):
    for name in ("a.parquet", "b.parquet/part-0.parquet", "b.parquet/_SUCCESS", "c.parquet/x.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        parquet.write_table(pa.table({"text": ["x"]}), path)
    with pytest.raises(DataError, match=r"c\.parquet is a folder without \.parquet files"):
        find_inputs([str(tmp_path)])
    (tmp_path / "c.parquet").rename(tmp_path / "c")
    for named in (str(tmp_path), str(tmp_path / "*.parquet"), str(tmp_path / "*")):
        names = [file.name for file in find_inputs([named])]
        assert names == ["a.parquet", "b.parquet/part-0.parquet"]


def test_what_is_no_parquet_file_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"a\.parquet is not a whole Parquet file"):
        find_inputs([str(tmp_path)])


def test_a_file_that_lost_rows_or_a_column_is_noticed(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": ["x"] * 9}), path)
    (shard,) = cut_shards(find_inputs([str(path)]), 100)
    parquet.write_table(pa.table({"text": ["x"] * 8}), path)
    with pytest.raises(DataError, match="has fewer now"):
        list(read_chunks(shard, ["text"]))
    with pytest.raises(DataError, match=r"must have the columns 'id', and .* has no 'id'"):
        list(read_chunks(shard, ["id"]))
