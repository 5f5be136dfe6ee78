"""Layers against their hardware: rates by hand, points beyond the roof, repeated layers."""

import numpy as np
import pytest

from alphaflops import experiments
from alphaflops.layers import Conv2d, Dense, to_table
from alphaflops.runs import Run
from alphaflops.study import limits
from alphaflops.study.limits import PEAKS, Peak

PEAK = Peak(tflops=1.0, gbs=100.0, source="made up")


def run_of(meta, layers, times, **columns):
    import pandas as pd

    table = pd.DataFrame(to_table(layers)).assign(latency_ms=times, experiment="conv_fixed_progressive", **columns)
    return Run(meta, table)


def test_rates_by_hand(meta):
    # dense 1000 → 500, 4 bytes: 2 · 500 000 FLOP and (500 000 + 1500) · 4 bytes in 1 ms
    frame = limits.rates(run_of(meta, [Dense(1000, 500)], [1.0]))
    row = frame.iloc[0]
    assert row["tflops"] == pytest.approx(1e6 / 1e-3 / 1e12)
    assert row["gbs"] == pytest.approx(501_500 * 4 / 1e-3 / 1e9)
    assert row["intensity"] == pytest.approx(1e6 / 2_006_000)
    assert (row["valid_share"], row["class"]) == (1, "1×1 or dense")


def test_padding_is_counted_and_told(meta):
    # 3×3 kernel on one position: 9 taps are counted, one touches data
    frame = limits.rates(run_of(meta, [Conv2d(1, 1, 8, 8, 3)], [1.0]))
    assert frame["valid_share"].iloc[0] == pytest.approx(1 / 9)
    assert frame["class"].iloc[0] == "larger kernels"
    assert "89 % multiply padding" in limits.told_padding([frame])


def test_points_beyond_the_roof(meta):
    # 10 000² weights of 4 bytes, 400 MB: 4 ms at 100 GB/s; 0.2 GFLOP: 0.2 ms at 1 TFLOP/s
    layer = Dense(10_000, 10_000)
    frame = limits.rates(run_of(meta, [layer] * 4, [5.0, 3.9, 2.0, 0.1]))  # 3.9 ms is within a tenth
    found = limits.beyond(frame, PEAK)
    assert found["time_ms"].tolist() == [0.1, 2.0]
    assert found["of_peak"].tolist() == pytest.approx([2.0, 0.1])
    assert found["of_bandwidth"].iloc[1] == pytest.approx(2.0, rel=1e-3)


def test_a_cached_layer_exceeds_no_bandwidth(meta):
    # 100² weights, 40 kB, in 0.1 µs: 400 GB/s out of a cache, 0.2 TFLOP/s
    frame = limits.rates(run_of(meta, [Dense(100, 100)], [1e-4]))
    assert limits.beyond(frame, PEAK).empty


def test_peak_of_the_authors_gpu_is_no_lower_than_its_parts():
    # 1024 cores, 2 FLOP each, 1.785 GHz
    assert PEAKS["Quadro T2000"].tflops == pytest.approx(3.65568)
    assert all(peak.source and peak.tflops > 0 and peak.gbs > 0 for peak in PEAKS.values())


def test_repeated_layers_are_compared(meta):
    layers = [Dense(10, 10), Dense(20, 20), Dense(10, 10)]
    found = limits.repeated(run_of(meta, layers, [1.0, 5.0, 1.1]))
    assert found[["n", "fastest_ms", "slowest_ms"]].to_numpy().tolist() == [[2, 1.0, 1.1]]
    assert found["spread_pct"].iloc[0] == pytest.approx(10)
    assert limits.repeated(run_of(meta, layers[:2], [1.0, 5.0])).empty


def test_streaming_keeps_layers_that_no_cache_holds(meta):
    grid = experiments.grid("paper")
    frame = limits.rates(Run(meta, grid.assign(latency_ms=1.0)))
    kept = limits.streaming(frame)
    assert kept["bytes"].min() >= limits.STREAMED_BYTES
    assert set(kept["experiment"]) == {"conv_fixed_progressive"}
    assert len(kept["line"].unique()) == 5


@pytest.mark.parametrize(("exact", "words"), [(True, "FLOPs do not"), (False, "no better than FLOPs")])
def test_words_follow_the_data(meta, exact, words):
    from alphaflops.layers import bytes_moved, flops

    grid = experiments.grid("paper")
    times = (bytes_moved(grid) if exact else flops(grid)) / 1e8
    (told,) = limits.told_streaming([limits.rates(Run(meta, grid.assign(latency_ms=times)))])
    assert words in told


def test_impossible_points_are_told_apart_from_fast_algorithms(meta):
    machine = {**meta, "machine": {"name": "Tesla T4"}}
    both = [Conv2d(100, 100, 100, 100), Conv2d(100, 100, 100, 100, 3)]
    (told,) = limits.told_beyond([limits.rates(run_of(machine, both, [1e-3, 1e-2]))])
    assert "1 of them are 1×1 or dense" in told
    assert "cannot be complete" in told
    assert "1 has larger kernels" in told
    (only,) = limits.told_beyond([limits.rates(run_of(machine, [both[1]] * 2, [1e-2, 1e-2]))])
    assert "All have larger kernels" in only
    (slow,) = limits.told_beyond([limits.rates(run_of(machine, both, [100.0, 100.0]))])
    assert "none of 2 layers exceeds" in slow
    (unknown,) = limits.told_beyond([limits.rates(run_of(meta, both, [1e-3, 1e-2]))])
    assert "no data-sheet peak" in unknown


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([1e-3, 1e-2], "yes for 0 of 2 layers. The other 2 exceed the hardware by more than a tenth; 1 of them cannot"),
        ([100.0, 1e-2], "yes for 1 of 2 layers. The other 1 exceed the hardware by more than a tenth; all of them may"),
        ([100.0, 100.0], "On Tesla T4, yes for 2 of 2 layers."),
    ],
)
def test_the_share_within_reach_is_told_first(meta, times, words):
    machine = {**meta, "machine": {"name": "Tesla T4"}}
    both = [Conv2d(100, 100, 100, 100), Conv2d(100, 100, 100, 100, 3)]
    assert words in limits.told_reach(limits.rates(run_of(machine, both, times)))
    assert "not known" in limits.told_reach(limits.rates(run_of(meta, both, times)))


def test_the_authors_points_beyond_their_gpu(paper):
    found = limits.beyond(limits.rates(paper), PEAKS["Quadro T2000"])
    first = found.iloc[0]
    # 300·300·150·150 MAC, 2 FLOP each, at H = W = 300 with a 1×1 kernel
    assert (first["height"], first["in_channels"], first["k1"]) == (300, 150, 1)
    assert first["tflops"] == pytest.approx(2 * 300**2 * 150**2 / (first["time_ms"] * 1e-3) / 1e12)
    assert first["of_peak"] > 4
    assert np.all((found["of_peak"] > limits.BEYOND) | (found["of_bandwidth"] > limits.BEYOND))


def test_how_well_layers_repeat_is_told_where_some_do(meta):
    layers = [Dense(10, 10), Dense(20, 20), Dense(10, 10)]
    (told,) = limits.told_repeated([run_of(meta, layers, [1.0, 5.0, 1.1])])
    assert "1 layers occur twice or more; their times differ by 10 %" in told
    assert limits.told_repeated([run_of(meta, layers[:2], [1.0, 5.0])]) == []
