"""A server in a thread of the test's process, with a real socket, and models to serve."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from prometheus_client.parser import text_string_to_metric_families
from transformers import AutoModelForSequenceClassification

from tersely import Classifier, preset
from tersely.modeling import from_encoder
from tersely.serve import Limits
from tersely.serve.app import listen, make_app
from tersely.serve.service import Service
from tiny import tiny_config
from words import LABELS, save_encoder, tokenizer

NAMES = dict(enumerate(LABELS))


def save_trained(folder: Path, method: str = "focus-pfc", **options: Any) -> Path:
    """A tersely model with random weights."""
    encoder = save_encoder(folder / "encoder")
    model = from_encoder(str(encoder), plan=preset(method, **options), id2label=NAMES)
    model.head.classifier.weight.data.mul_(20)
    model.save_pretrained(folder / method)
    tokenizer().save_pretrained(folder / method)
    return folder / method


def save_stock(folder: Path, **fields: Any) -> Path:
    """A fine-tuned classifier of transformers with random weights."""
    config = tiny_config("bert", **({"id2label": NAMES} | fields))
    model = AutoModelForSequenceClassification.from_config(config)
    model.classifier.weight.data.mul_(5)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def wait_until(condition: Any, seconds: float = 20) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@contextlib.contextmanager
def serving(
    model: Classifier | Path,
    *,
    api_key: str | None = None,
    wait: bool = True,
    audit: float = 0.0,
    **limits: Any,
) -> Iterator[tuple[httpx2.Client, Service, uvicorn.Server]]:
    """A client of a server, its service, and the server itself; at the end it is shut down."""
    if isinstance(model, Path):
        model = Classifier.from_pretrained(model, device="cpu", batch_tokens=256)
    service = Service(model, Limits(**limits), share=audit)
    bound = listen("127.0.0.1", 0)
    app = make_app(service, name="tiny", api_key=api_key)
    config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    address = f"http://127.0.0.1:{bound.getsockname()[1]}"
    try:
        with httpx2.Client(base_url=address, timeout=30) as client:
            if wait:
                wait_until(lambda: service.ready)
            yield client, service, server
    finally:
        server.should_exit = True
        thread.join(30)
        bound.close()
        assert not thread.is_alive()


def figures(client: httpx2.Client) -> dict[str, float]:
    """All samples of /metrics by name and labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return {each.name + "".join(sorted(each.labels.values())): each.value for each in samples}


def slow_down(service, seconds: float) -> threading.Event:
    """Make every batch take that long; the event is set while one runs."""
    run, running = service._batcher._run, threading.Event()

    def slow(items):
        running.set()
        time.sleep(seconds)
        return run(items)

    service._batcher._run = slow
    return running
