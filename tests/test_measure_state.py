"""What is planted is flagged, what is clean is not: throttling, foreign load, drift."""

import time
from types import SimpleNamespace

import pytest
from fake_device import FakeDevice, lognormal

from alphaflops import experiments
from alphaflops import measuring as measure
from alphaflops.host import cpu
from alphaflops.host.gpu import Card
from alphaflops.measuring import session
from alphaflops.measuring.monitor import CpuSensors, GpuSensors, Watch
from alphaflops.measuring.sampling import heat

GRID = experiments.grid("smoke")
OPTIONS = measure.Options(device="cpu", threads=1, profile="smoke")


def measured(tmp_path, device, grid=GRID):
    return session.run(grid, tmp_path / "run", OPTIONS, device=device)


def test_throttled_rows_are_flagged(tmp_path):
    device = FakeDevice(base_ms=2.0)
    real, count = device.prepare, []

    def prepare(layer):
        count.append(layer)
        slow = len(count) % 5 == 0
        device.sensors.readings["sm_clock_mhz"] = 900.0 if slow else 1500.0  # 60 % of the best, under 75 %
        return real(layer)

    device.prepare = prepare
    run = measured(tmp_path, device)
    throttled = run.table["flags"].str.contains("throttled")
    assert throttled.equals(run.table["sm_clock_mhz"] == 900)
    assert 5 < throttled.sum() < 20
    assert (run.table.loc[throttled, "throttle"] == "low-clock").all()
    assert measure.summary(run)["throttled"] == throttled.sum()


@pytest.mark.parametrize(("bits", "reason"), [(0x40, "thermal-hardware"), (0x4, "power-cap"), (0x1, ""), (0x2, "")])
def test_throttle_reasons_of_nvml(bits, reason):
    device = FakeDevice()
    device.sensors.readings["throttle_bits"] = bits
    watch = Watch(device.sensors)
    watch.begin()
    state = watch.end()
    assert state["throttle"] == reason


def test_foreign_load_is_flagged(tmp_path):
    device = FakeDevice(base_ms=5.0)
    device.sensors.foreign_cores = 0.8
    run = measured(tmp_path, device)
    assert run.table["load"].dropna().to_numpy() == pytest.approx(0.8, abs=0.01)
    assert run.table["flags"].str.contains("foreign-load").mean() > 0.9


def test_other_processes_on_the_gpu_are_counted():
    device = FakeDevice()
    device.sensors.readings["processes"] = 2
    watch = Watch(device.sensors)
    watch.begin()
    assert watch.end()["processes"] == 2


@pytest.mark.parametrize(
    ("sentinel_s", "law", "ms", "seconds"),
    [
        (20.0, lambda s: max(1.0, 5.0 - s), 1.0, 4.2),  # until it is warm
        (5.0, lambda s: 1.0 + s, 6.0, 5.0),  # never warm: no longer than that
        (1.0, lambda s: max(1.0, 5.0 - s), 5.0, 0.1),  # readings that come sooner than a machine warms: one
    ],
)
def test_work_before_the_first_reading_ends(sentinel_s, law, ms, seconds):
    device = FakeDevice(lognormal(1e-9), speed=law)
    assert heat(device, sentinel_s) == pytest.approx(ms, rel=0.2)
    assert device.now_ns / 1e9 == pytest.approx(seconds, rel=0.3)


def test_planted_drift_is_found(tmp_path):
    found = 0
    for seed in range(10):
        device = FakeDevice(seed=seed, base_ms=12.0, speed=lambda s: 1 + 0.01 * s)
        run = session.run(GRID, tmp_path / str(seed), OPTIONS, device=device)
        found += run.sentinel.verdict == "drifted"
        assert run.sentinel.moved > 0.03
    assert found == 10


def test_clean_runs_are_not_flagged(tmp_path):
    false_rows = false_verdicts = 0
    for seed in range(20):
        device = FakeDevice(lognormal(0.03), seed=seed, base_ms=12.0)
        run = session.run(GRID, tmp_path / str(seed), OPTIONS, device=device)
        false_verdicts += run.sentinel.verdict != "steady"
        assert run.sentinel.readings >= 6
        false_rows += run.table["flags"].str.contains("throttled|foreign-load").any()
    assert false_rows == 0
    assert false_verdicts <= 1  # 5 % of 20


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A machine whose ``/proc`` and ``/sys`` hold what a test writes."""
    monkeypatch.setattr(cpu, "ROOT", tmp_path)

    def plant(**contents):
        for name, text in contents.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return plant


def test_cpu_sensors_read_proc_and_sys(planted):
    core = "sys__devices__system__cpu__cpu0__"
    planted(
        proc__stat="cpu  100 10 50 9999 7 1 2 37 0 0\ncpu0 1 1 1\n",
        **{
            core + "cpufreq__scaling_cur_freq": "3200000\n",
            core + "thermal_throttle__core_throttle_count": "4\n",
        },
    )
    sensors = CpuSensors()
    # 100 + 10 + 50 + 1 + 2 + 37 (stolen) ticks of 10 ms; idle and waiting left out
    assert cpu.busy_s() == pytest.approx(2.0)
    own = time.process_time()
    assert 2.0 - own >= sensors.foreign_s() >= 2.0 - time.process_time()
    assert sensors.read() == {
        "cpu_mhz": 3200.0,
        "throttle_events": 4.0,
    }


def test_cpu_clock_from_cpuinfo_and_nothing_at_all(planted):
    empty = CpuSensors().read()
    assert empty == {"cpu_mhz": None, "throttle_events": 0}
    planted(proc__cpuinfo="processor: 0\ncpu MHz\t\t: 2596.5\n")
    assert CpuSensors().read()["cpu_mhz"] == 2596.5


def test_thermal_events_over_a_row():
    device = FakeDevice()
    device.sensors.readings = {"throttle_events": 1}
    watch = Watch(device.sensors)
    watch.begin()
    device.sensors.readings = {"throttle_events": 2}
    assert watch.end()["throttle"] == "thermal"


def test_gpu_sensors_survive_unsupported_fields():
    def refuse(*_):
        raise RuntimeError("Not Supported")

    library = SimpleNamespace(
        NVML_CLOCK_SM=1,
        NVML_TEMPERATURE_GPU=0,
        nvmlDeviceGetPowerUsage=lambda _h: 71_500,
        nvmlDeviceGetClockInfo=lambda _h, what: {1: 1740}[what],
        nvmlDeviceGetTemperature=refuse,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda _h: 0x20,
        nvmlDeviceGetComputeRunningProcesses=lambda _h: [1],
    )
    read = GpuSensors(Card(library, object())).read()
    assert read["power_w"] == 71.5
    assert read["sm_clock_mhz"] == 1740
    assert read["temperature_c"] is None
    assert read["throttle_bits"] == 0x20
    assert read["processes"] == 1


def test_there_is_no_busy_time_where_there_is_no_proc(planted):
    assert CpuSensors().foreign_s() is None


def test_a_machine_that_tells_no_busy_time_has_no_load():
    device = FakeDevice()
    device.sensors.foreign_s = lambda: None
    watch = Watch(device.sensors)
    watch.begin()
    device.now_ns += 2_000_000_000
    assert watch.end()["load"] is None
