"""Which operators move data without a multiply–accumulate, and how many bytes they touch.

Everything that is neither here nor in `alphaflops.network.formulas` is unknown, and is reported by name.
"""

import re
from collections.abc import Mapping
from functools import cache
from math import prod
from typing import Any, Final, NamedTuple

FAMILIES: Final = re.compile(
    r"""
    (?P<free> as_strided | (new_)?empty(_like|_strided)? | lift_fresh | detach | alias | _local_scalar_dense | item |
        size | stride | numel | dim | sym_(size|stride|numel) | is_same_size | device | layout | result_type | set |
        resize | _assert_(async|tensor_metadata|scalar) | _version | is_contiguous | storage_offset | _unsafe_view |
        record_stream | is_nonzero | _nested_tensor_size | (un)?squeeze | transpose | t | unsafe_(split|chunk)) |
    (?P<norm> .*(batch|layer|group|rms|vector|native)_norm.* | _weight_norm_interface.* | renorm) |
    (?P<softmax> _?(log_|safe_|masked_)?softmax(_backward.*)? | logsumexp | nll_loss(2d)?_.*ward | _ctc_loss.* |
        binary_cross_entropy.*) |
    (?P<pooling> (_adaptive_avg|adaptive_max|avg|(fractional_)?max)_(un)?pool\dd.* | _?upsample_.* |
        grid_sampler_\dd.* | affine_grid_generator) |
    (?P<reduction> (arg|a|cum)?(max|min) | _aminmax | (cum)?(sum|prod) | mean | any | all | (var|std)(_mean)? | topk |
        sort | kthvalue | (nan)?median | mode | norm | dist | trace | _?logcumsumexp | histc | histogram | bincount |
        nonzero(_static)? | count_nonzero | _?unique.* | segment_reduce | _is_(all|any)_true |
        (mse|smooth_l1|huber|soft_margin|multi_margin|multilabel_margin)_loss.* |
        _nested_tensor_from_mask_left_aligned) |
    (?P<pointwise> hardswish.* | _prelu_kernel.* | glu.* | native_dropout.* | _fused_dropout | bernoulli | elu.* |
        rrelu_with_noise.* | _thnn_fused_(lstm|gru)_cell.* | log_sigmoid_.* | native_channel_shuffle | addr | addcmul |
        addcdiv | (leaky_relu|hardtanh|hardsigmoid|hardshrink|softshrink|softplus)_backward | masked_fill | isin |
        floor_divide | bucketize | searchsorted | multinomial | complex | polar | linalg_cross | quantize_per_.* |
        dequantize | _fused_moving_avg_obs_fq_helper | fake_quantize_per_.*_cachemask) |
    (?P<movement> .*copy | clone | cat | stack | block_diag | (_unsafe_(masked_)?)?index.* | _index_put_impl | roll |
        .*scatter.* | gather | take | put | take_along_dim | embedding(_dense_backward|_renorm)? | _embedding_bag.* |
        constant_pad_nd | (reflection|replication)_pad\dd.* | flip | rot90 | repeat(_interleave)? | fill | zero |
        (new_)?(zeros|ones|full)(_like)? | arange | range | linspace | logspace | eye | scalar_tensor | .*_window |
        tri[lu](_indices)? | fft_r?fftfreq | _to_dense | diag_embed | im2col | col2im | (pixel|channel)_(un)?shuffle |
        masked_select | rand.* | normal | uniform | exponential | poisson | geometric | cauchy | log_normal | lift |
        (select|slice|diagonal|unfold)_backward | _pack_padded_sequence | _pad_packed_sequence | to_padded_tensor |
        .*_to_(jagged|padded_dense)_forward | _pin_memory)
    """,
    re.VERBOSE,
)
"""What the names of operators match, without the underscore of those that work in place, by family.

The free ones allocate, describe or re-describe memory but touch no element. Operators that PyTorch tags as point-wise
or as a reduction need not be listed.
"""

OWN: Final = frozenset({"aten", "prim", "prims"})
"""Namespaces of the operators that are known by name."""

_GATHERS: Final = {"embedding", "index", "index_select", "gather", "_unsafe_index", "take_along_dim"}
_BAGS: Final = {"_embedding_bag", "_embedding_bag_forward_only"}
_OVERWRITES: Final = {"copy_", "fill_", "zero_", "normal_", "uniform_", "bernoulli_", "exponential_", "random_"}


class About(NamedTuple):
    """What PyTorch tells about an operator, whatever it is called with.

    Attributes
    ----------
    key, name : str
        To find it by, whether it works in place or not, and to show; without PyTorch's own namespaces.
    family : str
        One of `FAMILIES`, or ``"unknown"``.
    writes, views : bool
        Whether it changes what it is given, and whether all that it gives are views of that.
    reads, draws : bool
        Whether what it gives depends on values, and whether on random numbers.
    """

    key: str
    name: str
    family: str
    writes: bool
    views: bool
    reads: bool
    draws: bool


@cache
def about(func: Any) -> About:
    """Read the schema and the tags of an operator."""
    name: str = func._overloadpacket.__name__
    tags = {tag.name for tag in func.tags}
    space = "" if func.namespace in OWN else f"{func.namespace}::"
    return About(
        key=space + name.removesuffix("_"),
        name=space + name,
        family=_family(space, name, tags),
        writes=func._schema.is_mutable,
        views=all(result.alias_info for result in func._schema.returns),
        reads=bool(tags & {"data_dependent_output", "dynamic_output_shape"}),
        draws="nondeterministic_seeded" in tags,
    )


def named_family(plain: str) -> str | None:
    """Family of an operator by its name alone, None where that tells nothing."""
    found = FAMILIES.fullmatch(plain)
    return found.lastgroup if found else None


def _family(space: str, name: str, tags: set[str]) -> str:
    if space not in ("", "quantized::"):  # whoever names an operator `embedding` may mean anything
        return "unknown"
    plain = name.removeprefix("_foreach_")  # one operator on each tensor of a list
    if family := named_family(plain.removesuffix("_")):
        return family
    if plain != name or "pointwise" in tags:
        return "pointwise"
    return "reduction" if "reduction" in tags else "unknown"


def _touched(tensor: Any) -> int:
    """Bytes of a tensor, an expanded axis (stride 0) once."""
    if tensor.is_nested or str(tensor.layout) != "torch.strided":
        return int(tensor.numel() * tensor.itemsize)
    sizes = (int(n) for n, step in zip(tensor.shape, tensor.stride(), strict=True) if step or n == 0)
    return prod(sizes) * int(tensor.itemsize)


def bytes_touched(name: str, inputs: list[Any], outputs: list[Any]) -> int:
    """Bytes that an operator reads and writes at least (bytes).

    Each input is read and each output written once; a look-up reads as much of its table as it writes, and an
    operator that overwrites its target does not read it.

    Parameters
    ----------
    name : str
        Operator name.
    inputs, outputs : list of Tensor
        Tensors given and returned, without data or with.
    """
    written = sum(_touched(tensor) for tensor in outputs)
    if name in _BAGS:
        table, indices = inputs[0], inputs[1]
        return written + _touched(indices) + int(indices.numel() * table.shape[-1] * table.itemsize)
    if name in _GATHERS:
        return 2 * written + sum(_touched(tensor) for tensor in inputs[1:] if not tensor.is_floating_point())
    read = inputs[1:] if name in _OVERWRITES else inputs
    return written + sum(_touched(tensor) for tensor in read)


def window_taps(arguments: Mapping[str, Any], outputs: list[Any]) -> int:
    """Elements that the windows of a pooling operator look at, 0 where it has no fixed window (numbers).

    Parameters
    ----------
    arguments : mapping
        What the operator was called with, by name.
    outputs : list of Tensor
        Tensors returned, the pooled one first.
    """
    if (size := arguments.get("kernel_size")) is None:
        return 0
    pooled = outputs[0]
    spatial = pooled.dim() - 2 if len(size) == 1 else 1
    return int(pooled.numel() * prod(size) ** max(spatial, 1))
