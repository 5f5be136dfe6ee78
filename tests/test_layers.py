"""Counts against hand arithmetic, and against torch on random layers."""

import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from alphaflops import AlphaflopsError, Conv2d, Dense, layers
from alphaflops.layers import as_table, from_row


def test_convolution_by_hand():
    layer = Conv2d(10, 10, 100, 50, kernel=3)
    # 10·10 positions × 100·50 channel pairs × 3·3 taps = 4,500,000
    assert layer.macs == 4_500_000
    assert layer.flops == 9_000_000
    # 100·50·3·3 weights = 45,000
    assert layer.params == 45_000
    # (100·10·10 in + 50·10·10 out + 45,000 weights) · 4 bytes = (10,000 + 5,000 + 45,000) · 4 = 240,000
    assert layer.bytes_moved == 240_000
    # each axis: 10·3 taps, of which one at each end meets padding = 28; 28·28·5,000 = 3,920,000
    assert layer.valid_macs == 3_920_000


def test_strided_grouped_convolution_with_bias_by_hand():
    layer = Conv2d(7, 9, 4, 6, kernel=(3, 1), batch=2, stride=(2, 3), padding=(1, 0), groups=2, bias=True)
    # height (7 + 2 − 3)//2 + 1 = 4, width (9 − 1)//3 + 1 = 3
    assert layer.output_shape == (2, 6, 4, 3)
    # 2 · 4·3 · (4/2)·6 · 3·1 = 864
    assert layer.macs == 864
    # (4/2)·6·3 + 6 = 42
    assert layer.params == 42
    # output rows start at −1, 1, 3, 5 and take three rows each, of which 2 + 3 + 3 + 2 = 10 are on data;
    # batch 2 · rows 10 · columns 3 · channel pairs 12 = 720
    assert layer.valid_macs == 720


def test_even_kernel_with_same_padding_puts_the_extra_zero_last():
    assert Conv2d(10, 10, 1, 1, kernel=4).pads == (1, 2, 1, 2)


def test_dense_by_hand():
    layer = Dense(12800, 12800)
    assert layer.macs == 163_840_000  # 12,800²
    assert layer.flops == 327_680_000  # the paper's 327.68 million
    assert layer.params == layer.valid_macs == 163_840_000
    assert layer.bytes_moved == (163_840_000 + 2 * 12_800) * 4
    assert Dense(3, 5, batch=7).output_shape == (7, 5)
    assert Dense(3, 5, bias=True).params == 20  # 15 weights and 5 biases


def test_a_table_counts_like_its_layers():
    specs = [Conv2d(10, 12, 3, 5, 4), Dense(7, 9, 2, bias=True), Conv2d(20, 20, 6, 6, 5, 1, 2, 1, 2, 3)]
    table = as_table(specs)
    for name in ("macs", "params", "bytes_moved", "valid_macs", "flops"):
        assert getattr(layers, name)(table).tolist() == [getattr(s, name) for s in specs]


convolutions = st.builds(
    lambda h, w, cin, cout, k, batch, stride, padding, dilation, groups, bias: dict(
        height=h,
        width=w,
        in_channels=cin * groups,
        out_channels=cout * groups,
        kernel=k,
        batch=batch,
        stride=1 if padding == "same" else stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=bias,
    ),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 3),
    st.integers(1, 3),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.integers(1, 3),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.one_of(st.just("same"), st.tuples(st.integers(0, 5), st.integers(0, 5))),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.integers(1, 3),
    st.booleans(),
)


def fits(sizes):
    try:
        return Conv2d(**sizes)
    except AlphaflopsError:
        return None


@settings(max_examples=200, deadline=None)
@given(convolutions.map(fits).filter(bool))
def test_any_convolution_counts_as_torch_does(layer):
    x = torch.ones(layer.batch, layer.in_channels, layer.height, layer.width)
    weight = torch.ones(layer.out_channels, layer.in_channels // layer.groups, *layer.kernel)
    with FlopCounterMode(display=False) as counter:
        y = F.conv2d(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    assert tuple(y.shape) == layer.output_shape
    assert counter.get_total_flops() == layer.flops
    assert weight.numel() + layer.bias * layer.out_channels == layer.params
    assert int(y.sum()) == layer.valid_macs  # ones convolved with ones count the taps on data
    assert layer.valid_macs <= layer.macs
    assert from_row(layer.row()).row() == layer.row()


@given(convolutions.map(lambda sizes: fits(sizes | {"padding": 0})).filter(bool))
def test_without_padding_every_product_touches_data(layer):
    assert layer.valid_macs == layer.macs


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 8))
def test_any_dense_layer_counts_as_torch_does(n_in, n_out, batch):
    layer = Dense(n_in, n_out, batch)
    with FlopCounterMode(display=False) as counter:
        y = F.linear(torch.ones(batch, n_in), torch.ones(n_out, n_in))
    assert tuple(y.shape) == layer.output_shape
    assert counter.get_total_flops() == layer.flops
    assert int(y.sum()) == layer.valid_macs
    assert from_row(layer.row()) == layer


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"height": 0}, "height is 0"),
        ({"in_channels": -3}, "in_channels is -3"),
        ({"out_channels": 2.5}, "out_channels is 2.5"),
        ({"kernel": (3, 0)}, "kernel is 0"),
        ({"kernel": (3, 3, 3)}, "kernel is (3, 3, 3)"),
        ({"kernel": 5, "padding": 0}, "padded height is 4"),
        ({"groups": 2}, "not divisible by groups = 2"),
        ({"padding": "valid"}, "padding is 'valid'"),
        ({"stride": 2}, "needs stride 1"),
        ({"batch": True}, "batch is True"),
    ],
)
def test_impossible_layers_are_refused_in_one_line(sizes, message):
    with pytest.raises(AlphaflopsError) as error:
        Conv2d(**({"height": 4, "width": 4, "in_channels": 3, "out_channels": 3} | sizes))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_rows_that_no_spec_can_say_are_refused():
    row = Conv2d(4, 4, 1, 1, 3).row()
    with pytest.raises(AlphaflopsError, match="neither even nor 'same'"):
        from_row(row | {"pad_top": 0})
    with pytest.raises(AlphaflopsError, match="kind is 'pool'"):
        from_row(row | {"kind": "pool"})


def test_counts_are_exact_for_large_tables():
    table = as_table([Dense(12800, 12800, 64)] * 1000)
    assert np.all(layers.macs(table) == 12800 * 12800 * 64)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "before", "after"),
    [(80, 70, 1, 1, 9, 3), (50, 90, 4, 1, 40, 30), (40, 65, 3, 5, 400, 11), (7, 100, 97, 2, 500, 600)],
)
def test_taps_on_data_of_a_wide_kernel_are_those_that_one_by_one_counts(size, kernel, stride, dilation, before, after):
    sizes = {"kind": "conv2d", "in_channels": 1, "out_channels": 1, "height": 1, "width": size, "k1": 1, "k2": kernel}
    sizes |= {"stride2": stride, "dilation2": dilation, "pad_top": 0, "pad_bottom": 0}
    layer = layers.as_table(sizes | {"pad_left": before, "pad_right": after})
    reach = dilation * (kernel - 1) + 1
    outputs = (size + before + after - reach) // stride + 1
    read = [o * stride + k * dilation - before for o in range(outputs) for k in range(kernel)]
    assert layers.valid_macs(layer).tolist() == [sum(0 <= place < size for place in read)]


def test_a_kernel_of_ten_million_taps_is_counted_at_once():
    # each of the 10⁷ numbers meets each of the 10⁷ taps once
    layer = Conv2d(1, 10**7, 1, 1, (1, 10**7), padding=(0, 10**7 - 1))
    started = time.process_time()
    assert layer.valid_macs == 10**14
    assert time.process_time() - started < 0.5
