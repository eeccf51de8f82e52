"""Energy of what runs, where the machine tells it: the processor's own counters under Linux (RAPL).

Many machines do not: counters need a processor that has them and, since 2020, permission to read
them; virtual machines hide them. Then nothing is reported, rather than a guess from a data sheet.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["EnergyMeter"]

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Reads the counters of the processor packages; memory and cores are parts of those.

    Args:
        folder: where the kernel shows them.

    Example:
        >>> EnergyMeter(Path("nowhere")).read() is None
        True
    """

    def __init__(self, folder: Path = POWERCAP) -> None:
        self._counters: list[tuple[Path, int]] = []
        # intel-rapl:0 is a package, intel-rapl:0:1 a part of it; AMD's bear Intel's name too.
        for zone in sorted(folder.glob("intel-rapl:*")):
            if zone.name.count(":") != 1:
                continue
            try:
                (zone / "energy_uj").read_text()
                largest = int((zone / "max_energy_range_uj").read_text())
            except (OSError, ValueError):
                self._counters = []
                return
            self._counters.append((zone / "energy_uj", largest))

    def read(self) -> list[int] | None:
        """The counters in microjoules; None where the machine does not tell."""
        if not self._counters:
            return None
        return [int(path.read_text()) for path, _ in self._counters]

    def joules(self, before: list[int] | None, after: list[int] | None) -> float | None:
        """Joules between two readings; a counter that began anew in between is allowed for."""
        if before is None or after is None:
            return None
        micro = 0
        for (_, largest), start, end in zip(self._counters, before, after, strict=True):
            micro += end - start if end >= start else end - start + largest
        return micro / 1e6
