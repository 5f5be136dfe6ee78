"""What the replication's plots and fits do, checked by hand arithmetic and on made-up machines."""

from dataclasses import replace

import numpy as np
import pytest

from alphaflops import experiments
from alphaflops.chapters import replication
from alphaflops.costs.alpha import PAPER_T2000, REPLICATION_RTX4090, published_ms

GRID = experiments.grid("paper")


def factor_3x3(s):
    """The replication's α of a 3×3 kernel over s positions."""
    s_k, b, g = np.log(3) + 1, REPLICATION_RTX4090.beta_k, REPLICATION_RTX4090.gamma_k
    return ((s_k + b * (s - s_k)) / s) ** g


def plotted(letter, line, x):
    frame = replication.plotted()
    return frame[
        frame["panel"].str.contains(f"experiment {letter}") & (frame["line"] == line) & (frame["x"] == x)
    ].iloc[0]


def test_experiment_b_is_evaluated_at_another_size():
    # measured round(300/3) = 100, plotted round(150/3) = 50: of 50² positions against 100², a quarter of the MACs
    assert plotted("B", "C = 150", 3)["factor"] == pytest.approx(factor_3x3(2500) / factor_3x3(10_000) / 4)


def test_experiment_e_is_evaluated_for_another_layer():
    # measured 100×100, 50 → 200; plotted 100×200, 50 → 50: MACs 100·200·50·50 against 100·100·50·200, a half
    row = plotted("E", "Cin = 50", 200)
    assert row["factor"] == row["predicted_ms"] / row["time_ms"]
    assert row["factor"] == pytest.approx(factor_3x3(20_000) / factor_3x3(10_000) / 2)
    assert plotted("E", "Cin = 100", 100)["factor"] == 1


def test_constants_are_judged_by_their_shape(make_run):
    run = make_run("paper", lambda table: 7 * published_ms(table))
    error = replication.constants_compared([run]).set_index("constants")["median_ape_pct"]
    assert error["authors"] == pytest.approx(0, abs=1e-9)
    assert error["authors, K as side"] > 1


def test_fit_like_the_replication_finds_its_own_constants():
    truth = replace(REPLICATION_RTX4090, beta_1=0.02, gamma_1=0.9, scale_1=0.05, beta_k=0.01, gamma_k=0.6, scale_k=0.04)
    times = published_ms(GRID, truth)
    assert replication.fit_like_replication(GRID, times) == pytest.approx(times, rel=0.02)


def test_a_group_with_too_few_layers_is_left_out():
    few = GRID[(GRID["k1"] == 1) | (GRID["row"] == GRID.loc[GRID["k1"] > 1, "row"].iloc[0])]
    assert np.isnan(replication.fit_like_replication(few, published_ms(few))).sum() == 1


def with_pipelined(make_run, single, pipelined):
    run = make_run("paper", lambda _: single)
    return type(run)(run.meta, run.table.assign(throughput_ms=pipelined))


def test_protocols_by_hand(make_run):
    # single calls take a quarter more than pipelined ones; fitted to these, predictions are 1/1.25 of them: 20 % off
    pipelined = published_ms(GRID, replace(PAPER_T2000, side=True))
    frame = replication.protocols(with_pipelined(make_run, 1.25 * pipelined, pipelined))
    assert frame["fitted to"].tolist() == ["pipelined calls", "single calls"]
    assert frame["median_ape_pct"].to_numpy() == pytest.approx([20, 0], abs=0.2)
    assert frame.loc[0, ["under_pct", "small_under_pct"]].tolist() == [100, 100]
    assert replication.protocols(make_run("paper")) is None


def test_jumps_stand_beside_those_of_noise(make_run):
    noise = np.exp(0.1 * np.random.default_rng(0).standard_normal(649 * 3))
    run = make_run("F", lambda table: table["x"] / 100 * noise)
    found = replication.jumping([run])
    assert found["line"].tolist() == ["H = 100", "H = 200", "H = 300"]
    assert (found["jumps"] <= found["noise_high"]).all()
    assert (found["noise_low"] <= found["noise_median"]).all()
