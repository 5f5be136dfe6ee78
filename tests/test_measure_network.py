"""Timing whole networks: the right calls, the core's statistics, nothing left on the model."""

import pytest
import torch
from torch import nn

from alphaflops.errors import AlphaflopsError
from alphaflops.prediction import measure_network
from alphaflops.prediction.timing import fresh_inputs


def test_every_timed_call_gets_inputs_of_its_own():
    class Instant:
        name = "cpu"

        def calls_ns(self, call, n):
            return [call() for _ in range(n)]

    made = iter(range(9))
    device = fresh_inputs(Instant(), lambda: (next(made),))
    assert device.calls_ns(lambda given: 10 * given, 3) == [0, 10, 20]
    assert device.name == "cpu"


def test_a_network_that_changes_its_inputs_finds_them_as_given():
    class Growing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.seen = []

        def forward(self, x, cache):
            cache.append(1)
            self.seen.append(len(cache))
            return self.layer(x.add_(1))

    model, x, cache = Growing().eval(), torch.zeros(2, 4), []
    found = measure_network(model, [x, cache], threads=1, profile="smoke", layers=False)
    assert found.latency_n[0] > 1
    assert (cache, model.seen) == ([], [])
    assert (x == 0).all()


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
