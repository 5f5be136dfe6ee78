"""Measure what an `OperatorTable` holds: operators alone on tensors of growing size, and layers no figure contains.

No network takes part. About a minute on one CPU core.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ..layers import Conv2d, Dense, Layer
from ..measuring.device import Device
from ..measuring.protocol import Protocol
from ..network import trace
from .operators import Curve, pooling_terms
from .timing import ROUNDS, in_turns, latency

Array = NDArray[np.float64]

SIZES: Final = tuple(4**exponent for exponent in range(5, 13))
"""Numbers in the operators' inputs: 4 kB to 64 MB of fp32, from the first cache to memory."""

GRID_LAYERS: Final = 96
"""Random layers of each kind: matrix products, 1×1 and larger convolutions."""

GRID_MACS: Final = (5e5, 2e9)
"""Smallest and largest random layer (MAC): what takes a noticeable part of a network's time."""

ROUND_SIZES: Final = tuple(2**k * n // 2 for k in range(4, 15) for n in (2, 3))[:-1]
"""Channels and features: powers of two and halfway between, as networks have them."""

GRID_WEIGHTS: Final = 2**26
"""Most weights and biases of a random layer (numbers)."""

TOGETHER: Final = 16
"""Layers that take turns with one another: about as many as a network has different ones."""

PARTS: Final = 4
"""Parts in which the layers are timed, so that a machine's better and worse minutes even out."""


def curves(device: Device, settings: Protocol, *, small: bool = False) -> dict[str, Curve]:
    """Time operators on tensors of growing size; `small` leaves out the large ones."""
    found, module = {}, torch.nn.Module()
    for name, (function, layout) in _micro(device.name).items():
        moved, ms = [], []
        module.forward = function
        for size in SIZES[:3] if small else SIZES:
            flat, side = (size // 256, 256), round((size / 64) ** 0.5)
            shapes: dict[str, list[tuple[int, ...]]] = {
                "flat": [flat],
                "pair": [flat, flat],
                "image": [(1, 64, side, side)],
            }
            given = [torch.randn(shape, device=device.name) for shape in shapes[layout]]
            moved.append(float(max(o.bytes for o in trace(module, given).operations)))
            # Inputs take turns until they fill 16 MB: they come from the last cache rather than the first.
            further = round(16e6 / sum(t.nbytes for t in given)) - 1
            turns = itertools.cycle([given, *([t.clone() for t in given] for _ in range(further))])
            ms.append(latency(device, lambda f=function, turns=turns: f(*next(turns)), settings).median)
        found[name] = Curve(moved, ms)
    return found


def pooling(device: Device, settings: Protocol) -> dict[str, dict[str, float]]:
    """Time pooling windows and fit `pooling_terms` to each kind."""
    fits: dict[str, dict[str, float]] = {}
    windows, images = ((2, 2), (3, 2), (3, 1), (5, 1)), ((64, 112), (32, 56), (256, 28), (512, 14))
    for kind, layer in {"max": torch.nn.MaxPool2d, "avg": torch.nn.AvgPool2d}.items():
        terms, times = [], []
        for (window, stride), (channels, side) in itertools.product(windows, images):
            image = torch.randn(1, channels, side, side, device=device.name)
            pool = layer(window, stride, window // 2)
            (seen,) = trace(pool, image).operations
            terms.append(pooling_terms(seen.bytes, seen.taps))
            times.append(latency(device, partial(pool.forward, image), settings).median)
        fits[kind] = fit_terms(terms, times)
    return fits


def groups_in_turns(device: Device, layers: Sequence[Layer], rounds: int = ROUNDS, seed: int = 0) -> Array:
    """Time layers in turns, in random groups of `TOGETHER`, shape ``(n,)`` (ms)."""
    times = np.empty(len(layers))
    order = np.random.default_rng(seed).permutation(len(layers))
    for group in np.split(order, range(TOGETHER, len(layers), TOGETHER)):
        times[group] = in_turns(device, [layers[i] for i in group], rounds=rounds, seed=seed)
    return times


def _micro(device: str) -> dict[str, tuple[Any, str]]:
    """Operator → function, and how its inputs are laid out."""
    ones, wide = torch.ones(64, device=device), torch.ones(256, device=device)
    rows = torch.arange(SIZES[-1] // 256, device=device)
    activations = ("relu", "hardtanh", "gelu", "silu", "sigmoid", "tanh", "hardswish")
    return {name: (getattr(functional, name), "flat") for name in activations} | {
        "add": (torch.add, "pair"),
        "mul": (torch.mul, "pair"),
        "clone": (lambda x: x.t().contiguous(), "flat"),
        "constant_pad_nd": (lambda x: functional.pad(x, (1, 1, 1, 1)), "image"),
        "cat": (lambda x, y: torch.cat([x, y]), "pair"),
        "batch_norm": (lambda x: functional.batch_norm(x, ones, ones, ones, ones), "image"),
        "layer_norm": (lambda x: functional.layer_norm(x, (256,), wide, wide), "flat"),
        "softmax": (lambda x: functional.softmax(x, -1), "flat"),
        "max_pool2d": (lambda x: functional.max_pool2d(x, 3, 2, 1), "image"),
        "mean": (lambda x: x.mean((2, 3)), "image"),
        "sum": (lambda x: x.sum(-1), "flat"),
        "embedding": (lambda x: functional.embedding(rows[: x.shape[0]], x), "flat"),
    }


def depthwise_grid() -> list[Conv2d]:
    """Depthwise convolutions to fit: kernels 3, 5, 7 over sizes and channels, with both strides."""
    sizes = ((112, 16), (112, 64), (56, 48), (56, 160), (28, 96), (28, 256), (14, 128), (14, 512), (7, 256), (7, 1024))
    cases = itertools.product((3, 5, 7), (1, 2), sizes)
    return [Conv2d(side, side, n, n, k, 1, stride, k // 2, groups=n) for k, stride, (side, n) in cases]


def layer_grid(count: int = GRID_LAYERS, seed: int = 1) -> list[Layer]:
    """Random layers of ordinary sizes, `count` of each kind: round sizes, spread evenly in their logarithm.

    Parameters
    ----------
    count : int
        Layers of each kind.
    seed : int
        Of the sizes.
    """
    rng = np.random.default_rng(seed)

    def width(low: int, high: int) -> int:
        return int(rng.choice([size for size in ROUND_SIZES if low <= size <= high]))

    def dense() -> Layer:
        rows = round(np.exp(rng.uniform(0, np.log(4096))))
        return Dense(width(64, 16384), width(64, 16384), rows, bool(rng.integers(2)))

    def convolution(kernels: Sequence[int], channels: tuple[int, int]) -> Layer:
        side = round(np.exp(rng.uniform(*np.log((7, 192)))))  # any number: powers of two are slow on some caches
        k, stride = int(rng.choice(kernels)), int(rng.choice((1, 1, 1, 2)))
        return Conv2d(side, side, width(*channels), width(*channels), k, 1, stride, k // 2)

    found: list[Layer] = []
    larger = partial(convolution, (2, 3, 3, 3, 5, 7), (16, 768))
    for make in (dense, partial(convolution, (1,), (16, 2048)), larger):
        drawn: Iterator[Layer] = iter(make, None)  # endless
        ordinary = (x for x in drawn if GRID_MACS[0] <= x.macs <= GRID_MACS[1] and x.params <= GRID_WEIGHTS)
        found += itertools.islice(ordinary, count)
    return found


def fit_terms(terms: Sequence[Mapping[str, float]], times_ms: Sequence[float]) -> dict[str, float]:
    """Fit non-negative numbers to times that are linear in some terms, relative errors weighted alike.

    Parameters
    ----------
    terms : sequence of mapping
        Terms of each case by name.
    times_ms : sequence of float
        Measured times, one each (ms).

    Returns
    -------
    dict
        The numbers by the names of their terms, and ``low_factor``, ``high_factor``: measured over fitted time, where
        90 % of the cases lie.
    """
    from scipy.optimize import nnls

    times, columns = np.asarray(times_ms), np.array([list(case.values()) for case in terms])
    weights, _ = nnls(columns / times[:, None], np.ones(len(times)))
    low, high = np.quantile(times / (columns @ weights), (0.05, 0.95))
    return dict(zip(terms[0], weights.tolist(), strict=True)) | {"low_factor": float(low), "high_factor": float(high)}
