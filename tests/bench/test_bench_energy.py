"""Counters of the processor's packages, where there are any that may be read."""

import pytest

from tersely.bench import EnergyMeter


def zone(folder, name, value, largest=1000):
    place = folder / name
    place.mkdir()
    (place / "energy_uj").write_text(f"{value}\n")
    (place / "max_energy_range_uj").write_text(f"{largest}\n")
    return place / "energy_uj"


def test_packages_are_summed_and_their_parts_are_not(tmp_path):
    first, second = zone(tmp_path, "intel-rapl:0", 100), zone(tmp_path, "intel-rapl:1", 900)
    zone(tmp_path, "intel-rapl:0:0", 50)
    meter = EnergyMeter(tmp_path)
    before = meter.read()
    first.write_text("300")
    second.write_text("50")  # began anew at 1000
    assert meter.joules(before, meter.read()) == pytest.approx((200 + 150) / 1e6)


def test_nothing_is_guessed(tmp_path):
    assert EnergyMeter(tmp_path).read() is None
    zone(tmp_path, "intel-rapl:0", 100)
    (tmp_path / "intel-rapl:0" / "max_energy_range_uj").unlink()
    meter = EnergyMeter(tmp_path)
    assert meter.read() is None and meter.joules(None, None) is None
