"""The project's formula written out a second time, layer by layer in plain numbers, as its equations read."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphaflops import Conv2d, Dense
from alphaflops.costs import BEST
from alphaflops.layers import to_table

FAST = {"t0": 0.01, "q": 3.0, "b": 250.0, "bw": 30.0, "p": 5000.0, "d": 0.8, "P": 300.0, "f": 40.0}
SLOW = {"t0": 0.002, "q": 1.5, "b": 8.0, "bw": 2.0, "p": 50.0, "d": 0.6, "P": 1.0, "f": 3.0}


def larger(x, y):
    """The larger of two numbers, rounded off: max₈."""
    return (x**8 + y**8) ** (1 / 8)


def work(rows, columns, depth, groups, *, heights, edge, start, full):
    """Products of the cheapest tiling."""
    costs = []
    for a in heights:
        for h in (32, 64, 128):
            tiles = groups * math.ceil(rows / a) * math.ceil(columns / h)
            costs.append(math.sqrt(tiles**2 + full**2) * (a * h + edge * (a + h)) / (1 + edge / 64))
    return min(costs) * (depth**0.7 + start**0.7) ** (1 / 0.7)


def missed(x):
    return x * x / (x + 20e6)


def new(x):
    return x**5 / (x**4 + 64e6**4)


def by_hand(layer, x):
    """Time of a layer (ms) from its sizes and the eight fitted numbers."""
    row = layer.row()
    height, width = (1, 1) if isinstance(layer, Dense) else layer.output_shape[2:]
    groups, taps, number = row["groups"], row["k1"] * row["k2"], row["dtype_bytes"]
    rows, columns, depth = (
        layer.batch * height * width,
        row["out_channels"] / groups,
        row["in_channels"] / groups * taps,
    )
    weights = (row["out_channels"] * depth + row["bias"] * row["out_channels"]) * number
    outputs = rows * row["out_channels"] * number
    activations = outputs + layer.batch * row["height"] * row["width"] * row["in_channels"] * number
    rate = 1e6 * x["b"]  # bytes per millisecond
    speed = 1e6 * x["p"]  # products per millisecond
    traffic = missed(activations) / rate
    if isinstance(layer, Dense):
        products = work(rows, columns, depth, 1, heights=(1, 32, 64, 128), edge=1, start=20, full=0)
        z = larger(products / speed, traffic)
    elif taps == 1:
        products = work(rows, columns, depth, groups, heights=(32, 64, 128), edge=1, start=8, full=0)
        z = larger(products / speed, traffic)
    else:
        reached = depth * (layer.valid_macs / layer.macs) ** 0.3
        products = work(rows, columns, reached, groups, heights=(64, 128), edge=4, start=8, full=x["P"])
        z = larger(products / (x["d"] * speed), traffic)
        if (row["k1"], row["k2"], row["stride1"], row["stride2"], row["dilation1"], row["dilation2"], groups) == (
            3, 3, 1, 1, 1, 1, 1,
        ):  # fmt: skip
            z = min(z, *winograd(layer, x, height, width, weights, traffic))
        lines = (row["out_channels"] * taps) ** 1.5
        z += lines / (lines + 9000**1.5) * weights / (1e6 * x["bw"]) + new(weights) / (1e6 * x["f"])
    z += missed(weights) / rate + new(outputs) / (1e6 * x["f"])
    y = (x["t0"] ** x["q"] + z ** x["q"]) ** (1 / x["q"])
    return y * (1 + y / (2 * (y + 500)))


def winograd(layer, x, height, width, weights, traffic):
    """Times of the two algorithms, F(4×4, 3×3) with its transforms and the fused F(2×2, 3×3)."""
    rate, speed = 1e6 * x["b"], 0.35 * 1e6 * x["p"]
    cin, cout = layer.in_channels, layer.out_channels
    patches = layer.batch * math.ceil(height / 4) * math.ceil(width / 4)
    products = work(patches, cout, cin, 36, heights=(64, 128), edge=4, start=8, full=x["P"])
    moved = 2 * 36 * patches * (cin + cout) * layer.dtype_bytes / rate  # written once and read once
    apart = larger(products / speed, moved / 2) + moved / 2 + traffic + 2 * weights / (1e6 * x["bw"])
    blocks = layer.batch * math.ceil(height / 8) * math.ceil(width / 16) * math.ceil(cout / 32)
    depth = (cin**0.7 + 8**0.7) ** (1 / 0.7)
    fused = larger(math.sqrt(blocks**2 + (x["P"] / 2) ** 2) * 16_384 * depth / speed, traffic)
    return apart, fused


sizes = st.integers(1, 600)
denses = st.builds(Dense, sizes, sizes, st.integers(1, 200), st.booleans(), st.sampled_from([2, 4]))
convolutions = st.builds(
    lambda side, other, c, n, kernel, groups, **rest: Conv2d(
        side, other, groups * c, groups * n, kernel, groups=groups, padding=max(kernel), **rest
    ),
    *[st.integers(1, 120)] * 4,
    st.sampled_from([(1, 1), (3, 3), (3, 3), (5, 5), (1, 3), (7, 2)]),
    st.sampled_from([1, 1, 1, 4]),
    stride=st.sampled_from([1, 1, 2, (1, 2)]),
    dilation=st.sampled_from([1, 1, 2]),
    batch=st.integers(1, 4),
    bias=st.booleans(),
    dtype_bytes=st.sampled_from([2, 4]),
)


@given(st.one_of(denses, convolutions), st.sampled_from([FAST, SLOW]))
@settings(max_examples=300, deadline=None)
def test_any_layer_takes_what_the_equations_say(layer, values):
    assert BEST.predict_ms(to_table([layer]), values)[0] == pytest.approx(by_hand(layer, values), rel=1e-9)


@pytest.mark.parametrize(
    "layer",
    [
        Dense(12800, 12800),  # more weights than a cache holds
        Dense(6400, 6400, 64),
        Conv2d(300, 300, 50, 640),  # 230 MB of output
        Conv2d(100, 640, 150, 100, 3),
        Conv2d(10, 10, 1000, 1000, 5),
        Conv2d(28, 28, 256, 256, 3, batch=8),
        Conv2d(112, 112, 64, 64, 3, stride=2, padding=1, groups=64),
        Conv2d(1, 1, 150, 150, 25),  # almost every product meets padding
    ],
)
@pytest.mark.parametrize("values", [FAST, SLOW])
def test_large_layers_take_what_the_equations_say(layer, values):
    assert BEST.predict_ms(to_table([layer]), values)[0] == pytest.approx(by_hand(layer, values), rel=1e-9)


def test_a_fit_may_move_eight_numbers_within_these_bounds():
    assert {p.name: (p.low, p.high, p.unit) for p in BEST.parameters} == {
        "t0": (1e-5, 10, "ms"),
        "q": (1, 20, ""),
        "b": (0.5, 2e4, "GB/s"),
        "bw": (0.2, 2e4, "GB/s"),
        "p": (1, 1e6, "GMAC/s"),
        "d": (0.05, 5, ""),
        "P": (1, 2000, "tiles"),
        "f": (0.1, 2e4, "GB/s"),
    }
