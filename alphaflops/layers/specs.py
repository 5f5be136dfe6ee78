"""One layer: frozen specs of a convolution and of a dense layer, sizes only, nothing that touches a device."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import AlphaflopsError
from . import counts
from .counts import COLUMNS

Pair: TypeAlias = int | tuple[int, int]


class Padding(NamedTuple):
    """Rows and columns of zeros added on each side of the input."""

    top: int
    bottom: int
    left: int
    right: int


def _pair(name: str, value: Pair, least: int) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int | np.integer) else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, int | np.integer) for v in pair):
        raise AlphaflopsError(f"{name} is {value!r}: give one integer or two")
    for v in pair:
        _at_least(name, v, least)
    return int(pair[0]), int(pair[1])


def _both(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _at_least(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise AlphaflopsError(f"{name} is {value!r}: expected an integer")
    if value < least:
        raise AlphaflopsError(f"{name} is {value}: must be at least {least}")


class _Counts:
    """Counts shared by both specs, computed by the table functions on a table of one row."""

    def row(self) -> dict[str, Any]:
        """Describe the layer by the columns in `COLUMNS`."""
        raise TypeError(f"{type(self).__name__} has no row")

    def _one(self, function: Any) -> int:
        return int(function({name: np.asarray([value]) for name, value in self.row().items()})[0])

    @property
    def macs(self) -> int:
        """Multiply–accumulate pairs, padding included (MAC)."""
        return self._one(counts.macs)

    @property
    def flops(self) -> int:
        """Floating-point operations, ``2 * macs`` (FLOP)."""
        return 2 * self.macs

    @property
    def params(self) -> int:
        """Weights, and biases where the layer has them (numbers)."""
        return self._one(counts.params)

    @property
    def bytes_moved(self) -> int:
        """Input, weights and output moved once each: the least traffic possible (bytes)."""
        return self._one(counts.bytes_moved)

    @property
    def valid_macs(self) -> int:
        """Multiply–accumulate pairs whose input is data rather than padding (MAC)."""
        return self._one(counts.valid_macs)


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
            _at_least(name, getattr(self, name), 1)
        for name in ("kernel", "stride", "dilation"):
            object.__setattr__(self, name, _pair(name, getattr(self, name), 1))
        if self.padding != "same":
            if isinstance(self.padding, str):
                raise AlphaflopsError(f"padding is {self.padding!r}: give 'same', one integer or two")
            object.__setattr__(self, "padding", _pair("padding", self.padding, 0))
        elif self.stride != (1, 1):
            raise AlphaflopsError(f"padding 'same' needs stride 1, not {self.stride}: give the padding as integers")
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise AlphaflopsError(f"{name} is {getattr(self, name)}: not divisible by groups = {self.groups}")
        pad, (k1, k2), (d1, d2) = self.pads, self.sides, _both(self.dilation)
        for axis, size, kernel, dilation in (
            ("height", self.height + pad.top + pad.bottom, k1, d1),
            ("width", self.width + pad.left + pad.right, k2, d2),
        ):
            if (reach := dilation * (kernel - 1) + 1) > size:
                raise AlphaflopsError(f"kernel reaches over {reach} but the padded {axis} is {size}: pad or shrink it")

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        return _both(self.kernel)

    @property
    def pads(self) -> Padding:
        """Zeros on each side, with ``"same"`` resolved."""
        if not isinstance(self.padding, str):
            p1, p2 = _both(self.padding)
            return Padding(p1, p1, p2, p2)
        total = [d * (k - 1) for d, k in zip(_both(self.dilation), self.sides, strict=True)]
        return Padding(total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2)

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """Shape ``(batch, out_channels, height, width)`` of the output."""
        table = {name: np.asarray([value]) for name, value in self.row().items()}
        h, w = counts.output_size(table)
        return self.batch, self.out_channels, int(h[0]), int(w[0])

    def row(self) -> dict[str, Any]:
        """Describe the layer by the columns in `COLUMNS`."""
        (stride1, stride2), (dilation1, dilation2), pads = _both(self.stride), _both(self.dilation), self.pads
        return {
            "kind": "conv2d",
            "batch": self.batch,
            "height": self.height,
            "width": self.width,
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "k1": self.sides[0],
            "k2": self.sides[1],
            "stride1": stride1,
            "stride2": stride2,
            "pad_top": pads.top,
            "pad_bottom": pads.bottom,
            "pad_left": pads.left,
            "pad_right": pads.right,
            "dilation1": dilation1,
            "dilation2": dilation2,
            "groups": self.groups,
            "bias": self.bias,
            "dtype_bytes": self.dtype_bytes,
        }


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
            _at_least(name, getattr(self, name), 1)

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
    n = {name: int(row[name]) for name in COLUMNS if name not in ("kind", "bias")}
    if row["kind"] == "dense":
        return Dense(n["in_channels"], n["out_channels"], n["batch"], bool(row["bias"]), n["dtype_bytes"])
    if row["kind"] != "conv2d":
        raise AlphaflopsError(f"kind is {row['kind']!r}: expected 'conv2d' or 'dense'")
    kernel, stride, dilation = (n["k1"], n["k2"]), (n["stride1"], n["stride2"]), (n["dilation1"], n["dilation2"])
    wanted = Padding(n["pad_top"], n["pad_bottom"], n["pad_left"], n["pad_right"])
    even = wanted.top == wanted.bottom and wanted.left == wanted.right
    layer = Conv2d(
        n["height"],
        n["width"],
        n["in_channels"],
        n["out_channels"],
        kernel,
        n["batch"],
        stride,
        (wanted.top, wanted.left) if even else "same",
        dilation,
        n["groups"],
        bool(row["bias"]),
        n["dtype_bytes"],
    )
    if layer.pads != wanted:
        raise AlphaflopsError(f"padding {tuple(wanted)} is neither even nor 'same' for kernel {kernel}")
    return layer


def to_table(layers: Iterable[Layer]) -> dict[str, NDArray[Any]]:
    """Gather specs into arrays keyed by `COLUMNS` (wrap in ``pandas.DataFrame`` for a table)."""
    rows = [layer.row() for layer in layers]
    return {name: np.asarray([row[name] for row in rows]) for name in COLUMNS}
