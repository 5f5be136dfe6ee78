"""Time whole networks and their layers, with the statistics of the measurement core."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AlphaflopsError
from ..layers import Layer
from ..measuring.device import Device
from ..measuring.opening import choose, opened
from ..measuring.protocol import Protocol, for_profile
from ..measuring.sampling import time_call as sampled
from ..measuring.sampling import time_layer
from ..network import Network, trace
from ..network.inputs import Inputs, materialise, normalise
from ..runs.derive import Estimate, estimate
from .predict import timed_as
from .turns import in_turns, layer_case

if TYPE_CHECKING:
    import pandas as pd
    import torch


def time_call(device: Device, call: Callable[[], Any], settings: Protocol) -> Estimate:
    """Median time of one synchronised call, warmed up and repeated until its interval is narrow (ms)."""
    return estimate(np.asarray(sampled(device, call, settings, ("latency",)).latency_ns) / 1e6)


def measure_network(
    model: "torch.nn.Module",
    inputs: Inputs,
    *,
    device: str = "cpu",
    threads: int | None = None,
    training: bool = False,
    dtypes: Sequence[str] = (),
    profile: str = "quick",
    layers: bool = True,
) -> "pd.DataFrame":
    """Time a network as a whole, and each of its layers alone.

    Parameters
    ----------
    model : torch.nn.Module
        Network with weights; a copy runs, in the mode that the model is in.
    inputs : tensor, shape, or a list or mapping of those
        Shapes become random numbers (zeros for integers).
    device, threads : str, int or None
        As in ``alphaflops measure``.
    training : bool
        Time forward and backward together.
    dtypes : sequence of str
        Number types of inputs given as shapes.
    profile : str
        How narrow the intervals must be.
    layers : bool
        Also time every distinct layer alone.

    Returns
    -------
    DataFrame
        ``what`` ("network" or "layer"), ``module`` (of the first use), ``layer``, ``uses``, ``latency_ms``,
        ``latency_low_ms``, ``latency_high_ms``, ``latency_n``, ``status``, ``turn_ms`` (of a layer in turns with the
        others, see `alphaflops.prediction.turns`); the first row is the whole network.

    Raises
    ------
    AlphaflopsError
        If the device is absent, the model has no weights or rejects the input.
    """
    import pandas as pd
    import torch

    if isinstance(model, torch.nn.Module) and any(p.is_meta for p in model.parameters()):
        raise AlphaflopsError("the model has no weights (meta device): build it on the CPU to time it")
    network = trace(model, inputs, backward=training, dtypes=dtypes)
    settings = replace(for_profile(profile), latency_s=3.0, warmup_s=0.5)
    rows: list[dict[str, Any]] = []
    with opened(choose(device), settings, threads) as opened_device, torch.random.fork_rng(devices=[]):
        call = _whole_call(model, inputs, dtypes, opened_device.name, training)
        found = time_call(opened_device, call, settings)
        rows.append(_row("network", "", network.name, 1, found, "ok"))
        del call
        if layers:
            rows += _layer_rows(opened_device, distinct_layers(network), for_profile(profile))
    return pd.DataFrame(rows)


def _row(what: str, module: str, layer: str, uses: int, found: Estimate, status: str) -> dict[str, Any]:
    return {
        "what": what,
        "module": module,
        "layer": layer,
        "uses": uses,
        "latency_ms": found.median,
        "latency_low_ms": found.low,
        "latency_high_ms": found.high,
        "latency_n": found.n,
        "status": status,
    }


def _layer_rows(device: Device, uses: dict[Layer, tuple[str, int]], settings: Protocol) -> list[dict[str, Any]]:
    import torch

    turns = in_turns(device, [layer_case(torch, layer, device.name) for layer in uses])
    rows = []
    for (layer, (module, count)), turn_ms in zip(uses.items(), turns, strict=True):
        timing = time_layer(device, layer, settings, ("latency",))
        found = estimate(np.asarray(timing.latency_ns) / 1e6)
        rows.append(_row("layer", module, repr(layer), count, found, timing.status) | {"turn_ms": float(turn_ms)})
    return rows


def distinct_layers(network: Network) -> dict[Layer, tuple[str, int]]:
    """Layers of a network as they are timed: module of the first use, and number of uses."""
    out: dict[Layer, tuple[str, int]] = {}
    for operation in network.operations:
        for one in operation.layers:
            layer, count = timed_as(operation.name, one)
            module, uses = out.get(layer, (operation.module, 0))
            out[layer] = (module, uses + count)
    return out


def _whole_call(
    model: "torch.nn.Module", inputs: Inputs, dtypes: Sequence[str], device: str, training: bool
) -> Callable[[], Any]:
    import torch
    from torch.utils import _pytree

    # Tensors made in inference mode could not be differentiated.
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        twin = copy.deepcopy(model).to(device)
        args, kwargs = normalise(inputs, dtypes)
        given, keyed = _pytree.tree_map_only(
            torch.Tensor,
            lambda t: t.to(device),
            ([materialise(v, device) for v in args], {name: materialise(v, device) for name, v in kwargs.items()}),
        )
    if not training:
        return lambda: twin(*given, **keyed)

    def both() -> None:
        with torch.inference_mode(False), torch.enable_grad():
            outputs = twin(*given, **keyed)
            leaves = _pytree.tree_leaves([outputs, vars(outputs) if hasattr(outputs, "logits") else ()])
            roots = [t for t in leaves if isinstance(t, torch.Tensor) and t.requires_grad]
            torch.autograd.backward(roots, [torch.ones_like(t) for t in roots])
            twin.zero_grad(set_to_none=True)

    return both
