"""`tersely methods`: the presets of token reduction and their options."""

from __future__ import annotations

from tersely.cli import options as o
from tersely.cli.messages import plain_table, print_json, print_table
from tersely.cli.settings import verb


@verb
def methods(json: o.Json = False) -> None:
    """List the methods of token reduction and their options."""
    from tersely.reduction import preset_is_measured, preset_options, preset_summary, presets

    if json:
        print_json(
            {
                name: {
                    "summary": preset_summary(name),
                    "options": preset_options(name),
                    "measured": preset_is_measured(name),
                }
                for name in presets()
            }
        )
        return
    table = plain_table(padding=(0, 2, 1, 0))
    table.add_column("method", no_wrap=True)
    table.add_column("what it does, and its options for --method-option")
    for name in presets():
        options = " ".join(f"{key}={_short(value)}" for key, value in preset_options(name).items())
        note = "" if preset_is_measured(name) else " Not measured yet."
        shown = f"\n[dim]{options}[/dim]" if options else ""
        table.add_row(name, preset_summary(name) + note + shown)
    print_table(table)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
