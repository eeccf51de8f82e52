"""Starts a run and kills it, again and again; `python killing.py MODEL INPUTS OUT KILLS SEED`.

To import everything takes seconds and to score these rows takes none, so runs are forked from this
process, and so are their workers. Prints how many of the runs were killed before their end.
"""

import multiprocessing
import os
import random
import signal
import sys
import time

from tersely.score import score

SETTINGS = {"id_columns": ["id"], "shard_rows": 10, "device": "cpu", "workers": 2}


def run(model: str, inputs: str, out: str) -> None:
    """A run in this process, as `tersely score` makes it."""
    os.setsid()
    context = multiprocessing.get_context("fork")
    multiprocessing.get_context = lambda method=None: context
    multiprocessing.get_all_start_methods = lambda: ["fork"]
    score(model, inputs, out, **SETTINGS)


def main(model: str, inputs: str, out: str, kills: str, seed: str) -> None:
    """Kill so many runs after random times, and let the last one finish."""
    chance = random.Random(int(seed))
    killed = 0
    for turn in range(int(kills) + 1):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                run(model, inputs, out)
                code = 0
            finally:
                os._exit(code)
        if turn < int(kills):
            time.sleep(chance.uniform(0.0, 1.0))
            # In turns the parent alone, whose workers have to notice, and all of them at once.
            try:
                (os.kill if turn % 2 else os.killpg)(pid, signal.SIGKILL)
            except ProcessLookupError:
                os.kill(pid, signal.SIGKILL)  # killed before it had a group of its own
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        killed += status == -signal.SIGKILL
        if status not in (0, -signal.SIGKILL):
            sys.exit(f"run {turn} ended with {status}")
    print(killed)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
