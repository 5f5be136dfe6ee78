"""Timing whole networks: the right calls, the core's statistics, nothing left on the model."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from alphaflops.errors import AlphaflopsError
from alphaflops.measuring.protocol import for_profile
from alphaflops.prediction import measure_network, time_call


class Pretend:
    """A device whose n-th call takes the n-th time given (ns), the last one for ever."""

    def __init__(self, times):
        self.times, self.used = list(times), 0

    def clock_ns(self):
        last = [self.times[-1]] * max(0, self.used - len(self.times))
        return sum(self.times[: self.used]) + sum(last)

    def calls_ns(self, call, n):
        taken = [self.times[min(self.used + i, len(self.times) - 1)] for i in range(n)]
        self.used += n
        return taken


def test_warm_up_is_not_in_the_median():
    found = time_call(Pretend([9e6] * 3 + [4e6, 3e6] + [2e6]), lambda: None, for_profile("quick"))
    assert found.median == 2.0
    assert found.low == found.high == 2.0


def test_noise_is_sampled_until_the_cap():
    times = [1e6, 3e6] * 2000
    settings = replace(for_profile("quick"), latency_s=0.2)
    found = time_call(Pretend(times), lambda: None, settings)
    assert 6 < found.n <= settings.largest
    assert found.high > found.low


def test_network_and_its_distinct_layers():
    shared = nn.Linear(8, 8)
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(8, 4)).eval()
    before = {name: id(p) for name, p in model.named_parameters()}
    found = measure_network(model, (3, 8), threads=1, profile="smoke")
    assert list(found.what) == ["network", "layer", "layer"]
    assert list(found.uses) == [1, 2, 1]
    assert list(found.status) == ["ok"] * 3
    assert (found.latency_ms > 0).all()
    assert {name: id(p) for name, p in model.named_parameters()} == before


def test_training_times_both_passes_and_leaves_no_gradients():
    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64))
    found = measure_network(model, (16, 64), threads=1, training=True, layers=False, profile="smoke")
    assert found.latency_ms[0] > 0
    assert all(p.grad is None for p in model.parameters())
    assert int(model[1].num_batches_tracked) == 0


def test_random_numbers_of_the_caller_stay_as_they_were():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout()).train()
    before = torch.get_rng_state()
    measure_network(model, "2,4", profile="smoke", training=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_model_without_weights_and_absent_device():
    with pytest.raises(AlphaflopsError, match=r"model is a int: give a torch\.nn\.Module"):
        measure_network(3, "2,4")
    with torch.device("meta"):
        model = nn.Linear(3, 3)
    with pytest.raises(AlphaflopsError, match="no weights"):
        measure_network(model, (1, 3))
    with pytest.raises(AlphaflopsError, match="is not on this machine"):
        measure_network(nn.Linear(3, 3), (1, 3), device="cuda:77")
