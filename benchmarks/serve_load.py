"""The server under load: latency at what it can take, and at ten times as much.

    python benchmarks/serve_load.py --model DIRECTORY

`tersely serve` runs in a process of its own, with a queue of 64 documents. What it can take is
measured first: a few clients, each asking again as soon as it has its answer. Then requests are
sent at a fixed rate, whatever becomes of the earlier ones, at 0.7, 1 and 10 times that rate.
Every request must end in an answer or in a 429; p50 and p99 are those of the answers, from the
moment that the client has one of its 400 connections free. Client and server share the machine.

Texts are random words of the model's vocabulary, 10 to 200 of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence

import httpx2
import numpy as np

from common import parser, write
from tersely._io import describe_machine
from tersely.modeling.loading import load_tokenizer

QUEUE = 64
CONNECTIONS = 400


def texts_of(model: str, count: int = 200) -> list[str]:
    """Random words, 10 to 200 a text."""
    words = sorted(word for word in load_tokenizer(model, {}).get_vocab() if word.isalpha())
    chance = random.Random(0)
    return [" ".join(chance.choices(words, k=chance.randint(10, 200))) for _ in range(count)]


class Client:
    """Requests over a limited number of connections, none of which waits inside the library."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http
        self._free = asyncio.Semaphore(CONNECTIONS)

    async def ask(self, text: str, seen: list[tuple[int | str, float]]) -> None:
        """One request; its status, or what went wrong, and its seconds."""
        async with self._free:
            begun = time.monotonic()
            try:
                answer = await self.http.post("/predict", json={"inputs": text})
                status: int | str = answer.status_code
            except httpx2.HTTPError as error:
                status = type(error).__name__
            seen.append((status, time.monotonic() - begun))


async def saturate(client: Client, texts: list[str], seconds: float) -> float:
    """Documents a second that 16 clients get answered."""
    seen: list[tuple[int | str, float]] = []
    end = time.monotonic() + seconds

    async def keep_asking(first: int) -> None:
        number = first
        while time.monotonic() < end:
            await client.ask(texts[number % len(texts)], seen)
            number += 16

    begun = time.monotonic()
    await asyncio.gather(*(keep_asking(number) for number in range(16)))
    assert {status for status, _ in seen} == {200}, Counter(status for status, _ in seen)
    return len(seen) / (time.monotonic() - begun)


async def load(client: Client, texts: list[str], rate: float, seconds: float) -> dict:
    """Send at a rate, evenly, and wait for all answers."""
    seen: list[tuple[int | str, float]] = []
    begun = time.monotonic()
    tasks = []
    for number in range(max(1, round(rate * seconds))):
        delay = begun + number / rate - time.monotonic()
        if delay > 0:
            await asyncio.sleep(delay)
        tasks.append(asyncio.create_task(client.ask(texts[number % len(texts)], seen)))
    sent = time.monotonic() - begun
    await asyncio.gather(*tasks)
    answered = [took * 1000 for status, took in seen if status == 200]
    # Every request must be answered or refused; anything else is a fault of the server's.
    others = Counter(status for status, _ in seen if status not in (200, 429))
    if others:
        raise SystemExit(f"requests neither answered nor refused: {dict(others)}")
    return {
        "rate_asked": rate,
        "rate_sent": len(tasks) / sent,
        "requests": len(tasks),
        "statuses": {str(k): n for k, n in sorted(Counter(s for s, _ in seen).items(), key=str)},
        "answers_per_second": len(answered) / (time.monotonic() - begun),
        "p50_ms": float(np.percentile(answered, 50)),
        "p95_ms": float(np.percentile(answered, 95)),
        "p99_ms": float(np.percentile(answered, 99)),
    }


async def measure(
    address: str, texts: list[str], seconds: float, rates: Sequence[float] = (0.7, 1.0, 10.0)
) -> dict:
    """The capacity, and loads at so many times of it."""
    most = {"max_connections": CONNECTIONS, "max_keepalive_connections": CONNECTIONS}
    limits = httpx2.Limits(**most)
    async with httpx2.AsyncClient(base_url=address, timeout=120, limits=limits) as http:
        while True:
            try:
                if (await http.get("/health")).status_code == 200:
                    break
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.1)
        client = Client(http)
        capacity = await saturate(client, texts, seconds)
        loads = {}
        for times in rates:
            loads[f"{times:g}x"] = await load(client, texts, capacity * times, seconds)
    return {"capacity_documents_per_second": capacity, "loads": loads}


def under_load(model: str, texts: list[str], seconds: float, *more: str) -> dict:
    """Start the server with these options, measure, stop it."""
    options = ["--port", "0", "--device", "cpu", "--max-concurrent-requests", str(QUEUE), *more]
    process = subprocess.Popen(
        [sys.executable, "-m", "tersely", "serve", model, *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = re.search(r"http://[\d.:]+", process.stderr.readline()).group()
        record = asyncio.run(measure(address, texts, seconds))
    finally:
        process.terminate()
        process.wait(60)
    assert process.returncode == 0
    return record | {"queue": QUEUE, "load_average_after": os.getloadavg()[0]}


def main() -> None:
    """Measure and write the JSON."""
    options = parser(__doc__, "serve.json")
    options.add_argument("--model", required=True)
    options.add_argument("--seconds", type=float, default=20)
    args = options.parse_args()
    record = under_load(args.model, texts_of(args.model), args.seconds)
    record["machine"] = describe_machine()
    print(json.dumps(record, indent=1))
    write(args.out, record)


if __name__ == "__main__":
    main()
