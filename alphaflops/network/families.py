"""Which operators move data without a multiply–accumulate, and how many bytes they touch.

Everything that is neither here nor in `alphaflops.network.formulas` is unknown, and is reported by name.
"""

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, Final

import numpy as np


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


FAMILIES: Final[dict[str, frozenset[str]]] = {
    "norm": _names(
        """
        batch_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm
        _batch_norm_with_update _batch_norm_no_update batch_norm_backward native_batch_norm_backward
        cudnn_batch_norm_backward layer_norm native_layer_norm native_layer_norm_backward group_norm native_group_norm
        native_group_norm_backward _weight_norm_interface_backward rms_norm _fused_rms_norm _fused_rms_norm_backward
        _weight_norm_interface
        linalg_vector_norm
        """
    ),
    "softmax": _names(
        """
        softmax _softmax _safe_softmax log_softmax _log_softmax _softmax_backward_data _log_softmax_backward_data
        logsumexp nll_loss_forward nll_loss_backward nll_loss2d_forward nll_loss2d_backward
        """
    ),
    "pooling": _names(
        """
        max_pool2d max_pool2d_with_indices max_pool2d_with_indices_backward max_pool3d max_pool3d_with_indices
        max_pool3d_with_indices_backward max_pool1d max_pool1d_with_indices avg_pool1d avg_pool2d avg_pool2d_backward
        avg_pool3d avg_pool3d_backward _adaptive_avg_pool2d _adaptive_avg_pool2d_backward _adaptive_avg_pool3d
        _adaptive_avg_pool3d_backward adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool2d_backward
        adaptive_max_pool3d upsample_nearest1d upsample_nearest2d upsample_nearest2d_backward upsample_nearest3d
        _upsample_nearest_exact2d upsample_linear1d upsample_bilinear2d upsample_bilinear2d_backward
        upsample_bicubic2d upsample_trilinear3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler_2d
        grid_sampler_3d
        """
    ),
    "reduction": _names(
        """
        sum mean amax amin argmax argmin any all max min prod var var_mean std std_mean cumsum cumprod topk sort
        kthvalue median norm mse_loss count_nonzero
        """
    ),
    "pointwise": _names(
        """
        hardswish hardswish_ hardswish_backward _prelu_kernel glu glu_backward native_dropout native_dropout_backward
        bernoulli bernoulli_ rrelu_with_noise _thnn_fused_lstm_cell _thnn_fused_gru_cell log_sigmoid_forward
        native_channel_shuffle addr addcmul addcdiv masked_fill masked_fill_
        """
    ),
    "movement": _names(
        """
        copy copy_ clone cat stack index select_scatter slice_scatter diagonal_scatter as_strided_scatter index_select
        index_put index_put_ _unsafe_index _unsafe_index_put index_copy index_add index_add_ index_fill gather scatter
        scatter_ scatter_add scatter_add_ scatter_reduce embedding embedding_dense_backward take_along_dim
        constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d replication_pad3d roll
        flip rot90 repeat repeat_interleave fill fill_ zero_ zeros zeros_like ones ones_like full full_like new_zeros
        new_ones new_full arange linspace eye scalar_tensor _to_copy tril triu tril_ triu_ im2col col2im pixel_shuffle
        pixel_unshuffle channel_shuffle masked_select rand randn rand_like randn_like randint randperm normal_
        uniform_ exponential_ random_ masked_scatter select_backward slice_backward unfold_backward
        split_with_sizes_copy unbind_copy _pack_padded_sequence _pad_packed_sequence lift lift_fresh_copy
        """
    ),
}
"""Operator names by family; operators that PyTorch tags as point-wise or as a reduction need not be listed."""

FREE: Final = _names(
    """
    as_strided_
    empty empty_like empty_strided new_empty new_empty_strided lift_fresh detach detach_ alias _local_scalar_dense
    item size stride numel dim sym_size sym_stride sym_numel is_same_size device layout result_type set_ resize_
    _assert_async _assert_tensor_metadata _assert_scalar _version is_contiguous storage_offset _unsafe_view
    record_stream is_nonzero _nested_tensor_size squeeze_ unsqueeze_ transpose_ t_ unsafe_split unsafe_chunk
    """
)
"""Operators that allocate, describe or re-describe memory but touch no element."""

_GATHERS = _names("embedding index index_select gather _unsafe_index take_along_dim")
_OVERWRITES = _names("copy_ fill_ zero_ normal_ uniform_ bernoulli_ exponential_ random_")
_BY_NAME = {name: family for family, names in FAMILIES.items() for name in names}


def family_of(name: str, tags: Iterable[Any]) -> str:
    """Family of an operator without multiply–accumulates.

    Parameters
    ----------
    name : str
        Operator name, without namespace and overload.
    tags : iterable of torch.Tag
        What PyTorch says about the operator.

    Returns
    -------
    str
        One of `FAMILIES`, ``"free"``, or ``"unknown"``.
    """
    if name in FREE:
        return "free"
    if name in _BY_NAME:
        return _BY_NAME[name]
    named = {tag.name for tag in tags}
    if "pointwise" in named:
        return "pointwise"
    return "reduction" if "reduction" in named else "unknown"


def _touched(tensor: Any) -> int:
    """Bytes of a tensor, an expanded axis (stride 0) once."""
    numel = int(np.prod([n for n, step in zip(tensor.shape, tensor.stride(), strict=True) if step or n == 0]))
    return numel * int(tensor.itemsize)


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
    size = arguments.get("kernel_size")
    if size is None or not outputs:
        return 0
    pooled = outputs[0]
    sides = [size] if isinstance(size, int) else list(size)
    spatial = pooled.dim() - 2 if len(sides) == 1 else 1
    return int(pooled.numel() * prod(sides) ** max(spatial, 1))
