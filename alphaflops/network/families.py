"""Which operators move data without a multiply–accumulate, and how many bytes they touch.

Everything that is neither here nor in `alphaflops.network.formulas` is unknown, and is reported by name.
"""

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, Final


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


FAMILIES: Final[dict[str, frozenset[str]]] = {
    "norm": _names(
        """
        batch_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm
        _batch_norm_with_update _batch_norm_no_update batch_norm_backward native_batch_norm_backward
        cudnn_batch_norm_backward layer_norm native_layer_norm native_layer_norm_backward group_norm native_group_norm
        native_group_norm_backward _weight_norm_interface_backward rms_norm _fused_rms_norm _fused_rms_norm_backward
        _weight_norm_interface linalg_vector_norm native_norm renorm
        """
    ),
    "softmax": _names(
        """
        softmax _softmax _safe_softmax log_softmax _log_softmax _softmax_backward_data _log_softmax_backward_data
        _masked_softmax _masked_softmax_backward logsumexp nll_loss_forward nll_loss_backward nll_loss2d_forward
        nll_loss2d_backward binary_cross_entropy binary_cross_entropy_backward binary_cross_entropy_with_logits
        _ctc_loss _ctc_loss_backward
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
        grid_sampler_3d upsample_nearest1d_backward upsample_nearest3d_backward upsample_linear1d_backward
        upsample_bicubic2d_backward upsample_trilinear3d_backward _upsample_nearest_exact1d _upsample_nearest_exact3d
        _upsample_nearest_exact2d_backward _upsample_bilinear2d_aa_backward _upsample_bicubic2d_aa_backward
        grid_sampler_2d_backward grid_sampler_3d_backward affine_grid_generator adaptive_max_pool3d_backward
        fractional_max_pool2d fractional_max_pool2d_backward fractional_max_pool3d fractional_max_pool3d_backward
        max_unpool2d max_unpool3d
        """
    ),
    "reduction": _names(
        """
        sum mean amax amin argmax argmin any all max min prod var var_mean std std_mean cumsum cumprod topk sort
        kthvalue median nanmedian mode norm dist trace count_nonzero _aminmax cummax cummin logcumsumexp _logcumsumexp
        histc histogram bincount nonzero nonzero_static _unique _unique2 unique_dim unique_consecutive segment_reduce
        mse_loss mse_loss_backward smooth_l1_loss smooth_l1_loss_backward huber_loss huber_loss_backward
        soft_margin_loss soft_margin_loss_backward multi_margin_loss multi_margin_loss_backward
        multilabel_margin_loss_forward multilabel_margin_loss_backward _is_all_true _is_any_true
        _nested_tensor_from_mask_left_aligned
        """
    ),
    "pointwise": _names(
        """
        hardswish hardswish_backward _prelu_kernel _prelu_kernel_backward glu glu_backward native_dropout
        native_dropout_backward _fused_dropout bernoulli rrelu_with_noise rrelu_with_noise_backward
        _thnn_fused_lstm_cell _thnn_fused_gru_cell _thnn_fused_lstm_cell_backward_impl _thnn_fused_gru_cell_backward
        log_sigmoid_forward log_sigmoid_backward elu elu_backward leaky_relu_backward hardtanh_backward
        hardsigmoid_backward hardshrink_backward softshrink_backward softplus_backward native_channel_shuffle addr
        addcmul addcdiv masked_fill floor_divide isin bucketize searchsorted multinomial complex polar linalg_cross
        quantize_per_tensor quantize_per_channel dequantize _fused_moving_avg_obs_fq_helper
        fake_quantize_per_tensor_affine_cachemask fake_quantize_per_channel_affine_cachemask
        """
    ),
    "movement": _names(
        """
        copy clone cat stack block_diag index select_scatter slice_scatter diagonal_scatter as_strided_scatter
        index_select index_put _index_put_impl _unsafe_index _unsafe_index_put _unsafe_masked_index
        _unsafe_masked_index_put_accumulate index_copy index_add index_fill index_reduce gather scatter scatter_add
        scatter_reduce embedding embedding_dense_backward embedding_renorm _embedding_bag _embedding_bag_forward_only
        _embedding_bag_dense_backward _embedding_bag_per_sample_weights_backward take put take_along_dim
        constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
        replication_pad3d reflection_pad1d_backward reflection_pad2d_backward reflection_pad3d_backward
        replication_pad1d_backward replication_pad2d_backward replication_pad3d_backward roll flip rot90 repeat
        repeat_interleave fill zero zeros zeros_like ones ones_like full full_like new_zeros new_ones new_full arange
        range linspace logspace eye scalar_tensor tril_indices triu_indices hann_window hamming_window bartlett_window
        blackman_window kaiser_window fft_fftfreq fft_rfftfreq _to_copy _to_dense tril triu diag_embed im2col col2im
        pixel_shuffle pixel_unshuffle channel_shuffle masked_select rand randn rand_like randn_like randint
        randint_like randperm normal uniform exponential random poisson geometric cauchy log_normal masked_scatter
        masked_scatter_backward select_backward slice_backward diagonal_backward unfold_backward
        split_with_sizes_copy unbind_copy narrow_copy _pack_padded_sequence _pad_packed_sequence to_padded_tensor
        _jagged_to_padded_dense_forward _padded_dense_to_jagged_forward lift lift_fresh_copy _pin_memory
        """
    ),
}
"""Operator names by family, without the underscore of those that work in place.

Operators that PyTorch tags as point-wise or as a reduction need not be listed.
"""

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

OWN: Final = frozenset({"aten", "prim", "prims"})
"""Namespaces of the operators that are known by name."""

_GATHERS = _names("embedding index index_select gather _unsafe_index take_along_dim")
_BAGS = _names("_embedding_bag _embedding_bag_forward_only")
_OVERWRITES = _names("copy_ fill_ zero_ normal_ uniform_ bernoulli_ exponential_ random_")
_BY_NAME = {name: family for family, names in FAMILIES.items() for name in names}


def family_of(key: str, name: str, tags: Iterable[Any]) -> str:
    """Family of an operator without multiply–accumulates.

    Parameters
    ----------
    key : str
        Operator with its namespace, unless that is one of `OWN`.
    name : str
        Operator name, without namespace and overload.
    tags : iterable of torch.Tag
        What PyTorch says about the operator.

    Returns
    -------
    str
        One of `FAMILIES`, ``"free"``, or ``"unknown"``: whoever names an operator ``embedding`` may mean anything.
    """
    if "::" in key and not key.startswith("quantized::"):
        return "unknown"
    plain = name.removesuffix("_")
    if name in FREE:
        return "free"
    if plain in _BY_NAME:
        return _BY_NAME[plain]
    if plain.startswith("_foreach_"):  # one operator on each tensor of a list
        return _BY_NAME.get(plain.removeprefix("_foreach_"), "pointwise")
    named = {tag.name for tag in tags}
    if "pointwise" in named:
        return "pointwise"
    return "reduction" if "reduction" in named else "unknown"


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
    size = arguments.get("kernel_size")
    if size is None or not outputs:
        return 0
    pooled = outputs[0]
    sides = [size] if isinstance(size, int) else list(size)
    spatial = pooled.dim() - 2 if len(sides) == 1 else 1
    return int(pooled.numel() * prod(sides) ** max(spatial, 1))
