"""torch devices: what is computed, timed and refused; CUDA's path through a stand-in, as no GPU is needed to test."""

import logging
import warnings
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from fake_device import FakeDevice, lognormal

from alphaflops import layers as specs
from alphaflops.errors import AlphaflopsError
from alphaflops.host.gpu import Card
from alphaflops.layers import Conv2d, Dense
from alphaflops.measuring import device as devices
from alphaflops.measuring.monitor import GpuSensors
from alphaflops.measuring.protocol import Protocol, for_profile
from alphaflops.measuring.sampling import time_layer
from alphaflops.runs.derive import summarise

torch = pytest.importorskip("torch")
FAST = Protocol(warmup_s=0.001, latency_s=0.01, throughput_s=0.01, block_ms=0.1)


@pytest.fixture
def cpu():
    with devices.opened("cpu", FAST, 1) as device:
        yield device


@pytest.mark.parametrize(
    "layer",
    [
        Dense(7, 5, 3),
        Dense(7, 5, bias=True),
        Conv2d(5, 6, 4, 8, 3),
        Conv2d(5, 6, 4, 8, (2, 4)),
        Conv2d(9, 8, 4, 8, 3, stride=2, padding=1, dilation=2, groups=4, bias=True, batch=2),
        Dense(6, 4, dtype_bytes=8),
    ],
)
def test_a_call_computes_the_layer(cpu, layer):
    out = cpu.prepare(layer)()
    assert tuple(out.shape) == layer.output_shape
    assert out.dtype == {4: torch.float32, 8: torch.float64}[layer.dtype_bytes]
    assert not out.requires_grad
    assert out.abs().min() > 0  # random inputs, never zeros


def test_pools_are_random_and_grow(cpu):
    small = cpu.random("weights", (10, 10), torch.float32)
    large = cpu.random("weights", (3, devices.BLOCK), torch.float32)
    again = cpu.random("weights", (10, 10), torch.float32)
    assert small.std() == pytest.approx(1, abs=0.3)
    assert torch.equal(large[0], large[2])  # repeated blocks
    assert large[0].std() == pytest.approx(1, abs=0.01)
    assert again.data_ptr() == large.data_ptr()
    cpu.forget()
    assert not cpu.pools


def test_real_timings_are_plausible(cpu):
    timing = time_layer(cpu, Dense(64, 64), FAST)
    assert timing.status == "ok"
    assert 100 < np.median(timing.latency_ns) < 1e9
    assert timing.block_calls >= 1
    assert timing.warmups >= 2
    assert len(timing.throughput_ns) >= 6


def test_switches_are_set_and_restored():
    settings = for_profile("smoke", tf32=True, cudnn_benchmark=True)
    wanted = devices.switches(torch.backends, settings)
    assert {value for *_, value in wanted} <= {"tf32", True}
    assert {value for *_, value in devices.switches(torch.backends, FAST)} <= {"ieee", False}

    def state():
        return [torch.get_num_threads(), *(getattr(place, name) for place, name, _ in wanted)]

    before = state()
    with devices.opened("cpu", settings, 1):
        assert state() == [1, *(value for *_, value in wanted)]
        assert torch.is_inference_mode_enabled()
    assert state() == before
    assert not torch.is_inference_mode_enabled()


def test_absent_device_lists_the_present():
    with pytest.raises(AlphaflopsError, match=r"device 'cuda:7' is not on this machine: choose from auto, .*cpu"):
        devices.choose("cuda:7")
    with pytest.raises(AlphaflopsError, match="device 'tpu'"):
        devices.choose("tpu")
    assert devices.choose("cpu") == "cpu"
    assert devices.choose("auto") == devices.available()[0]


def test_no_silent_fallback_from_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(AlphaflopsError, match="device 'cuda' is not on this machine"):
        devices.choose("cuda")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out-of-memory", "CUDA out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out-of-memory", "can't"),
        (MemoryError(), "out-of-memory", "MemoryError"),
        (NotImplementedError("no floating type of 3 bytes"), "unsupported", "3 bytes"),
        (RuntimeError("\"addmm\" not implemented for 'Half'"), "unsupported", "Half"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"), "unsupported", "CUDNN"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR\nmore"), "error", "INTERNAL_ERROR"),
    ],
)
def test_errors_become_statuses(cpu, error, status, message):
    found = cpu.explain(error)
    assert found[0] == status
    assert message in found[1]
    assert "\n" not in found[1]


def test_messages_hold_no_paths(cpu):
    assert "/home" not in cpu.explain(RuntimeError("failed in /home/someone/lib/x.so: bad"))[1]


def test_unsupported_width_becomes_a_row(cpu):
    timing = time_layer(cpu, Dense(4, 4, dtype_bytes=3), FAST)
    assert (timing.status, timing.latency_ns) == ("unsupported", ())


class FakeCuda:
    """Counts what the CUDA path asks for; every call of the layer takes 2 ms, a launch 0.1 ms of host time."""

    def __init__(self):
        self.gpu_ms, self.log, self.reserved, self.allocated = 0.0, [], 10, 4

    class _Event:
        def __init__(self, owner):
            self.owner, self.at = owner, None

        def record(self):
            self.at = self.owner.gpu_ms
            self.owner.log.append("record")

        def synchronize(self):
            self.owner.log.append("wait")

        def elapsed_time(self, other):
            return other.at - self.at

    def Event(self, enable_timing):  # noqa: N802 - torch's name
        assert enable_timing
        return self._Event(self)

    def device(self, name):
        assert name == "cuda:1"
        return nullcontext()

    def synchronize(self, name):
        self.log.append("synchronize")

    def empty_cache(self):
        self.log.append("empty_cache")

    def mem_get_info(self, name):
        return 100, 200

    def memory_reserved(self, name):
        return self.reserved

    def memory_allocated(self, name):
        return self.allocated


@pytest.fixture
def cuda():
    device = devices.CudaDevice("cuda:1", SimpleNamespace())
    device.torch = SimpleNamespace(cuda=FakeCuda())
    return device


def test_cuda_block_is_timed_between_two_events(cuda):
    fake = cuda.torch.cuda

    def call():
        fake.gpu_ms += 2.0
        fake.log.append("call")

    assert cuda.block_ns(call, 3) == 6_000_000
    assert fake.log == ["synchronize", "record", "call", "call", "call", "record", "wait"]


def test_cuda_calls_are_synchronised_on_both_sides(cuda):
    fake = cuda.torch.cuda
    times = cuda.calls_ns(lambda: fake.log.append("call"), 2)
    assert fake.log == ["synchronize", "call", "synchronize"] * 2
    assert len(times) == 2
    assert all(t > 0 for t in times)


def test_cuda_memory_and_release(cuda):
    assert cuda.free_bytes() == 100 + 10 - 4
    cuda.release()
    assert cuda.torch.cuda.log == ["empty_cache"]


def test_dead_context_is_noticed(cuda, monkeypatch):
    assert cuda.alive()

    def fail(_name):
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(cuda.torch.cuda, "synchronize", fail)
    assert not cuda.alive()


def test_blocks_are_as_long_as_the_protocol_asks():
    # calls of 0.4 ms: 12 or 13 of them make 5 ms; a call of 9 ms is a block by itself
    lengths = [time_layer(FakeDevice(base_ms=ms), Dense(8, 8), for_profile("paper")).block_calls for ms in (0.4, 9.0)]
    assert lengths[0] in (12, 13)
    assert lengths[1] == 1


def test_slow_layers_stop_soon_after_their_time_is_up():
    # 0.8 s are up after 3 calls of 0.3 s, but an interval needs 6; calls of 2 s get four times 0.8 s and no interval
    settings = for_profile("paper", latency_s=0.8)
    slow, slowest = (
        time_layer(FakeDevice(lognormal(0.01), base_ms=ms), Dense(8, 8), settings, ("latency",))
        for ms in (300.0, 2000.0)
    )
    assert (len(slow.latency_ns), slow.status) == (6, "ok")
    assert len(slowest.latency_ns) == 2


def test_warm_up_has_two_calls_at_least_and_takes_three_milliseconds():
    def warmups(base_ms, settings):
        return time_layer(FakeDevice(lognormal(0.01), base_ms=base_ms), Dense(8, 8), settings).warmups

    assert warmups(300.0, for_profile("paper")) == 2
    assert 28 <= warmups(0.1, for_profile("paper")) <= 34  # calls of 0.1 ms, settled as soon as 3 ms are over
    assert 8 <= warmups(0.1, FAST) <= 12  # at most 1 ms


def test_a_layer_without_samples_has_no_mean():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert summarise(np.array([]), "per-call").n == 0


def test_fixed_protocols_take_what_they_say(cpu):
    pipelined = time_layer(cpu, Dense(8, 8), for_profile("paper", "pipelined"))
    assert (pipelined.block_calls, pipelined.warmups, len(pipelined.throughput_ns)) == (50, 10, 1)


def test_even_kernel_warns_nobody(cpu, recwarn, caplog):
    with caplog.at_level(logging.WARNING):
        cpu.prepare(Conv2d(6, 6, 2, 2, 4))()
    assert not recwarn.list


def test_every_layer_of_the_smoke_profile_can_be_built(cpu):
    from alphaflops import experiments

    for row in experiments.grid("smoke").to_dict(orient="records"):
        layer = specs.from_row(row)
        assert tuple(cpu.prepare(layer)().shape) == layer.output_shape


def test_gpus_come_first_and_are_chosen_by_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.available() == ["cuda:0", "cuda:1", "cpu"]
    assert [devices.choose(name) for name in ("auto", "cuda", "cuda:1")] == ["cuda:0", "cuda:0", "cuda:1"]


@pytest.mark.parametrize("card", [Card("nvml", "handle"), Card()])
def test_an_opened_gpu_is_watched_through_nvml_where_it_is_known(monkeypatch, card):
    asked = []
    monkeypatch.setattr(devices.gpu, "nvml", lambda index: asked.append(index) or nullcontext(card))
    with devices.opened("cuda:1", FAST, 1) as device:
        assert isinstance(device, devices.CudaDevice)
        assert (type(device.watch.sensors), device.card) == (GpuSensors, card)
        assert device.watch.sensors.read()["sm_clock_mhz"] is None
    assert asked == [1]


def test_tf32_of_older_torch_has_switches_of_its_own():
    matmul, cudnn = SimpleNamespace(), SimpleNamespace()
    older = SimpleNamespace(cuda=SimpleNamespace(matmul=matmul), cudnn=cudnn)
    found = devices.switches(older, for_profile("smoke", tf32=True))
    assert [(name, value) for _, name, value in found] == [("benchmark", False), *[("allow_tf32", True)] * 2]
    assert [place for place, *_ in found] == [cudnn, matmul, cudnn]
