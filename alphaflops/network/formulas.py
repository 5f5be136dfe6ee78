"""What each operator multiplies: from the arguments of one dispatched call to layer specifications.

Counting convention: a formula gives layers whose ``macs`` count multiply–accumulate pairs, taps on padding included;
bias, scaling, masks and softmax count nothing, and a causal mask saves nothing. A complex product counts as three real
ones, as in PyTorch's complex convolutions. Each formula reads shapes and strides only, so it works on tensors without
data; a matrix that is repeated by a stride of 0 is one matrix.

Some operators have no layer of their own in `alphaflops.layers`; they become an equivalent one with the same products:

=====================  ==========================================================================================
operator               layer
=====================  ==========================================================================================
1-D convolution        `Conv2d` of height 1
3-D convolution        `Conv2d` with the kernel's depth folded into the input channels, one input per output slice
transposed             `Conv2d` that it is the gradient of: its input and output change places
matrix product M·K·N   `Dense` from K to N features on M vectors; batched products are repeated
attention              two products per head, scores and values; five per head in a fused backward pass
LSTM, GRU, RNN         input weights once over all steps, recurrent and projection weights once per step
convolution backward   the forward layer, once for each gradient that is asked for
deformable             `Conv2d` that reads as many elements, of the size of its output
=====================  ==========================================================================================
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from math import prod
from typing import Any, TypeAlias

from ..layers import Conv2d, Dense, Layer


@dataclass(frozen=True, slots=True)
class Repeated:
    """One layer and how many times an operator runs it; `proxy` marks an equivalent rather than the layer itself."""

    layer: Layer
    count: int = 1
    proxy: bool = False


Arguments: TypeAlias = Mapping[str, Any]
Formula: TypeAlias = Callable[[Arguments], list[Repeated]]

FORMULAS: dict[str, Formula] = {}
"""Formula by operator name, without overload, and without namespace where that is PyTorch's own."""


ONLY_NESTED = frozenset({"linear", "matmul"})
"""Operators that are counted as a whole for nested tensors alone; others are seen as what they are made of."""


def formula(*names: str) -> Callable[[Formula], Formula]:
    """Register a formula for the named operators."""

    def register(function: Formula) -> Formula:
        FORMULAS.update(dict.fromkeys(names, function))
        return function

    return register


def _product(m: int, k: int, n: int, like: Any, count: int = 1, bias: bool = False) -> list[Repeated]:
    width = like.itemsize
    if like.is_complex():
        width, count = width // 2, 3 * count
    return [Repeated(Dense(k, n, m, bias, width), count)] if m * k * n * count else []


@formula("mm", "_scaled_mm", "_int_mm")
def _mm(a: Arguments) -> list[Repeated]:
    (m, k), n = a["self"].shape, a["mat2"].shape[1]
    return _product(m, k, n, a["self"])


@formula("addmm", "_addmm_activation")
def _addmm(a: Arguments) -> list[Repeated]:
    (m, k), n = a["mat1"].shape, a["mat2"].shape[1]
    return _product(m, k, n, a["mat1"], bias=a["self"].dim() == 1)


@formula("linear", "mkldnn_linear")
def _linear(a: Arguments) -> list[Repeated]:
    x, (n, k) = a["input"] if "input" in a else a["self"], a["weight"].shape
    return _product(x.numel() // k, k, n, x, bias=a.get("bias") is not None)


@formula("matmul")
def _matmul(a: Arguments) -> list[Repeated]:
    x, y = a["self"], a["other"]
    return _product(x.shape[-2], x.shape[-1], y.shape[-1], x, prod(_broadcast(x.shape[:-2], y.shape[:-2])))


def _broadcast(*shapes: Sequence[int]) -> list[int]:
    """Sizes of what is repeated over several groups of axes; grouped queries have more heads than their keys."""
    return [max(sizes) for sizes in zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1)]


@formula("bmm")
def _bmm(a: Arguments) -> list[Repeated]:
    return _batched(a["self"], a["mat2"])


def _batched(x: Any, y: Any) -> list[Repeated]:
    (b, m, k), n = x.shape, y.shape[2]
    if y.stride(0) == 0:  # one matrix for all
        return _product(b * m, k, n, x)
    if x.stride(0) == 0:
        return _product(b * n, k, m, x)
    return _product(m, k, n, x, b)


@formula("baddbmm", "addbmm")
def _baddbmm(a: Arguments) -> list[Repeated]:
    return _batched(a["batch1"], a["batch2"])


@formula("_foreach_mm")
def _foreach_mm(a: Arguments) -> list[Repeated]:
    return [one for x, y in zip(a["self"], a["mat2"], strict=True) for one in _mm({"self": x, "mat2": y})]


@formula("_grouped_mm", "_scaled_grouped_mm")
def _grouped_mm(a: Arguments) -> list[Repeated]:
    x, y = a["self"], a["mat2"]
    (m, k), n = x.shape[-2:], y.shape[-1]
    if x.dim() == y.dim() == 3:
        return _product(m, k, n, x, x.shape[0])
    # One axis of a matrix is cut into groups whose sizes only the data tell: even ones stand for them.
    axis = (0 if y.dim() == 3 else 1) if x.dim() == 2 else 2
    groups = y.shape[0] if y.dim() == 3 else x.shape[0] if x.dim() == 3 else a["offs"].numel()
    sizes = [m, k, n]
    even, rest = divmod(sizes[axis], groups)
    out: list[Repeated] = []
    for size, count in ((even, groups - rest), (even + 1, rest)):
        sizes[axis] = size
        out += _product(sizes[0], sizes[1], sizes[2], x, count)
    return out


@formula("mv")
def _mv(a: Arguments) -> list[Repeated]:
    m, k = a["self"].shape
    return _product(1, k, m, a["self"])


@formula("addmv")
def _addmv(a: Arguments) -> list[Repeated]:
    m, k = a["mat"].shape
    return _product(1, k, m, a["mat"])


@formula("dot", "vdot")
def _dot(a: Arguments) -> list[Repeated]:
    return _product(1, a["self"].numel(), 1, a["self"])


@formula("_trilinear")
def _trilinear(a: Arguments) -> list[Repeated]:
    # Axes are numbered over all three tensors; PyTorch multiplies the first two, then the third.
    tensors = [(a[f"i{i}"], set(a[f"expand{i}"])) for i in (1, 2, 3)]
    axes = range(tensors[0][0].dim() + len(tensors[0][1]))
    sizes: dict[int, int] = {}
    own: list[set[int]] = []
    for tensor, missing in tensors:
        has = [axis for axis in axes if axis not in missing]
        sizes |= dict(zip(has, tensor.shape, strict=True))
        own.append(set(has))
    summed, (first, second, third) = set(a["sumdim"]), own
    early = summed - third

    def pair(left: set[int], right: set[int], over: set[int]) -> list[Repeated]:
        parts = (left - right, left & right & over, right - left, (left & right) - over)
        m, k, n, count = (prod(sizes[axis] for axis in part) for part in parts)
        return _product(m, k, n, a["i1"], count)

    return pair(first, second, early) + pair((first | second) - early, third, summed)


@formula("_euclidean_dist")
def _euclidean_dist(a: Arguments) -> list[Repeated]:
    # One matrix product: each vector is extended by its squared length and a one.
    x, y = a["x1"], a["x2"]
    return _product(x.shape[-2], x.shape[-1] + 2, y.shape[-2], x, prod(x.shape[:-2]))


def _each(value: int | Sequence[int], n: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * n if len(values) == 1 else values


def _conv_layer(a: Arguments) -> list[Repeated]:
    x, weight = a["input"] if "input" in a else a["self"], a["weight"]
    n = weight.dim() - 2
    stride, padding, dilation = (_each(a[name], n) for name in ("stride", "padding", "dilation"))
    groups, transposed = a.get("groups", 1), a.get("transposed", False)
    size, kernel = list(x.shape[2:]), list(weight.shape[2:])
    if transposed:
        extra = _each(a.get("output_padding", 0), n)
        size = [
            (i - 1) * s - 2 * p + d * (k - 1) + 1 + e
            for i, s, p, d, k, e in zip(size, stride, padding, dilation, kernel, extra, strict=True)
        ]
        cin, cout = weight.shape[1] * groups, weight.shape[0]
    else:
        cin, cout = x.shape[1], weight.shape[0]
    batch = x.shape[0]
    if x.numel() == 0 or weight.numel() == 0 or min(size) < 1:
        return []
    if n == 1:
        size, kernel, stride, padding, dilation = (
            [fill, *v] for fill, v in zip((1, 1, 1, 0, 1), (size, kernel, stride, padding, dilation), strict=True)
        )
    elif n == 3:
        slices = (size[0] + 2 * padding[0] - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
        batch, cin = batch * slices, cin * kernel[0]
        size, kernel, stride, padding, dilation = (v[1:] for v in (size, kernel, stride, padding, dilation))
    layer = Conv2d(
        size[0],
        size[1],
        cin,
        cout,
        (kernel[0], kernel[1]),
        batch,
        (stride[0], stride[1]),
        (padding[0], padding[1]),
        (dilation[0], dilation[1]),
        groups,
        a.get("bias") is not None,
        x.itemsize,
    )
    return [Repeated(layer, proxy=n == 3 or transposed)]


@formula("convolution", "_convolution", "cudnn_convolution", "mkldnn_convolution", "convolution_overrideable")
def _convolution(a: Arguments) -> list[Repeated]:
    return _conv_layer(a)


@formula("conv_tbc")
def _conv_tbc(a: Arguments) -> list[Repeated]:
    x, taps = a["self"].permute(1, 2, 0), a["weight"].permute(2, 1, 0)
    return _conv_layer(
        {"input": x, "weight": taps, "bias": a["bias"], "stride": 1, "padding": a.get("pad", 0), "dilation": 1}
    )


@formula("torchvision::deform_conv2d")
def _deform_conv(a: Arguments) -> list[Repeated]:
    # Each output has offsets of its own: every tap is read, and none lies on padding.
    x, weight, (height, width) = a["input"], a["weight"], a["offset"].shape[2:]
    (cout, _, k1, k2), groups = weight.shape, a["groups"]
    layer = Conv2d(height, width, x.shape[1], cout, (k1, k2), x.shape[0], 1, "same", 1, groups, False, x.itemsize)
    return [Repeated(layer, proxy=True)]


def _packed(a: Arguments) -> tuple[Any, Any]:
    """Input and packed weights of a quantized operator, which come first and second."""
    x, packed, *_ = a.values()
    return x, packed


@formula(*(f"quantized::{name}{end}" for name in ("conv1d", "conv2d", "conv3d") for end in ("", "_relu", "_dynamic")))
def _quantized_conv(a: Arguments) -> list[Repeated]:
    x, packed = _packed(a)
    weight, bias = packed.unpack()
    sizes = {name: getattr(packed, name)()[2 - weight.dim() :] for name in ("stride", "padding", "dilation")}
    return _conv_layer({"input": x, "weight": weight, "bias": bias, "groups": packed.groups(), **sizes})


@formula(*(f"quantized::linear{end}" for end in ("", "_relu", "_dynamic", "_relu_dynamic", "_dynamic_fp16")))
def _quantized_linear(a: Arguments) -> list[Repeated]:
    x, packed = _packed(a)
    weight, bias = packed.unpack()
    return _linear({"input": x, "weight": weight, "bias": bias})


@formula("convolution_backward")
def _convolution_backward(a: Arguments) -> list[Repeated]:
    gradients = sum(bool(wanted) for wanted in list(a["output_mask"])[:2])
    return [Repeated(one.layer, gradients, True) for one in _conv_layer({**a, "bias": None}) if gradients]


@formula(
    "scaled_dot_product_attention",
    "_scaled_dot_product_attention_math",
    "_scaled_dot_product_attention_math_for_mps",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
)
def _sdpa(a: Arguments) -> list[Repeated]:
    q, k, v = a["query"], a["key"], a["value"]
    heads, queries, keys = prod(_broadcast(*(t.shape[:-2] for t in (q, k, v)))), q.shape[-2], k.shape[-2]
    return _product(queries, q.shape[-1], keys, q, heads) + _product(queries, keys, v.shape[-1], q, heads)


@formula(
    "_scaled_dot_product_flash_attention_backward",
    "_scaled_dot_product_flash_attention_for_cpu_backward",
    "_scaled_dot_product_efficient_attention_backward",
    "_scaled_dot_product_cudnn_attention_backward",
    "_scaled_dot_product_fused_attention_overrideable_backward",
)
def _sdpa_backward(a: Arguments) -> list[Repeated]:
    # Scores are recomputed; then the gradients of q and k, of the scores and of v.
    return [replace(one, count=times * one.count) for one, times in zip(_sdpa(a), (3, 2), strict=False)]


def _recurrent(rows: int, steps: Counter[int], weights: Sequence[Any], like: Any) -> list[Repeated]:
    """Products of one layer and direction; `steps` counts the steps by the batch that each of them has."""
    first, *others = weights
    out = _product(rows, first.shape[1], first.shape[0], like)
    for weight in others:
        for batch, count in steps.items():
            out += _product(batch, weight.shape[1], weight.shape[0], like, count)
    return out


def _steps(a: Arguments, data: Any) -> Counter[int]:
    sizes = a.get("batch_sizes")
    if sizes is not None and len(sizes):
        return Counter(int(size) for size in sizes)
    if data.dim() == 2:
        return Counter({1: data.shape[0]})
    length, batch = (data.shape[1], data.shape[0]) if a.get("batch_first") else (data.shape[0], data.shape[1])
    return Counter({batch: length})


@formula("lstm", "gru", "rnn_tanh", "rnn_relu")
def _rnn(a: Arguments) -> list[Repeated]:
    data = a["input"] if "input" in a else a["data"]
    runs = a["num_layers"] * (2 if a["bidirectional"] else 1)
    per_run = len(a["params"]) // runs
    out: list[Repeated] = []
    for i in range(runs):
        weights = [p for p in a["params"][i * per_run : (i + 1) * per_run] if p.dim() == 2]
        out += _recurrent(prod(data.shape[:-1]), _steps(a, data), weights, data)
    return out
