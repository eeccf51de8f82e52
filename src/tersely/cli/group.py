"""What all verbs have in common: errors become one line, an interruption becomes exit code 130."""

from __future__ import annotations

import os
from typing import Any

import typer
from typer.core import TyperGroup

from tersely.cli.failures import explain
from tersely.cli.messages import DEBUG, quiet_libraries, say, tell_warnings

__all__ = ["TerselyGroup"]


class TerselyGroup(TyperGroup):
    """The verbs, with tersely's way of ending: 1 after an error, 130 after an interruption."""

    def invoke(self, ctx: typer.Context) -> Any:
        """Run a verb; what is not tersely's own error and not the machine's fault is a bug."""
        # A verb's own --debug is parsed later, so the libraries' chatter obeys the variable alone.
        chatty = os.environ.get("TERSELY_DEBUG", "0") not in ("", "0")
        with tell_warnings(everything=chatty):
            if not chatty:
                quiet_libraries()
            try:
                return super().invoke(ctx)
            except KeyboardInterrupt:
                say("interrupted")
                raise typer.Exit(130) from None
            # Every exception: libraries report a full disk by exceptions of all kinds. Whatever
            # has no explanation is raised again, as it is.
            except Exception as error:
                explanation = explain(error)
                if explanation is None or ctx.meta.get(DEBUG):
                    raise
                say(explanation, "error")
                raise typer.Exit(1) from None
