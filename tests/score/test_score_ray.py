"""On a Ray cluster a run writes what it writes here, also where a node is lost during the run."""

import os
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from tersely.errors import DataError, ScoringError
from tersely.score import score

# Ray's own warnings are of sockets and of its future.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

SHARD_ROWS = 10


@pytest.fixture
def cluster(monkeypatch):
    """Three nodes of one core on this machine; the driver stands at the head, which has none."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    source = Path(__file__).parents[2] / "src"
    path = os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("RAY_DEDUP_LOGS", "0")
    store = {"object_store_memory": 80 << 20}
    # Ray gives way to everything else on a machine, which on a busy one never ends.
    polite = {"_system_config": {"worker_niceness": 0}}
    head = {"num_cpus": 0, "include_dashboard": False, **polite, **store}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        nodes.add_node(num_cpus=1, **store)
    nodes.wait_for_nodes()
    yield nodes
    nodes.shutdown()


def same(one: Path, two: Path) -> bool:
    names = sorted(path.relative_to(one) for path in one.rglob("*.parquet"))
    assert names == sorted(path.relative_to(two) for path in two.rglob("*.parquet"))
    return all(parquet.read_table(one / n).equals(parquet.read_table(two / n)) for n in names)


def test_a_node_that_is_killed_costs_no_row(model, write, damage, tmp_path, cluster):
    import ray

    texts = [None if n % 31 == 0 else f"cat word{n % 40}" for n in range(1500)]
    write("a.parquet", 1500, texts=texts)
    here, there = tmp_path / "here", tmp_path / "there"
    options = {"id_columns": ["id"], "shard_rows": SHARD_ROWS, "device": "cpu"}
    score(model, tmp_path / "in", here, workers=1, **options)
    told, lost = [], []

    def tell(rows, *_) -> None:
        told.append(rows)
        used = ray.cluster_resources().get("CPU", 0) - ray.available_resources().get("CPU", 0)
        if not lost and used >= 2 and rows > 50:
            node = cluster.list_all_nodes()[-1]
            cluster.remove_node(node, allow_graceful=False)
            lost.append(rows)

    score(model, tmp_path / "in", there, ray=cluster.address, progress=tell, **options)
    assert lost and lost[0] < 1500 and told[-1] == 1500
    assert same(here, there)
    # And what a machine began, a cluster goes on with.
    for number in (0, 7, 149):
        (there / f"part-{number:06d}.parquet").unlink()
    again = score(model, tmp_path / "in", there, ray=cluster.address, **options)
    assert again.resumed == 1500 - 3 * SHARD_ROWS and same(here, there)
    # Errors of an actor are those of tersely.
    path = write("b.parquet", 210)
    damage(path, 29)
    with pytest.raises(DataError, match=r"b\.parquet cannot be read"):
        score(model, path, tmp_path / "out", device="cpu", ray=cluster.address)


def test_a_cluster_that_is_not_there(model, write, tmp_path):
    pytest.importorskip("ray")
    path = write("a.parquet", 5)
    out = tmp_path / "out"
    score(model, path, out, device="cpu", workers=1)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(ScoringError, match="cannot be reached"):
        score(model, path, out, device="cpu", ray="auto", overwrite=True)
    assert before == {file.name: file.read_bytes() for file in out.iterdir()}
