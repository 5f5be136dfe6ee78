"""Layer specifications and what can be counted from their sizes alone.

Counting convention: ``macs`` counts multiply–accumulate pairs and includes the taps that meet padding;
``flops = 2 * macs``. Bias additions are not counted.

Every count exists twice: as a property of a frozen spec (`Conv2d`, `Dense`; sizes only, nothing that touches a device)
and as a function over a table of layers (`macs`, `params`, …), which takes any mapping from the names in `COLUMNS` to
arrays. `as_table` makes such a table of whatever describes layers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np

from ..errors import AlphaflopsError
from .table import COLUMNS, SHORT, Table, as_table, bytes_moved, flops, macs, output_size, params, valid_macs

__all__ = [
    "COLUMNS", "Conv2d", "Dense", "Layer", "Table", "as_table", "bytes_moved", "flops", "from_row", "macs",
    "output_size", "params", "valid_macs",
]  # fmt: skip

Pair: TypeAlias = int | tuple[int, int]


def _integer(name: str, value: Any, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise AlphaflopsError(f"{name} is {value!r}: must be at least {least} and an integer")
    return int(value)


def _pair(name: str, value: Any, least: int = 1) -> tuple[int, int]:
    first, second = value if isinstance(value, tuple | list) and len(value) == 2 else (value, value)
    return _integer(name, first, least), _integer(name, second, least)


def _both(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _alone(layer: "Layer") -> dict[str, Any]:
    """Lay a spec out as a table of one row."""
    return {name: np.asarray([value]) for name, value in layer.row().items()}


def _count(function: Callable[[Table], Any], text: str) -> Any:
    return property(lambda layer: int(function(_alone(layer))[0]), doc=text)


class _Counts:
    """Counts shared by both specs, computed by the table functions."""

    macs = _count(macs, "Multiply–accumulate pairs, padding included (MAC).")
    flops = _count(flops, "Floating-point operations, ``2 * macs`` (FLOP).")
    params = _count(params, "Weights, and biases where the layer has them (numbers).")
    bytes_moved = _count(bytes_moved, "Input, weights and output moved once each: the least traffic possible (bytes).")
    valid_macs = _count(valid_macs, "Multiply–accumulate pairs whose input is data rather than padding (MAC).")


@dataclass(frozen=True)
class Conv2d(_Counts):
    """A two-dimensional convolution, sizes only.

    Parameters
    ----------
    height, width, in_channels : int
        Input of shape ``(batch, in_channels, height, width)``.
    out_channels : int
        Output channels.
    kernel : int or (int, int)
        Kernel height and width.
    batch : int
        Inputs per call.
    stride, dilation : int or (int, int)
        As in `torch.nn.Conv2d`.
    padding : "same", int or (int, int)
        Zeros on each side of the height and the width. ``"same"`` keeps the size and needs stride 1; an even kernel
        then gets its extra zero at the bottom and right, as in PyTorch.
    groups : int
        Groups of channels; must divide both channel counts.
    bias : bool
        Whether a bias is added. The paper counts none.
    dtype_bytes : int
        Bytes per number: 4 for fp32.

    Raises
    ------
    AlphaflopsError
        If a size is not positive, the kernel exceeds the padded input, or the groups do not divide the channels.
    """

    height: int
    width: int
    in_channels: int
    out_channels: int
    kernel: Pair = 1
    batch: int = 1
    stride: Pair = 1
    padding: Literal["same"] | Pair = "same"
    dilation: Pair = 1
    groups: int = 1
    bias: bool = False
    dtype_bytes: int = 4

    def __post_init__(self) -> None:
        for name in ("height", "width", "in_channels", "out_channels", "batch", "groups", "dtype_bytes"):
            _integer(name, getattr(self, name))
        for name in ("kernel", "stride", "dilation"):
            object.__setattr__(self, name, _pair(name, getattr(self, name)))
        if self.padding != "same":
            object.__setattr__(self, "padding", _pair("padding", self.padding, 0))
        elif self.stride != (1, 1):
            raise AlphaflopsError(f"padding 'same' needs stride 1, not {self.stride}: give the padding as integers")
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise AlphaflopsError(f"{name} is {getattr(self, name)}: not divisible by groups = {self.groups}")
        top, bottom, left, right = self.pads
        padded = (("height", self.height + top + bottom), ("width", self.width + left + right))
        for (axis, size), kernel, dilation in zip(padded, self.sides, _both(self.dilation), strict=True):
            if (reach := dilation * (kernel - 1) + 1) > size:
                raise AlphaflopsError(f"kernel reaches over {reach} but the padded {axis} is {size}: pad or shrink it")

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        return _both(self.kernel)

    @property
    def pads(self) -> tuple[int, int, int, int]:
        """Zeros at the top, bottom, left and right, with ``"same"`` resolved."""
        if not isinstance(self.padding, str):
            first, second = _both(self.padding)
            return first, first, second, second
        first, second = (d * (k - 1) for d, k in zip(_both(self.dilation), self.sides, strict=True))
        return first // 2, first - first // 2, second // 2, second - second // 2

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """Shape ``(batch, out_channels, height, width)`` of the output."""
        height, width = output_size(_alone(self))
        return self.batch, self.out_channels, int(height[0]), int(width[0])

    def row(self) -> dict[str, Any]:
        """Describe the layer by the columns in `COLUMNS`."""
        sizes = (self.batch, self.height, self.width, self.in_channels, self.out_channels)
        window = (*self.sides, *_both(self.stride), *self.pads, *_both(self.dilation))
        values = ("conv2d", *sizes, *window, self.groups, self.bias, self.dtype_bytes)
        return dict(zip(COLUMNS, values, strict=True))


@dataclass(frozen=True)
class Dense(_Counts):
    """A dense (fully connected) layer, sizes only.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of one input and one output vector.
    batch : int
        Vectors per call.
    bias : bool
        Whether a bias is added. The paper counts none.
    dtype_bytes : int
        Bytes per number: 4 for fp32.

    Raises
    ------
    AlphaflopsError
        If a size is not a positive integer.
    """

    in_features: int
    out_features: int
    batch: int = 1
    bias: bool = False
    dtype_bytes: int = 4

    def __post_init__(self) -> None:
        for name in ("in_features", "out_features", "batch", "dtype_bytes"):
            _integer(name, getattr(self, name))

    @property
    def output_shape(self) -> tuple[int, int]:
        """Shape ``(batch, out_features)`` of the output."""
        return self.batch, self.out_features

    def row(self) -> dict[str, Any]:
        """Describe the layer by the columns in `COLUMNS`."""
        as_conv = Conv2d(1, 1, self.in_features, self.out_features, batch=self.batch)
        return as_conv.row() | {"kind": "dense", "bias": self.bias, "dtype_bytes": self.dtype_bytes}


Layer: TypeAlias = Conv2d | Dense


def from_row(row: Mapping[str, Any]) -> Layer:
    """Rebuild a spec from the columns in `COLUMNS`; the inverse of ``layer.row()``.

    Raises
    ------
    AlphaflopsError
        If the kind is unknown, a size is bad, or the padding is uneven in a way no spec can say.
    """
    n: dict[str, Any] = {name: int(row[name]) for name in COLUMNS[1:]} | {"bias": bool(row["bias"])}
    if row["kind"] == "dense":
        return Dense(n["in_channels"], n["out_channels"], n["batch"], n["bias"], n["dtype_bytes"])
    if row["kind"] != "conv2d":
        raise AlphaflopsError(f"kind is {row['kind']!r}: expected 'conv2d' or 'dense'")
    wanted = tuple(n[name] for name in SHORT["padding"])  # top, bottom, left, right
    n |= {name: (n[SHORT[name][0]], n[SHORT[name][1]]) for name in ("kernel", "stride", "dilation")}
    n["padding"] = wanted[::2] if wanted[::2] == wanted[1::2] else "same"
    layer = Conv2d(**{field.name: n[field.name] for field in fields(Conv2d)})
    if layer.pads != wanted:
        raise AlphaflopsError(f"padding {wanted} is neither even nor 'same' for kernel {layer.kernel}")
    return layer
