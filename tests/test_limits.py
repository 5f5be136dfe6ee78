"""Layers against their hardware: rates by hand, points beyond the roof, repeated layers."""

import pytest

from alphaflops.chapters import frames
from alphaflops.layers import Conv2d, Dense, as_table

T4 = {"machine": {"name": "Tesla T4"}}
"""8.1 TFLOP/s and 320 GB/s, as datasets.json says."""


@pytest.fixture
def timed(make_run):
    def make(layers, times, **metadata):
        table = as_table(layers).assign(experiment="conv_fixed_progressive", line="dense", x=range(len(layers)))
        return make_run(table, lambda _: times, **metadata)

    return make


def test_rates_by_hand(timed):
    # dense 1000 → 500, 4 bytes: 2 · 500 000 FLOP and (500 000 + 1500) · 4 bytes in 1 ms
    row = frames.rates(timed([Dense(1000, 500)], [1.0])).iloc[0]
    assert row["tflops"] == pytest.approx(1e6 / 1e-3 / 1e12)
    assert row["gbs"] == pytest.approx(501_500 * 4 / 1e-3 / 1e9)
    assert row["intensity"] == pytest.approx(1e6 / 2_006_000)
    assert (row["valid_share"], row["class"]) == (1, "1×1 or dense")


def test_padding_is_counted(timed):
    # 3×3 kernel on one position: 9 taps are counted, one touches data
    row = frames.rates(timed([Conv2d(1, 1, 8, 8, 3)], [1.0])).iloc[0]
    assert row["valid_share"] == pytest.approx(1 / 9)
    assert row["class"] == "larger kernels"


def test_points_beyond_the_hardware(timed):
    # 10 000² weights of 4 bytes: 400 MB, 1.25 ms at 320 GB/s; 0.2 GFLOP, 0.025 ms at 8.1 TFLOP/s
    run = timed([Dense(10_000, 10_000)] * 4, [2.0, 1.2, 1.0, 0.01], **T4)  # 1.2 ms is within a tenth
    assert frames.rates(run)["beyond"].tolist() == [False, False, True, True]
    # a layer of 40 kB in 0.1 µs: 400 GB/s out of a cache exceed no memory, 0.2 TFLOP/s no arithmetic
    assert not frames.rates(timed([Dense(100, 100)], [1e-4], **T4))["beyond"].any()
    assert not frames.rates(timed([Dense(10_000, 10_000)], [0.01]))["beyond"].any()  # of no known machine


def test_roof_is_memory_on_the_left_and_arithmetic_on_the_right(timed):
    # dense, batch 1: half a FLOP per byte, 160 GFLOP/s; 3×3 on 100×100, 512 channels: far right
    found = frames.rates(timed([Dense(10_000, 10_000), Conv2d(100, 100, 512, 512, 3)], [1.0, 1.0], **T4))
    assert found["roof"].tolist() == pytest.approx([0.160, 8.1], rel=1e-3)


def test_repeated_layers_are_compared(timed, defined):
    layers = [Dense(10, 10), Dense(20, 20), Dense(10, 10)]
    repeated = defined("90_data").repeated
    found = repeated(timed(layers, [1.0, 5.0, 1.1]))
    assert found[["n", "fastest_ms", "slowest_ms"]].to_numpy().tolist() == [[2, 1.0, 1.1]]
    assert found["spread_pct"].iloc[0] == pytest.approx(10)
    assert found["layer"].tolist() == ["dense 10 → 10"]
    assert repeated(timed(layers[:2], [1.0, 5.0])).empty
