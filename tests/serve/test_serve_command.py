"""`tersely serve` up to the socket: how the model is to be run, and what is said at the end."""

from __future__ import annotations

import json
import sys

import pytest

import tersely.serve.app
from commands import run_command
from serving import save_trained


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = save_trained(tmp_path_factory.mktemp("command"), "topk")
    config = json.loads((folder / "config.json").read_text())
    config["execution"] = {"batch_tokens": 8192, "threads": 3, "precision": "float32"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def serve(model, monkeypatch):
    """Run the command with options, without serving; gives what it said and its service."""
    found = []
    monkeypatch.setattr("torch.set_num_threads", lambda count: None)
    monkeypatch.setattr(
        tersely.serve.app, "make_app", lambda service, **more: found.append(service) or more
    )

    def run(*options, cut_off: int = 0, at_once: bool = False, code: int = 0):
        def end(*_, **__) -> bool:
            found[-1].cut_off = cut_off
            return at_once

        monkeypatch.setattr(tersely.serve.app, "serve_app", end)
        monkeypatch.setattr(tersely.serve.app, "leave", sys.exit)
        result = run_command("serve", model, "--port", 0, "--device", "cpu", *options)
        assert result.exit_code == code, result.stderr
        return result.stderr, found[-1]

    return run


def test_the_model_s_own_numbers_hold_unless_others_are_given(serve):
    said, service = serve()
    assert said == "tersely: stopped; all accepted requests were answered\n"
    assert (service.classifier.batch_tokens, service.classifier.execution.threads) == (8192, 3)
    _, service = serve("--threads", 1, "--batch-tokens", 512)
    assert (service.classifier.batch_tokens, service.classifier.execution.threads) == (512, 1)


@pytest.mark.parametrize(("at_once", "code"), [(False, 1), (True, 130)])
def test_what_got_no_answer_is_said(serve, at_once, code):
    said, _ = serve(cut_off=2, at_once=at_once, code=code)
    wanted = "tersely: warning: stopped without waiting; 2 accepted documents got no answer\n"
    assert said == wanted
