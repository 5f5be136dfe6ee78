"""Joules per call: windows, net of idle, and an honest None."""

from types import SimpleNamespace

import pytest
from fake_device import FakeDevice, lognormal

from alphaflops import experiments
from alphaflops import measuring as measure
from alphaflops.host.gpu import Card
from alphaflops.layers import Dense
from alphaflops.measuring import energy, session


class FakeCounter:
    """A device of 20 W at rest and 100 W at work, on the fake clock."""

    def __init__(self, device):
        self.device, self.idle_s = device, 0.0

    def sleep(self, seconds):
        self.device.now_ns += round(seconds * 1e9)
        self.idle_s += seconds

    def __call__(self):
        return 100 * self.device.now_ns / 1e9 - 80 * self.idle_s


def test_net_and_gross_per_call():
    device = FakeDevice(lognormal(1e-9), base_ms=10.0)
    counter = FakeCounter(device)
    found = energy.joules(device, counter, Dense(4, 4), 0.01, counter.sleep)
    # 100 W for 10 ms = 1 J gross; without 20 W of idling, 0.8 J
    assert found["energy_gross_j"] == pytest.approx(1.0, rel=1e-3)
    assert found["energy_j"] == pytest.approx(0.8, rel=1e-3)
    assert found["energy_source"] == "counter"
    # 2 s idle + at least 5 s work + 2 s cooling + 2 s idle
    assert device.now_ns / 1e9 >= 11


def test_absent_counter_is_none_with_the_reason():
    found = energy.joules(FakeDevice(), "no counter here", Dense(4, 4), 0.01)
    assert found == {"energy_j": None, "energy_gross_j": None, "energy_source": "none: no counter here"}


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


def card(consumption):
    """A GPU of NVML whose counter of energy answers as told."""
    return Card(SimpleNamespace(nvmlDeviceGetTotalEnergyConsumption=consumption), "handle")


def test_a_gpu_is_read_through_nvml_which_counts_millijoules():
    device, readings = FakeDevice(name="cuda:3"), iter([1000, 2000, 5500])
    device.kind, device.card = "cuda", card(lambda _handle: next(readings))
    counter = energy.counter_of(device)
    assert [counter(), counter()] == [2.0, 5.5]


def refuse(_handle):
    raise RuntimeError("Not Supported")


@pytest.mark.parametrize("found", [Card(), card(refuse)])
def test_a_gpu_without_a_counter_gives_no_joules(found):
    device = FakeDevice(name="cuda:0")
    device.kind, device.card = "cuda", found
    counter = energy.counter_of(device)
    told = energy.joules(device, counter, Dense(4, 4), 0.01)["energy_source"]
    assert told == "none: NVML is not there or has no energy counter for this GPU"
