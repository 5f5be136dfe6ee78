"""Time whole networks, their layers, and single operators, with the statistics of the measurement core."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..errors import AlphaflopsError
from ..layers import Conv2d, Layer
from ..machine import cores_usable
from ..measure.devices import Device, choose, opened
from ..measure.protocol import Protocol, for_profile
from ..measure.statistics import SMALLEST, Estimate, estimate, next_look, settled
from ..measure.timing import time_layer
from ..network import Network, trace
from ..network.inputs import Inputs, materialise, normalise
from .operators import DEPTHWISE_TERMS, OperatorTable, depthwise_terms, family_by_name

if TYPE_CHECKING:
    import pandas as pd
    import torch

SIZES = tuple(4**exponent for exponent in range(5, 13))
"""Numbers in the operators' inputs: 4 kB to 64 MB of fp32, from the first cache to memory."""


def time_call(device: Device, call: Callable[[], Any], settings: Protocol) -> Estimate:
    """Median time of one synchronised call, warmed up and repeated until its interval is narrow (ms)."""
    warm: list[float] = []
    while not (len(warm) >= 2 and (sum(warm) > settings.warmup_s * 1e9 or settled(warm))):
        warm += device.calls_ns(call, 1)
    samples: list[float] = []
    look = settings.smallest
    while True:
        samples += device.calls_ns(call, look - len(samples))
        found = estimate(np.asarray(samples) / 1e6)
        spent = sum(samples) > settings.latency_s * 1e9 and len(samples) >= SMALLEST
        if found.within(settings.tolerance) or spent or look >= settings.largest:
            return found
        look = min(settings.largest, next_look(look))


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
        ``latency_low_ms``, ``latency_high_ms``, ``latency_n``, ``status``; the first row is the whole network.

    Raises
    ------
    AlphaflopsError
        If the device is absent, the model has no weights or rejects the input.
    """
    import pandas as pd

    if any(p.is_meta for p in model.parameters()):
        raise AlphaflopsError("the model has no weights (meta device): build it on the CPU to time it")
    network = trace(model, inputs, backward=training, dtypes=dtypes)
    settings = replace(for_profile(profile), latency_s=5.0, warmup_s=1.0)
    rows: list[dict[str, Any]] = []
    with opened(choose(device), settings, threads) as opened_device:
        call = _whole_call(model, inputs, dtypes, opened_device.name, training)
        found = time_call(opened_device, call, settings)
        rows.append(_row("network", "", network.name, 1, found, "ok"))
        del call
        if layers:
            for layer, (module, uses) in _distinct(network).items():
                timing = time_layer(opened_device, layer, for_profile(profile), ("latency",))
                found = estimate(np.asarray(timing.latency_ns) / 1e6)
                rows.append(_row("layer", module, repr(layer), uses, found, timing.status))
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


def _distinct(network: Network) -> dict[Layer, tuple[str, int]]:
    out: dict[Layer, tuple[str, int]] = {}
    for operation in network.operations:
        for one in operation.layers:
            module, uses = out.get(one.layer, (operation.module, 0))
            out[one.layer] = (module, uses + one.count)
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


def _micro(torch: Any, device: str) -> dict[str, tuple[Callable[..., Any], Callable[[int], list[tuple[int, ...]]]]]:
    """Operator → function, and the shapes of its inputs at a given number of elements."""
    functional = torch.nn.functional

    def image(n: int) -> list[tuple[int, ...]]:
        side = max(1, round((n / 64) ** 0.5))
        return [(1, 64, side, side)]

    def flat(n: int) -> list[tuple[int, ...]]:
        return [(n // 256, 256)]

    def pair(n: int) -> list[tuple[int, ...]]:
        return flat(n) * 2

    norm, wide = [torch.ones(64, device=device)] * 4, torch.ones(256, device=device)
    rows = torch.arange(SIZES[-1] // 256, device=device)
    return {
        "relu": (torch.relu, flat),
        "hardtanh": (functional.hardtanh, flat),
        "gelu": (functional.gelu, flat),
        "silu": (functional.silu, flat),
        "sigmoid": (torch.sigmoid, flat),
        "tanh": (torch.tanh, flat),
        "hardswish": (functional.hardswish, flat),
        "add": (torch.add, pair),
        "mul": (torch.mul, pair),
        "clone": (lambda x: x.t().contiguous(), flat),
        "cat": (lambda x, y: torch.cat([x, y]), pair),
        "batch_norm": (lambda x: functional.batch_norm(x, *norm), image),
        "layer_norm": (lambda x: functional.layer_norm(x, (256,), wide, wide), flat),
        "softmax": (lambda x: functional.softmax(x, -1), flat),
        "max_pool2d": (lambda x: functional.max_pool2d(x, 3, 2, 1), image),
        "mean": (lambda x: x.mean((2, 3)), image),
        "sum": (lambda x: x.sum(-1), flat),
        "embedding": (lambda x: functional.embedding(rows[: x.shape[0]], x), flat),
    }


def depthwise_grid() -> list[Conv2d]:
    """Depthwise convolutions to fit: kernels 3, 5, 7 over sizes and channels, with both strides."""
    sizes = ((112, 16), (112, 64), (56, 48), (56, 160), (28, 96), (28, 256), (14, 128), (14, 512), (7, 256), (7, 1024))
    return [
        Conv2d(side, side, channels, channels, k, 1, stride, k // 2, groups=channels)
        for k in (3, 5, 7)
        for stride in (1, 2)
        for side, channels in sizes
    ]


def measure_operators(run_id: str, *, device: str = "cpu", threads: int | None = None) -> OperatorTable:
    """Measure the curves of one machine (half a minute on one CPU core)."""
    import torch

    settings = replace(for_profile("quick"), latency_s=0.25)
    with opened(choose(device), settings, threads) as opened_device:
        curves = {
            name: _curve(opened_device, torch, *micro, settings)
            for name, micro in _micro(torch, opened_device.name).items()
        }
        grid = depthwise_grid()
        times = [
            estimate(np.asarray(time_layer(opened_device, one, settings, ("latency",)).latency_ns) / 1e6).median
            for one in grid
        ]
        used = torch.get_num_threads()
    run = {
        "id": run_id,
        "device": choose(device),
        "threads": used if device == "cpu" else cores_usable(),
        "protocol": settings.record(),
        "versions": {"alphaflops": __version__, "torch": torch.__version__},
        "depthwise_layers": len(grid),
    }
    families = {name: family_by_name(name) for name in curves}
    return OperatorTable(run, curves, families, fit_depthwise(grid, times))


def _curve(device: Device, torch: Any, function: Any, shapes: Any, settings: Protocol) -> dict[str, list[float]]:
    moved, ms = [], []
    for size in SIZES:
        given = [torch.randn(shape, device=device.name) for shape in shapes(size)]
        moved.append(float(max(o.bytes for o in trace(_as_module(torch, function), given).operations)))
        ms.append(time_call(device, lambda given=given: function(*given), settings).median)  # type: ignore[misc]
    return {"bytes": moved, "ms": ms}


def _as_module(torch: Any, function: Any) -> Any:
    module = torch.nn.Module()
    module.forward = function
    return module


def fit_depthwise(grid: Sequence[Conv2d], times_ms: Sequence[float]) -> dict[str, float]:
    """Fit non-negative terms to the times of depthwise convolutions, relative errors weighted alike."""
    from scipy.optimize import nnls

    times = np.asarray(times_ms)
    terms = np.array([depthwise_terms(layer) for layer in grid])
    weights, _ = nnls(terms / times[:, None], np.ones(len(times)))
    ratio = times / (terms @ weights)
    low, high = np.quantile(ratio, (0.05, 0.95))
    fitted = dict(zip(DEPTHWISE_TERMS, map(float, weights), strict=True))
    return fitted | {"low_factor": float(low), "high_factor": float(high)}
