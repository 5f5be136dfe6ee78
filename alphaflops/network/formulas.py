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
from functools import lru_cache
from itertools import zip_longest
from math import prod
from operator import attrgetter
from typing import Any, TypeAlias

from ..layers import Conv2d, Dense, Layer


@dataclass(frozen=True, slots=True)
class Repeated:
    """One layer and how many times an operator runs it; `proxy` marks an equivalent rather than the layer itself."""

    layer: Layer
    count: int = 1
    proxy: bool = False

    @property
    def macs(self) -> int:
        """Multiply–accumulate pairs of all runs (MAC)."""
        return self.count * _macs(self.layer)


_macs: Callable[[Layer], int] = lru_cache(maxsize=4096)(attrgetter("macs"))


Arguments: TypeAlias = Mapping[str, Any]
Formula: TypeAlias = Callable[[Arguments], list[Repeated]]

FORMULAS: dict[str, Formula] = {}
"""Formula by operator name, without overload, and without namespace where that is PyTorch's own."""

ONLY_NESTED = frozenset({"linear", "matmul"})
"""Operators that are counted as a whole for nested tensors alone; others are seen as what they are made of."""

_PLAIN = ("attention_math", "attention_math_for_mps")
_FUSED = (
    "flash_attention", "flash_attention_for_cpu", "efficient_attention", "cudnn_attention",
    "fused_attention_overrideable",
)  # fmt: skip


def formula(*names: str) -> Callable[[Formula], Formula]:
    """Register a formula for the named operators."""

    def register(function: Formula) -> Formula:
        FORMULAS.update(dict.fromkeys(names, function))
        return function

    return register


def _first(a: Arguments, *names: str) -> Any:
    """Give the argument that operators of one kind call by different names."""
    return next(a[name] for name in names if name in a)


def _product(m: int, k: int, n: int, like: Any, count: int = 1, bias: bool = False) -> list[Repeated]:
    width = like.itemsize
    if like.is_complex():
        width, count = width // 2, 3 * count
    return [Repeated(Dense(k, n, m, bias, width), count)] if m * k * n * count else []


def _broadcast(*shapes: Sequence[int]) -> int:
    """Count what is repeated over several groups of axes; grouped queries have more heads than their keys."""
    return prod(max(sizes) for sizes in zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1))


@formula("mm", "bmm", "_scaled_mm", "_int_mm", "addmm", "_addmm_activation", "baddbmm", "addbmm", "matmul")
def _matrices(a: Arguments) -> list[Repeated]:
    """Products of two matrices, or of two stacks of them."""
    x, y = _first(a, "mat1", "batch1", "self"), _first(a, "mat2", "batch2", "other")
    (m, k), n, count = x.shape[-2:], y.shape[-1], _broadcast(x.shape[:-2], y.shape[:-2])
    if x.dim() == y.dim() == 3 and y.stride(0) == 0:  # one matrix for all
        return _product(count * m, k, n, x)
    if x.dim() == y.dim() == 3 and x.stride(0) == 0:
        return _product(count * n, k, m, x)
    return _product(m, k, n, x, count, bias="mat1" in a and a["self"].dim() == 1)


@formula("linear", "mkldnn_linear")
def _linear(a: Arguments) -> list[Repeated]:
    x, (n, k) = _first(a, "input", "self"), a["weight"].shape
    return _product(x.numel() // k, k, n, x, bias=a.get("bias") is not None)


@formula("_grouped_mm", "_scaled_grouped_mm")
def _grouped_mm(a: Arguments) -> list[Repeated]:
    # Only the data tell where a matrix is cut into groups: the product of the whole stands for theirs.
    x, y = a["self"], a["mat2"]
    stacks = x.dim() == y.dim() == 3
    return _product(x.shape[-2], x.shape[-1], y.shape[-1], x, x.shape[0] if stacks else 1)


@formula("mv", "addmv", "dot", "vdot")
def _vector(a: Arguments) -> list[Repeated]:
    """Products of a matrix, or of one row, with a vector."""
    x = _first(a, "mat", "self")
    m, k = (1, *x.shape)[-2:]
    return _product(1, k, m, x)


def _three(sizes: Sequence[int], n: int = 1, missing: int = 1) -> Any:
    """Give what holds along depth, height and width, from one size for all `n` axes or one for each."""
    values = list(sizes) * (n if len(sizes) == 1 else 1)
    return [missing] * (3 - len(values)) + values


@formula("convolution", "_convolution", "cudnn_convolution", "mkldnn_convolution", "convolution_overrideable")
def _conv(a: Arguments) -> list[Repeated]:
    x, weight, out = _first(a, "input", "self"), a["weight"], _first(a, "grad_output", "out")
    groups, transposed, n = a.get("groups", 1), a.get("transposed", False), weight.dim() - 2
    wide, narrow = (out, x) if transposed else (x, out)
    if not (wide.numel() and weight.numel()):
        return []
    (batch, _, *size), (cout, cin, *kernel) = wide.shape, weight.shape
    (_, height, width), (k0, *taps), (slices, *_) = map(_three, (size, kernel, narrow.shape[2:]))
    plain = {"stride": 1, "padding": 0, "dilation": 1}
    stride, padding, dilation = (tuple(_three(a[name], n, missing)[1:]) for name, missing in plain.items())
    sides = (height, width, cin * groups * k0, cout, tuple(taps), batch * slices, stride, padding, dilation, groups)
    return [Repeated(Conv2d(*sides, a.get("bias") is not None, x.itemsize), proxy=n == 3 or transposed)]


@formula("torchvision::deform_conv2d")
def _deform_conv(a: Arguments) -> list[Repeated]:
    # Each output has offsets of its own: every tap is read, and none lies on padding.
    x, weight, (height, width) = a["input"], a["weight"], a["offset"].shape[2:]
    (cout, _, k1, k2), groups = weight.shape, a["groups"]
    layer = Conv2d(height, width, x.shape[1], cout, (k1, k2), x.shape[0], 1, "same", 1, groups, False, x.itemsize)
    return [Repeated(layer, proxy=True)]


@formula(
    *(f"quantized::conv{n}d{end}" for n in (1, 2, 3) for end in ("", "_relu", "_dynamic")),
    *(f"quantized::linear{end}" for end in ("", "_relu", "_dynamic", "_relu_dynamic", "_dynamic_fp16")),
)
def _quantized(a: Arguments) -> list[Repeated]:
    x, packed, *_ = a.values()
    weight, bias = packed.unpack()
    given = {"input": x, "weight": weight, "bias": bias, "out": a["out"]}
    if weight.dim() == 2:
        return _linear(given)
    sizes = {name: getattr(packed, name)()[2 - weight.dim() :] for name in ("stride", "padding", "dilation")}
    return _conv({**given, "groups": packed.groups(), **sizes})


@formula("convolution_backward")
def _convolution_backward(a: Arguments) -> list[Repeated]:
    gradients = sum(bool(wanted) for wanted in list(a["output_mask"])[:2])
    return [Repeated(one.layer, gradients, True) for one in _conv({**a, "bias": None}) if gradients]


@formula("scaled_dot_product_attention", *(f"_scaled_dot_product_{kernel}" for kernel in (*_PLAIN, *_FUSED)))
def _sdpa(a: Arguments) -> list[Repeated]:
    q, k, v = a["query"], a["key"], a["value"]
    heads, queries, keys = _broadcast(*(t.shape[:-2] for t in (q, k, v))), q.shape[-2], k.shape[-2]
    return _product(queries, q.shape[-1], keys, q, heads) + _product(queries, keys, v.shape[-1], q, heads)


@formula(*(f"_scaled_dot_product_{kernel}_backward" for kernel in _FUSED))
def _sdpa_backward(a: Arguments) -> list[Repeated]:
    # Scores are recomputed; then the gradients of q and k, of the scores and of v.
    return [replace(one, count=times * one.count) for one, times in zip(_sdpa(a), (3, 2), strict=False)]


@formula("lstm", "gru", "rnn_tanh", "rnn_relu")
def _rnn(a: Arguments) -> list[Repeated]:
    data, sizes = _first(a, "input", "data"), a.get("batch_sizes")
    if sizes is not None and len(sizes):
        steps = Counter(map(int, sizes))  # steps by the batch that each of them has
    else:
        length, batch = (*data.shape[:-1], 1)[:2]
        steps = Counter({length: batch} if a.get("batch_first") else {batch: length})
    runs = a["num_layers"] * (2 if a["bidirectional"] else 1)
    per_run = len(a["params"]) // runs
    out: list[Repeated] = []
    for start in range(0, len(a["params"]), per_run):
        first, *others = [p for p in a["params"][start : start + per_run] if p.dim() == 2]
        out += _product(prod(data.shape[:-1]), first.shape[1], first.shape[0], data)
        for weight in others:
            for batch, count in steps.items():
                out += _product(batch, weight.shape[1], weight.shape[0], data, count)
    return out
