"""What the replication's plots and fits do, checked by hand arithmetic and on made-up machines."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from alphaflops import experiments
from alphaflops.costs.alpha import PAPER_T2000, REPLICATION_RTX4090, published_ms
from alphaflops.layers import macs
from alphaflops.runs import Run
from alphaflops.study import replication

GRID = experiments.grid("paper")


def factor_3x3(s):
    """The replication's α of a 3×3 kernel over s positions."""
    s_k, b, g = np.log(3) + 1, REPLICATION_RTX4090.beta_k, REPLICATION_RTX4090.gamma_k
    return ((s_k + b * (s - s_k)) / s) ** g


def test_experiment_b_is_evaluated_at_another_size():
    frame = replication.plotted_b()
    row = frame[(frame["line"] == "C = 150") & (frame["x"] == 3)].iloc[0]
    # measured round(300/3) = 100, plotted round(150/3) = 50
    assert (row["measured_side"], row["plotted_side"]) == (100, 50)
    # α-FLOPs of 50² positions against 100²: the ratio of MACs is 1/4, α is larger for the smaller S
    assert row["factor"] == pytest.approx(factor_3x3(2500) / factor_3x3(10_000) / 4)


def test_experiment_e_is_evaluated_for_another_layer():
    frame = replication.plotted_e()
    row = frame[(frame["line"] == "Cin = 50") & (frame["x"] == 200)].iloc[0]
    # measured 100×100, 50 → 200; plotted 100×200, 50 → 50: MACs 100·200·50·50 against 100·100·50·200, a half
    assert (row["measured_side"], row["plotted_side"]) == (100, 200)
    assert row["factor"] == row["plotted_ms"] / row["measured_ms"]
    assert row["factor"] == pytest.approx(factor_3x3(20_000) / factor_3x3(10_000) / 2)
    same = frame[(frame["line"] == "Cin = 100") & (frame["x"] == 100)].iloc[0]
    assert same["factor"] == 1


def test_constants_are_judged_by_their_shape(meta):
    run = Run(meta, GRID.assign(latency_ms=7 * published_ms(GRID)))
    frame = replication.constants_compared([run]).set_index("constants")
    assert frame.loc["authors (area)", "median_ape_pct"] == pytest.approx(0, abs=1e-9)
    assert frame.loc["authors (area)", "factor"] == pytest.approx(7)
    assert frame.loc["authors, K read as side", "median_ape_pct"] > 1


def test_fit_like_the_replication_finds_its_own_constants():
    truth = replace(REPLICATION_RTX4090, beta_1=0.02, gamma_1=0.9, scale_1=0.05, beta_k=0.01, gamma_k=0.6, scale_k=0.04)
    times = published_ms(GRID, truth)
    assert replication.fit_like_replication(GRID, times) == pytest.approx(times, rel=0.02)


def test_a_group_with_too_few_layers_is_left_out():
    few = GRID[(GRID["k1"] == 1) | (GRID["row"] == GRID.loc[GRID["k1"] > 1, "row"].iloc[0])]
    predicted = replication.fit_like_replication(few, published_ms(few))
    assert np.isnan(predicted).sum() == 1


def test_an_overhead_makes_pipelined_fits_too_low(meta):
    pipelined = published_ms(GRID, replace(PAPER_T2000, side=True))
    run = Run(meta, GRID.assign(latency_ms=pipelined + 1.0, throughput_ms=pipelined))
    frame = replication.protocols(run)
    assert frame.loc[0, "under_pct"] > 95
    assert frame.loc[1, "under_pct"] < frame.loc[0, "under_pct"]
    assert "worse" in replication.told_protocols(frame)
    overhead = replication.overhead(run)
    assert overhead["overhead_ms"].to_numpy() == pytest.approx(1.0)
    assert "1,000 µs more" in replication.told_overhead(overhead)


def test_protocols_by_hand(meta):
    # single calls take a quarter more than pipelined ones; fitted to these, predictions are 1/1.25 of them: 20 % off
    pipelined = published_ms(GRID, replace(PAPER_T2000, side=True))
    frame = replication.protocols(Run(meta, GRID.assign(latency_ms=1.25 * pipelined, throughput_ms=pipelined)))
    assert frame["fitted_to"].tolist() == ["pipelined block", "single calls"]
    assert frame["median_ape_pct"].to_numpy() == pytest.approx([20, 0], abs=0.2)
    assert frame.loc[0, ["under_pct", "small_under_pct"]].tolist() == [100, 100]


def test_what_fits_and_plots_do_is_told_in_their_numbers():
    plotted = pd.DataFrame({"factor": [0.5, 0.5, 0.5, 2.0]})
    assert replication.told_plotted(plotted, "B") == (
        "In experiment B the plotted prediction is 0.50 to 2.0 times the one for the layer that was measured, "
        "0.50 times in the median. It is lower at 75 % of the points."
    )
    protocols = pd.DataFrame(
        {"machine": "x", "median_ape_pct": [12.0, 10.0], "under_pct": [90.0, 50.0], "small_under_pct": [95.0, 40.0]}
    )
    told = replication.told_protocols(protocols)
    assert "90 % of single calls take longer than predicted (95 % of the fastest quarter)" in told
    assert told.endswith("fitted to single calls, 50 % (40 %). The median error is worse: 12 % against 10 %.")
    same = replication.told_protocols(protocols.assign(median_ape_pct=[11.0, 10.2]))
    assert same.endswith("The median error is about the same: 11 % against 10 %.")
    sets = pd.DataFrame({"machine": "x", "constants": list("abcd"), "median_ape_pct": [10.0, 20.0, 30.0, 40.0]})
    assert replication.told_constants(sets) == [
        "**x**: median error 10 % with the authors' constants and 30 % with the replication's. "
        "Reading K the other way gives 20 % and 40 %."
    ]


def test_experiments_stand_beside_the_prediction_after_one_factor(meta):
    fine = experiments.grid("fine")
    fine = fine[fine["experiment"].isin(["replication_A", "replication_C", "replication_D"])].reset_index(drop=True)
    found = replication.measured([Run(meta, fine.assign(latency_ms=3 * published_ms(fine, REPLICATION_RTX4090)))])
    assert found.groupby("letter", sort=False).size().to_dict() == {"A": 27, "C": 120}
    assert found["predicted_ms"].to_numpy() == pytest.approx(found["time_ms"].to_numpy())
    assert found["time_ms"].iloc[0] == pytest.approx(3 * published_ms(fine, REPLICATION_RTX4090)[0])


def test_runs_without_pipelined_times_say_nothing(meta):
    run = Run(meta, GRID.assign(latency_ms=macs(GRID) / 1e6))
    assert replication.protocols(run) is None
    assert replication.overhead(run) is None


def test_held_experiments_are_listed(meta):
    fine = experiments.grid("fine")
    fine = fine[fine["experiment"] == "replication_A"].reset_index(drop=True)
    runs = [Run(meta, GRID.assign(latency_ms=1.0)), Run(meta, fine.assign(latency_ms=1.0))]
    paper, own = replication.told_experiments(runs)
    assert "twins of A, B, C, D, E, F, G" in paper
    assert ": A point for point." in own
