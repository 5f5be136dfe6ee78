"""Joules per call: windows, wrap-around, net of idle, and an honest None."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from fake_device import FakeDevice, lognormal

from alphaflops import experiments
from alphaflops import measuring as measure
from alphaflops.host import Card
from alphaflops.layers import Dense
from alphaflops.measuring import energy, session


class FakeWindow:
    """A device of 20 W at rest and 100 W at work, on the fake clock."""

    def __init__(self, device):
        self.device, self.idle_s, self.began = device, 0.0, 0.0

    def begin(self):
        self.began, self.idle_s = self.device.now_ns / 1e9, 0.0

    def sleep(self, seconds):
        self.device.now_ns += round(seconds * 1e9)
        self.idle_s += seconds

    def end(self):
        busy = self.device.now_ns / 1e9 - self.began - self.idle_s
        return 20 * self.idle_s + 100 * busy


def test_net_and_gross_per_call():
    device = FakeDevice(lognormal(1e-9), base_ms=10.0)
    window = FakeWindow(device)
    found = energy.Meter(device, window, sleep=window.sleep).measure(Dense(4, 4), 0.01)
    # 100 W for 10 ms = 1 J gross; without 20 W of idling, 0.8 J
    assert found["energy_gross_j"] == pytest.approx(1.0, rel=1e-3)
    assert found["energy_j"] == pytest.approx(0.8, rel=1e-3)
    assert found["energy_source"] == "counter"
    # 2 s idle + at least 5 s work + 2 s cooling + 2 s idle
    assert device.now_ns / 1e9 >= 11


def test_absent_counter_is_none_with_the_reason(tmp_path):
    found = energy.Meter(FakeDevice(), None, "no counter here").measure(Dense(4, 4), 0.01)
    assert found == {"energy_j": None, "energy_gross_j": None, "energy_source": "none: no counter here"}
    assert energy.rapl_counter(tmp_path) == (None, "no RAPL counter on this machine")


def rapl(root, value, wrap=1_000_000, package=0):
    domain = root / f"intel-rapl:{package}"
    domain.mkdir(exist_ok=True)
    (root / f"intel-rapl:{package}:0").mkdir(exist_ok=True)  # a sub-domain, counted in its parent already
    (domain / "energy_uj").write_text(f"{value}\n")
    (domain / "max_energy_range_uj").write_text(f"{wrap}\n")


def test_rapl_counts_and_wraps(tmp_path):
    rapl(tmp_path, 900_000)
    window, reason = energy.rapl_counter(tmp_path)
    assert reason == ""
    window.begin()
    rapl(tmp_path, 950_000)
    assert window.end() == pytest.approx(0.05)
    rapl(tmp_path, 100_000)  # 1 000 000 − 900 000 + 100 000 µJ
    assert window.end() == pytest.approx(0.2)


def test_each_processor_wraps_by_itself(tmp_path):
    rapl(tmp_path, 900_000)
    rapl(tmp_path, 300_000, wrap=2_000_000, package=1)
    window, _ = energy.rapl_counter(tmp_path)
    window.begin()
    rapl(tmp_path, 100_000)
    rapl(tmp_path, 350_000, wrap=2_000_000, package=1)
    # the first ran over: 1 000 000 − 900 000 + 100 000 µJ; the second went on: 50 000 µJ
    assert window.end() == pytest.approx(0.25)


def test_rapl_that_says_nothing(tmp_path):
    rapl(tmp_path, 0)
    assert "zero" in energy.rapl_counter(tmp_path)[1]
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert "not readable" in energy.rapl_counter(tmp_path)[1]


def refuse(*_):
    raise RuntimeError("Not Supported")


def test_nvml_counts_millijoules():
    readings = iter([1000, 2000, 5500])
    library = SimpleNamespace(nvmlDeviceGetTotalEnergyConsumption=lambda _h: next(readings))
    window, _ = energy.nvml_counter(Card(library, object()))
    window.begin()
    assert window.end() == pytest.approx(3.5)


def test_nvml_without_anything():
    library = SimpleNamespace(nvmlDeviceGetTotalEnergyConsumption=refuse)
    window, reason = energy.nvml_counter(Card(library, object()))
    assert window is None
    assert reason == "NVML has no energy counter for this GPU"


def test_chosen_layers_span_the_grid():
    grid = experiments.grid("paper")
    chosen = energy.choose_rows(grid)
    assert 55 <= len(chosen) <= 60
    assert set(chosen["experiment"]) == set(grid["experiment"])
    assert chosen["row"].is_monotonic_increasing
    assert chosen.equals(energy.choose_rows(grid))
    assert len(energy.choose_rows(grid.iloc[:5])) <= 5


def test_energy_run_has_the_columns(tmp_path):
    options = measure.Options(device="cpu", threads=1, profile="smoke", energy=True)
    device = FakeDevice()
    device.kind = "npu"
    run = session.run(experiments.grid("smoke").iloc[:3], tmp_path / "run", options, device=device)
    assert run.table["energy_j"].isna().all()
    assert (run.table["energy_source"] == "none: no energy counter is known for npu").all()
    assert run.meta["energy"] is True


def test_no_energy_is_measured_of_a_layer_that_failed(tmp_path):
    options = measure.Options(device="cpu", threads=1, profile="smoke", energy=True)
    device = FakeDevice()
    device.kind = "npu"
    device.fail = lambda layer: RuntimeError("no") if layer.row()["kind"] == "dense" else None
    run = session.run(experiments.grid("smoke").iloc[:4], tmp_path / "run", options, device=device)
    failed = run.table["status"] == "error"
    assert (run.table["kind"] == "dense").equals(failed)
    assert 0 < failed.sum() < 4
    assert (run.table["energy_source"] == "").equals(failed)


def counter():
    """NVML with an energy counter that stands at 1 J, then at 4 J."""
    readings = iter([1000, 1000, 4000])
    return SimpleNamespace(nvmlDeviceGetTotalEnergyConsumption=lambda _h: next(readings))


@pytest.mark.parametrize("name", ["cuda", "cuda:3"])
def test_a_gpu_is_read_through_nvml(monkeypatch, name):
    asked, device = [], FakeDevice(name=name)
    device.kind = "cuda"
    card = Card(counter(), "handle")
    monkeypatch.setattr(energy, "nvml", lambda index: asked.append(index) or nullcontext(card))
    with energy.open_meter(device) as meter:
        meter.counter.begin()
        assert meter.counter.end() == pytest.approx(3.0)
    assert asked == [int(name.partition(":")[2] or 0)]


def test_a_gpu_without_nvml_gives_no_joules(monkeypatch):
    device = FakeDevice(name="cuda:0")
    device.kind = "cuda"
    monkeypatch.setattr(energy, "nvml", lambda _index: nullcontext(None))
    with energy.open_meter(device) as meter:
        assert meter.measure(Dense(4, 4), 0.01)["energy_source"] == "none: NVML is not available"
