"""The project's formula written out a second time, layer by layer in plain numbers, as its equations read."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphaflops import Conv2d, Dense
from alphaflops.costs import OURS
from alphaflops.layers import as_table

FAST = {"t0": 0.01, "b": 250.0, "p": 5000.0, "a": 60.0, "k": 1.05, "v": 1.2, "e": 0.9, "bw": 30.0}
SLOW = {"t0": 0.002, "b": 8.0, "p": 50.0, "a": 7.0, "k": 0.9, "v": 3.0, "e": 1.2, "bw": 2.0}


def by_hand(layer, x):
    """Time of a layer (ms) from its sizes and the eight fitted numbers."""
    row = layer.row()
    height, width = (1, 1) if isinstance(layer, Dense) else layer.output_shape[2:]
    groups, taps, number = row["groups"], row["k1"] * row["k2"], row["dtype_bytes"]
    rows, columns = layer.batch * height * width, row["out_channels"] / groups
    inputs = row["in_channels"] / groups
    idle, ends = 16 * x["a"] ** 2, x["a"] / 8
    work = (groups * (rows + x["a"]) * (columns + 16) + idle) * (inputs * taps ** x["k"] + ends)
    time = (work / (1e6 * x["p"])) ** x["e"]  # p billion products a second are a million times p in a millisecond
    plain = {row[name] for name in ("stride1", "stride2", "dilation1", "dilation2", "groups")} == {1}
    if (row["k1"], row["k2"]) == (3, 3) and plain:
        patches = layer.batch * math.ceil(height / 4) * math.ceil(width / 4)
        products = (36 * (patches + x["a"]) * (columns + 16) + idle) * (inputs + ends)
        moved = 2 * 36 * patches * (inputs + columns) * number  # written once and read once
        time = min(time, moved / (1e6 * x["b"]) + (x["v"] * products / (1e6 * x["p"])) ** x["e"])
    weights = (row["out_channels"] * inputs * taps + row["bias"] * row["out_channels"]) * number
    anew = weights / (1e6 * x["bw"]) if taps > 1 else 0
    return x["t0"] + layer.bytes_moved / (1e6 * x["b"]) + anew + time


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
    assert OURS.predict_ms(as_table([layer]), values)[0] == pytest.approx(by_hand(layer, values), rel=1e-9)


def test_a_dense_layer_by_hand():
    # 2 rows, 84 columns, depth 399: ((2 + 8)·(84 + 16) + 16·8²)·(399 + 8/8) = 809,600 products at 1 GMAC/s: 0.8096 ms;
    # 4·(2·399 + 2·84 + 399·84) = 137,928 bytes at 1 GB/s: 0.137928 ms; 0.5 ms of overhead
    values = {"t0": 0.5, "b": 1.0, "p": 1.0, "a": 8.0, "k": 1.0, "v": 1.0, "e": 1.5, "bw": 1.0}
    got = OURS.predict_ms(as_table([Dense(399, 84, batch=2)]), values)[0]
    assert got == pytest.approx(0.5 + 0.137928 + 0.8096**1.5)


def test_winograd_is_taken_where_it_is_faster():
    table = as_table([Conv2d(56, 56, 256, 256, kernel=3), Conv2d(56, 56, 256, 256, kernel=(3, 5))])
    cheap, dear = (OURS.predict_ms(table, FAST | {"v": v, "b": 2e4}) for v in (0.5, 20.0))
    assert cheap[0] < dear[0]
    assert cheap[1] == dear[1]


def test_a_fit_may_move_eight_numbers_within_these_bounds():
    assert {p.name: (p.low, p.high, p.unit) for p in OURS.parameters} == {
        "t0": (1e-5, 10, "ms"),
        "b": (0.5, 2e4, "GB/s"),
        "p": (1, 1e6, "GMAC/s"),
        "a": (0.1, 1e4, ""),
        "k": (0.3, 2, ""),
        "v": (0.05, 20, ""),
        "e": (0.3, 1.5, ""),
        "bw": (0.2, 2e4, "GB/s"),
    }


any_values = st.fixed_dictionaries(
    {p.name: st.floats(math.log(p.low), math.log(p.high)).map(math.exp) for p in OURS.parameters}
).map(lambda found: {p.name: min(max(found[p.name], p.low), p.high) for p in OURS.parameters})
squares = st.builds(
    Conv2d, height=st.integers(1, 40), width=st.integers(1, 40), in_channels=st.integers(1, 60),
    out_channels=st.integers(1, 60), kernel=st.sampled_from([1, 2, 3, 5]), batch=st.integers(1, 8),
)  # fmt: skip


@given(squares, any_values, st.sampled_from(["height", "width", "in_channels", "out_channels", "batch"]))
@settings(max_examples=150, deadline=None)
def test_more_work_never_takes_less_time_nor_less_than_the_overhead(layer, values, axis):
    more = [replace(layer, **{axis: getattr(layer, axis) + step}) for step in (0, 1, 17)]
    times = OURS.predict_ms(as_table(more), values)
    assert np.isfinite(times).all()
    assert times[0] >= values["t0"] * (1 - 1e-12)
    assert (np.diff(times) >= -1e-9 * times[:-1]).all()
