"""Shards hold every row of the inputs once, in order, however the files are laid out."""

import os

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.errors import DataError, TerselyWarning
from tersely.score import inputs
from tersely.score.inputs import cut_shards, find_inputs, read_chunks, resolve_types


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
        patch.setattr(inputs, "_ROWS", chunk)
        patch.setattr(inputs, "_ROWS_READ", read)
        found = []
        for shard in cut:
            assert 0 < shard.rows <= rows
            chunks = list(read_chunks(shard, ["n"], {}))
            assert all(part.column_names == ["n"] for part in chunks)
            values = [value for part in chunks for value in part["n"].to_pylist()]
            assert values == list(range(shard.first, shard.first + shard.rows))
            found += [(shard.input.name, value) for value in values]
    expected = [(f"{i}.parquet", value) for i, count in enumerate(counts) for value in range(count)]
    assert found == expected


def test_memory_does_not_grow_with_the_file(tmp_path):
    # 40 MB that do not compress, in a single row group.
    texts = [os.urandom(1000).hex() for _ in range(20_000)]
    parquet.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", row_group_size=20_000)
    del texts
    before = pa.total_allocated_bytes()
    most = 0
    for shard in cut_shards(find_inputs([str(tmp_path)]), 8000):
        for _ in read_chunks(shard, ["text"], {}):
            most = max(most, pa.total_allocated_bytes() - before)
    assert most < 16 << 20


def write(folder, *names, table=None) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.table({"text": ["x"]}) if table is None else table, path)


def test_a_folder_stands_for_all_files_below_it_and_others_are_named(tmp_path):
    """F6: of a folder, files of other suffixes and in other folders were left out silently."""
    names = ["C.PARQUET", "a.parquet", "d.pq", "more.parquet/e.parquet", "year=2024/b.parquet"]
    write(tmp_path, *names)
    for pattern in (str(tmp_path), str(tmp_path / "*")):
        assert [file.name for file in find_inputs([pattern, pattern])] == names
    below = [file.name for file in find_inputs([str(tmp_path / "**" / "*.parquet")])]
    assert below == ["a.parquet", "more.parquet/e.parquet", "year=2024/b.parquet"]
    write(tmp_path, "_old/f.parquet", "more.parquet/_SUCCESS", "notes.txt")
    with pytest.warns(TerselyWarning, match="^2 files are skipped, .*_old/f.*notes"):
        assert [file.name for file in find_inputs([str(tmp_path)])] == names
    with pytest.raises(DataError, match="matches no Parquet file"):
        find_inputs([str(tmp_path / "*.csv")])


def test_a_column_has_one_type_in_all_parts(tmp_path):
    """F5: a column that is all null in one file made parts that no reader could put together."""
    ids = {
        "a": pa.nulls(2),
        "b": pa.array(["x", "y"]).dictionary_encode(),
        "c": pa.array(["x", "y"], pa.string_view()),
    }
    for name, cells in ids.items():
        write(tmp_path, f"{name}.parquet", table=pa.table({"text": ["t", "t"], "id": cells}))
    files = find_inputs([str(tmp_path)])
    types = resolve_types(files, ["text"], ["id"])
    tables = [next(read_chunks(s, ["text", "id"], types)) for s in cut_shards(files, 9)]
    assert {table.schema for table in tables} == {tables[0].schema}
    assert [table["id"].to_pylist() for table in tables] == [[None] * 2, ["x", "y"], ["x", "y"]]
    write(tmp_path, "d.parquet", table=pa.table({"text": ["t"], "id": [7]}))
    with pytest.raises(DataError, match=r"'id' must be of one type .*string vs int64"):
        resolve_types(find_inputs([str(tmp_path)]), ["text"], ["id"])


def test_columns_of_one_name_are_refused(tmp_path):
    """F15: a traceback of pyarrow's."""
    table = pa.table([["x"], ["y"]], names=["text", "text"])
    write(tmp_path, "a.parquet", table=table)
    with pytest.raises(DataError, match=r"a\.parquet has several named 'text'; rename them"):
        find_inputs([str(tmp_path)])
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"a\.parquet is not a complete Parquet file"):
        find_inputs([str(tmp_path)])


def test_a_file_that_lost_rows_or_a_column_is_noticed(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": ["x"] * 9}), path)
    (shard,) = cut_shards(find_inputs([str(path)]), 100)
    parquet.write_table(pa.table({"text": ["x"] * 8}), path)
    with pytest.raises(DataError, match="has fewer now"):
        list(read_chunks(shard, ["text"], {}))
    with pytest.raises(DataError, match=r"must have the columns 'id', and .* has no 'id'"):
        list(read_chunks(shard, ["id"], {}))
