"""`tersely serve` up to the socket: what is said at the end."""

from __future__ import annotations

import sys

import pytest

import tersely.serve.app
from commands import run_command


@pytest.mark.parametrize(
    ("cut_off", "at_once", "code", "said"),
    [
        (0, False, 0, "stopped; all accepted requests were answered"),
        (2, False, 1, "warning: stopped without waiting; 2 accepted documents got no answer"),
        (2, True, 130, "warning: stopped without waiting; 2 accepted documents got no answer"),
    ],
)
def test_what_got_no_answer_is_said(model, monkeypatch, cut_off, at_once, code, said):
    def end(service, *_, **__) -> bool:
        service.cut_off = cut_off
        return at_once

    monkeypatch.setattr(tersely.serve.app, "make_app", lambda service, **_: service)
    monkeypatch.setattr(tersely.serve.app, "serve_app", end)
    monkeypatch.setattr(tersely.serve.app, "leave", sys.exit)
    result = run_command("serve", model, "--port", 0, "--device", "cpu")
    assert (result.exit_code, result.stderr) == (code, f"tersely: {said}\n")
