"""The same shards on a Ray cluster, through Ray Data and a pool of actors.

Ray Data could keep account of finished rows itself (`DataContext.checkpoint_config`), by a column
of unique ids that not every input has. The parts already say which shards are finished, on one
machine and on a cluster alike, so they are asked here too: when a node is lost, Ray gives its
shards to others, and a shard whose part is there is not done again.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from tersely.errors import ScoringError, TerselyError, TerselyWarning, require
from tersely.score.parts import Count, finished
from tersely.score.pool import Teller
from tersely.score.predictor import Predictor
from tersely.score.shards import Shard
from tersely.score.worker import Job, score_shard

__all__ = ["connected", "run_ray"]

_MOST_BLOCKS = 4096


def run_ray(
    job: Job, shards: Sequence[Shard], ray: Any, workers: int | None, tell: Teller
) -> dict[int, Count]:
    """Score shards on a Ray cluster; every node must see model, inputs and output by their paths.

    Args:
        job: what is the same for all shards.
        shards: those to be done, at least one.
        ray: what `connected` yields.
        workers: most actors, of one core each; None for one a core of the cluster.
        tell: who is told how far it is.

    Returns:
        What was counted, by the shard's number.

    Raises:
        ScoringError: if the cluster gives up.
        TerselyError: whatever an actor raised.
    """
    data = require("ray.data", "ray")
    most = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    on_gpu = str(job.options.get("device", "")).startswith("cuda")
    dataset = data.from_items(
        [{"position": position} for position in range(len(shards))],
        override_num_blocks=min(len(shards), _MOST_BLOCKS),
    ).map_batches(
        _Actor,
        fn_constructor_kwargs={"job": job, "shards": list(shards), "on_gpu": on_gpu},
        batch_size=1,
        batch_format="pyarrow",
        compute=data.ActorPoolStrategy(min_size=1, max_size=min(most, len(shards))),
        **({"num_gpus": 1} if on_gpu else {"num_cpus": 1}),
    )
    counts: dict[int, Count] = {}
    tell.begin()
    with _plain_errors():
        for row in dataset.iter_rows():
            for text in row["warnings"]:
                tell.warn(text)
            if row["failure"] is not None:
                raise pickle.loads(row["failure"])
            counts[row["number"]] = Count(**row["count"])
            tell.add(row["count"]["rows"])
    return counts


class _Actor:
    """A model in a process of the cluster; one shard a call."""

    def __init__(self, job: Job, shards: Sequence[Shard], on_gpu: bool) -> None:
        self.job = job
        self.shards = shards
        # Ray would hand on what is raised here as text alone, so it is returned instead.
        self.failure: TerselyError | None = None
        try:
            self.predictor = Predictor(job.model, threads=None if on_gpu else 1, **job.options)
        except TerselyError as error:
            self.failure = error

    def __call__(self, batch: Any) -> Any:
        rows = []
        for position in batch["position"].to_pylist():
            shard = self.shards[position]
            said: list[str] = []
            counted = finished(Path(self.job.out), [shard], self.job.run).get(shard.number)
            failure = self.failure
            if counted is None and failure is None:
                try:
                    counted, said = self._score(shard)
                except TerselyError as error:
                    failure = error
            rows.append(
                {
                    "number": shard.number,
                    "count": asdict(counted or Count()),
                    "warnings": said,
                    "failure": None if counted else pickle.dumps(failure),
                }
            )
        # An empty list alone would have no type.
        fields = [
            ("number", pa.int64()),
            ("count", pa.struct([(name, pa.int64()) for name in asdict(Count())])),
            ("warnings", pa.list_(pa.string())),
            ("failure", pa.binary()),
        ]
        return pa.Table.from_pylist(rows, pa.schema(fields))

    def _score(self, shard: Shard) -> tuple[Count, list[str]]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", TerselyWarning)
            counted = score_shard(self.predictor, shard, self.job, lambda rows: None)
        return counted, [str(warning.message) for warning in caught]


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster; a connection that was there before is used and kept.

    Args:
        address: of the cluster, as `ray.init` takes it; `"auto"` for the one of this machine,
            `"local"` to start one here.

    Raises:
        MissingExtraError: if Ray is not installed.
        ScoringError: if the cluster cannot be reached.
    """
    ray = require("ray", "ray")
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ScoringError(
                f"the Ray cluster {address} cannot be reached: {reason}; start one with ray start "
                "--head, or give its address"
            ) from error
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


@contextmanager
def _plain_errors() -> Iterator[None]:
    """One sentence in place of Ray's account of what went wrong."""
    ray = require("ray", "ray")
    try:
        yield
    except ray.exceptions.RayError as error:
        raise ScoringError(
            f"the Ray cluster gave up: {str(error).strip().splitlines()[-1]}; run this again, "
            "which goes on where it was"
        ) from error
