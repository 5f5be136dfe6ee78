"""Sentences follow the numbers they are given, and change with them."""

import pandas as pd
import pytest

from alphaflops import experiments, figures
from alphaflops.costs.alpha import published_ms
from alphaflops.layers import macs
from alphaflops.runs import Run
from alphaflops.study import findings, summary


def as_run(meta, times, name="made-up"):
    grid = experiments.grid("paper")
    meta = {**meta, "run_id": name, "machine": {"name": f"machine of {name}"}}
    return Run(meta, grid.assign(latency_ms=times(grid)))


@pytest.fixture
def by_macs(meta):
    return as_run(meta, lambda grid: macs(grid) / 1e6, "flat")


@pytest.fixture
def by_formula(meta):
    return as_run(meta, lambda grid: 2 * published_ms(grid), "formula")


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0016, 2, "0.0016"),
        (14.37, 2, "14"),
        (327.68, 5, "327.68"),
        (9.96, 2, "10"),
        (1234.5, 2, "1,200"),
        (0, 2, "0"),
    ],
)
def test_numbers_keep_their_significant_digits(value, digits, text):
    assert findings.number(value, digits) == text


def test_unknown_numbers_say_so():
    assert findings.number(float("nan")) == "not known"


def test_a_range_of_equal_readings_is_one_number():
    assert findings.between([9.96, 10.04]) == "10"
    assert findings.between([1.23, 4.56, 2]) == "1.2 to 4.6"


def test_numbers_and_units_are_not_parted():
    assert findings.bullets(["9.7 % of 3 ms", "b"]) == "- 9.7\u00a0% of 3\u00a0ms\n- b"


def test_error_is_the_median_in_percent():
    frame = pd.DataFrame({"machine": "m", "time_ms": [1.0, 1.0, 1.0], "predicted_ms": [1.1, 0.5, 3.0]})
    # |0.1|, |-0.5|, |2.0| → median 50 %
    assert findings.error(frame)["m"] == pytest.approx(50)


def test_equal_times_are_called_almost_the_same(by_macs):
    same = figures.equal_flops(figures.sweep([by_macs], "conv_fixed_progressive"))
    assert findings.extremes(same)["factor"].iloc[0] == pytest.approx(1)
    assert "almost the same" in findings.dense_against_conv(same)[0]


def test_unequal_times_give_the_factor_of_slowest_over_fastest(by_formula):
    same = figures.equal_flops(figures.sweep([by_formula], "conv_fixed_progressive"))
    row = findings.extremes(same).iloc[0]
    # α(1)/α(16) with K = 1: 1 / ((1 + 0.02·15)/16)^0.99 = (16/1.3)^0.99 = 12.0
    assert row["factor"] == pytest.approx((16 / 1.3) ** 0.99)
    assert row["predicted_factor"] == pytest.approx(row["factor"])
    assert (row["slow"], row["fast"]) == ("dense", "conv 4×4")
    assert "a factor of 12 " in findings.dense_against_conv(same)[0]


def test_traffic_explains_the_order_only_where_the_rate_is_one(meta):
    from alphaflops.layers import bytes_moved

    streaming = as_run(meta, lambda grid: bytes_moved(grid) / 1e8)  # 1e8 bytes per ms = 100 GB/s
    told = findings.dense_against_conv(figures.equal_flops(figures.sweep([streaming], "conv_fixed_progressive")))[0]
    assert "at nearly one rate, 100 GB/s" in told


def test_rate_of_unequal_traffic_is_not_called_one(by_macs):
    told = findings.dense_against_conv(figures.equal_flops(figures.sweep([by_macs], "conv_fixed_progressive")))[0]
    assert "does not explain the order" in told


def test_floor_is_told_only_where_there_is_one(meta, by_formula):
    floored = as_run(meta, lambda grid: 0.2 + published_ms(grid))
    assert "A call has a cost of its own" in findings.floors(figures.sweep([floored], "conv_fixed_progressive"))[0]
    assert "no floor shows" in findings.floors(figures.sweep([by_formula], "conv_fixed_progressive"))[0]


def test_lines_that_follow_macs_are_flat(by_macs):
    told = findings.kernels(figures.sweep([by_macs], "conv_K_vs_C"))[0]
    assert "the lines are flat" in told


def test_rising_and_falling_lines_are_told_apart(meta):
    grid = experiments.grid("paper")
    rising = as_run(meta, lambda _: macs(grid) * grid["k1"].to_numpy() / 1e6)
    falling = as_run(meta, lambda _: macs(grid) / grid["k1"].to_numpy() / 1e6)
    up = findings.flatness(figures.sweep([rising], "conv_K_vs_C")).iloc[0]
    # time per MAC is proportional to K = 1 … 28
    assert (up["trend"], up["median"]) == (pytest.approx(1), pytest.approx(28))
    assert "rises with the kernel" in findings.kernels(figures.sweep([rising], "conv_K_vs_C"))[0]
    assert "falls with the kernel" in findings.kernels(figures.sweep([falling], "conv_K_vs_C"))[0]


def test_flattest_names_both_ends(by_macs, by_formula):
    told = findings.flattest(figures.sweep([by_formula, by_macs], "conv_K_vs_C"))
    assert told.startswith("The time stays about the same on machine of flat: ")
    assert "least on machine of flat" in told
    assert "most on machine of formula" in told
    alone = findings.flattest(figures.sweep([by_formula], "conv_K_vs_C"))
    assert alone.startswith("The time stays the same nowhere: time per FLOP changes along a line by a factor of ")


def test_panels_say_shortly_what_they_show(by_macs):
    name = "machine of flat"
    assert findings.flat_shortly(figures.sweep([by_macs], "conv_K_vs_C")) == {name: "time per FLOP changes ×1.0"}
    assert findings.grown_shortly(figures.sweep([by_macs], "increasing_W")) == {name: "FLOPs ×64, time ×64"}
    same = figures.equal_flops(figures.sweep([by_macs], "conv_fixed_progressive"))
    assert findings.apart_shortly(same)[name].startswith("slowest over fastest: 1.0; by α-FLOPs ")


def test_padding_share_of_a_28_kernel_on_a_10_input(by_macs):
    share = findings.padding_share(figures.sweep([by_macs], "conv_K_vs_C"))
    # each of 10 outputs meets all 10 inputs along an axis: (10 · 10 / (10 · 28))²
    assert share[28] == pytest.approx((10 / 28) ** 2)
    assert share[1] == 1


def test_growth_compares_both_ends_of_a_line(by_macs):
    frame = figures.sweep([by_macs], "increasing_W")
    grown = findings.growth(frame)
    # W from 10 to 640
    assert grown["flops"].tolist() == [64, 64, 64]
    assert grown["time"].to_numpy() == pytest.approx(64)
    assert "in proportion to FLOPs" in findings.sweeps(frame, "a wider input")[0]


def test_slow_growth_is_called_slower(by_formula):
    told = findings.sweeps(figures.sweep([by_formula], "increasing_batch"), "a larger batch")[0]
    assert "more slowly than FLOPs" in told


def test_lines_that_grow_in_other_ways_are_counted(by_macs):
    frame = figures.sweep([by_macs], "increasing_W")
    first = frame["line"] == frame["line"].iloc[0]
    told = findings.sweeps(frame.assign(time_ms=frame["time_ms"].mask(first, 1.0)), "a wider input")[0]
    assert "more slowly than FLOPs on 1 of 3 lines, in proportion to FLOPs on 2 of 3 lines" in told


def test_fast_growth_is_called_faster(meta):
    quadratic = as_run(meta, lambda grid: (macs(grid) / 1e9) ** 2)
    assert "faster than FLOPs" in findings.sweeps(figures.sweep([quadratic], "increasing_W"), "a wider input")[0]


def test_dimensions_are_paid_for_in_full_or_at_a_discount(meta, by_macs):
    constant = as_run(meta, lambda grid: 0 * macs(grid) + 1.0)
    full = figures.sweep([by_macs], "increasing_W")
    free = figures.sweep([constant], "increasing_Cin")  # from 100 to 1000 channels time stays: 1/10 of the growth
    machine = full["machine"].iloc[0]
    free = free.assign(machine=machine)
    assert findings.paid({"width": full, "input channels": free}) == (
        f"On {machine}, width must be paid for in full: time grows as FLOPs do; of the growth in FLOPs, time shows for "
        "input channels 10 % (medians over the lines)."
    )
    assert "shows for" not in findings.paid({"width": full})


def test_cheapest_names_the_machine_of_slowest_growth(by_macs, by_formula):
    frame = figures.sweep([by_macs, by_formula], "increasing_batch")
    told = findings.cheapest(frame)
    # from 1 to 63 or 64 vectors
    assert told.startswith("While FLOPs grow by a factor of 63 to 64, time grows least on machine of formula, by ")
    assert "most on machine of flat, by 64" in told
    assert "machine of flat" in findings.cheapest(figures.sweep([by_macs], "increasing_batch"))


def test_weights_dominate_the_traffic_of_a_batch(by_macs):
    # 6400² weights against 2 · 64 · 6400 numbers in and out: 1 / (1 + 2 · 64 / 6400) = 98.0 %
    assert "Weights are 98.0 % or more" in findings.batch_reason(figures.sweep([by_macs], "increasing_batch"))


def test_scores_reward_the_measure_that_fits(by_macs, by_formula):
    table = summary.compared([by_macs, by_formula])
    assert table.loc["machine of flat", "macs_rank"] == pytest.approx(1)
    assert table.loc["machine of flat", "macs_error"] == pytest.approx(0, abs=1e-9)
    assert table.loc["machine of formula", "alpha_error"] == pytest.approx(0, abs=1e-9)
    worse, better = summary.verdict([by_macs, by_formula])
    assert "α-FLOPs do no better than FLOPs" in worse
    assert "α-FLOPs do better than FLOPs" in better


def test_authors_scores_match_the_known_rank_correlations(paper):
    row = summary.compared([paper]).iloc[0]
    # Spearman over all 721 points of the published data: α-FLOPs 0.98672, MACs 0.706
    assert (row["n"], round(row["alpha_rank"], 5), round(row["macs_rank"], 3)) == (721, 0.98672, 0.706)
