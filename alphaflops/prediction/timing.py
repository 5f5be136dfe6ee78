"""Time whole networks and layers in turns, with the sampling of the measurement core.

A layer that is timed call after call finds its weights in the cache and its code in the processor; in a network
hundreds of other operators run in between. *In turns*, every round takes all cases in a new random order, and before
each timed call only its inputs are written, as the operator before it would.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ..errors import AlphaflopsError
from ..layers import COLUMNS, Layer
from ..measuring.device import Device, choose, layer_call, opened
from ..measuring.protocol import Protocol, for_profile
from ..measuring.sampling import time_call, time_layer
from ..network import Inputs, Network, trace
from ..network.attempt import differentiable
from ..network.guard import Guard, unwrapped
from ..network.inputs import floating_type, materialise, normalise
from ..runs.derive import Estimate, estimate
from .operators import timed_as

ROUNDS: Final = 4
"""Timed rounds in turns; one more comes before them, to warm up."""

TIMES: Final = {"median": "latency_ms", "low": "latency_low_ms", "high": "latency_high_ms", "n": "latency_n"}
"""Fields of an `alphaflops.runs.derive.Estimate` → columns of a table of times."""


def fresh_inputs(device: Device, make: Callable[[], tuple[Any, ...]]) -> Any:
    """Give the device with calls that get inputs of their own: a call may change what it is given.

    Parameters
    ----------
    device : Device
        Where the calls run.
    make : callable
        Gives the arguments of one call, before its clock starts.
    """
    fresh: Any = copy.copy(device)
    fresh.calls_ns = lambda call, n: [device.calls_ns(partial(call, *make()), 1)[0] for _ in range(n)]
    return fresh


def latency(device: Device, call: Callable[..., Any], settings: Protocol) -> Estimate:
    """Median time of one synchronised call, with its interval (ms)."""
    return estimate(np.asarray(time_call(device, call, settings, ("latency",)).latency_ns) / 1e6)


def in_turns(device: Device, layers: Sequence[Layer], *, rounds: int = ROUNDS, seed: int = 0) -> NDArray[np.float64]:
    """Median time of each layer over rounds in random order, each with weights of its own, shape ``(n,)`` (ms)."""

    def make(_role: str, shape: tuple[int, ...], dtype: Any) -> Any:
        return torch.randn(shape, dtype=dtype, device=device.name)

    cases = [layer_call(layer, make) for layer in layers]
    rng, times = np.random.default_rng(seed), np.empty((rounds + 1, len(cases)))
    for taken in times:
        for i in rng.permutation(len(cases)):
            call, given = cases[i]
            given.neg_()  # written just before, its values stay normal numbers
            taken[i] = device.calls_ns(call, 1)[0] / 1e6
    return np.asarray(np.median(times[1:], axis=0))


def distinct_layers(network: Network) -> dict[Layer, tuple[str, int]]:
    """Layers of a network as they are timed: module of the first use, and number of uses."""
    out: dict[Layer, tuple[str, int]] = {}
    for operation in network.operations:
        for one in operation.layers:
            layer, count = timed_as(operation.name, one)
            module, uses = out.get(layer, (operation.module, 0))
            out[layer] = (module, uses + count)
    return out


def measure_network(
    model: torch.nn.Module,
    inputs: Inputs,
    *,
    device: str = "cpu",
    threads: int | None = None,
    training: bool = False,
    profile: str = "quick",
    layers: bool = True,
) -> pd.DataFrame:
    """Time a network as a whole, and each of its layers alone.

    Parameters
    ----------
    model : torch.nn.Module
        Network with weights; it runs in its own mode with copies of them, and is put back as it was.
    inputs : tensor, shape, or a list or mapping of those
        Shapes become random numbers (zeros for integers). Every timed call gets a copy of its own.
    device, threads : str, int or None
        As in ``alphaflops measure``.
    training : bool
        Time forward and backward together.
    profile : str
        How narrow the intervals must be.
    layers : bool
        Also time every distinct layer alone.

    Returns
    -------
    DataFrame
        ``what`` ("network" or "layer"), ``module`` (of the first use), the layer by `alphaflops.layers.COLUMNS` (empty
        for the network), ``uses``, ``latency_ms, latency_low_ms, latency_high_ms, latency_n``, ``status`` and
        ``turn_ms`` (of a layer in turns with the others); the first row is the whole network.

    Raises
    ------
    AlphaflopsError
        If the device is absent, the model has no weights or rejects the input.
    """
    if isinstance(model, torch.nn.Module) and any(p.is_meta for p in model.parameters()):
        raise AlphaflopsError("the model has no weights (meta device): build it on the CPU to time it")
    network = trace(model, inputs, backward=training)
    settings = for_profile(profile)
    with opened(choose(device), settings, threads) as here, torch.random.fork_rng(devices=[]):
        with _whole(model, inputs, here.name, training) as (call, make):
            found = latency(fresh_inputs(here, make), call, replace(settings, latency_s=3.0, warmup_s=0.5))
        rows = [{"what": "network", "module": "", "uses": 1, "status": "ok", **vars(found)}]
        del call, make
        uses = distinct_layers(network) if layers else {}
        turns_ms = in_turns(here, list(uses))
        for (layer, (module, count)), turn_ms in zip(uses.items(), turns_ms, strict=True):
            timing = time_layer(here, layer, settings, ("latency",))
            about = {"what": "layer", "module": module, "uses": count, "status": timing.status, "turn_ms": turn_ms}
            rows.append(about | vars(estimate(np.asarray(timing.latency_ns) / 1e6)) | layer.row())
    columns = ["what", "module", *COLUMNS, "uses", *TIMES, "status", "turn_ms"]
    return pd.DataFrame(rows, columns=columns).rename(columns=TIMES)


@contextmanager
def _whole(
    model: torch.nn.Module, inputs: Inputs, device: str, training: bool
) -> Iterator[tuple[Callable[..., Any], Callable[[], tuple[Any, ...]]]]:
    """Give a call of the network with copies of all its tensors, and what makes its arguments anew; put all back."""
    model = unwrapped(model)

    def make() -> tuple[Any, ...]:
        with torch.inference_mode(False):
            return copy.deepcopy(tuple(given))

    def call(args: Any, kwargs: Any) -> None:
        outputs = copied_model(*args, **kwargs)
        if training:
            roots = differentiable(outputs)
            torch.autograd.backward(roots, [torch.ones_like(t) for t in roots])
            copied_model.zero_grad(set_to_none=True)

    # Tensors made in inference mode could not be differentiated.
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        args, kwargs, _ = normalise(inputs)
        given = materialise([args, kwargs], device, floating_type(model))
        with Guard(model, given) as guard:
            copied_model = guard.exchange(lambda tensor: tensor.detach().clone().to(device))(model)
            with torch.inference_mode(not training), torch.set_grad_enabled(training):
                yield call, make
