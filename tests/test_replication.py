"""What the replication's plots and fits do, checked by hand arithmetic and on made-up machines."""

import re
from dataclasses import replace

import numpy as np
import pytest

from alphaflops import experiments, paths
from alphaflops.costs.alpha import PAPER_T2000, REPLICATION_RTX4090, published_ms

GRID = experiments.grid("paper")
CHAPTER = paths.CHECKOUT / "notebooks" / "07_replication.ipynb"


@pytest.fixture
def chapter(defined):
    """The functions that the chapter on the replication shows."""
    return defined("07_replication")


def factor_3x3(s):
    """The replication's α of a 3×3 kernel over s positions."""
    s_k, b, g = np.log(3) + 1, REPLICATION_RTX4090.beta_k, REPLICATION_RTX4090.gamma_k
    return ((s_k + b * (s - s_k)) / s) ** g


def plotted(chapter, letter, line, x):
    frame = chapter.plotted_for(letter)
    return frame[(frame["line"] == line) & (frame["x"] == x)].iloc[0]


def test_experiment_b_is_evaluated_at_another_size(chapter):
    # measured round(300/3) = 100, plotted round(150/3) = 50: of 50² positions against 100², a quarter of the MACs
    assert plotted(chapter, "B", "C = 150", 3)["factor"] == pytest.approx(factor_3x3(2500) / factor_3x3(10_000) / 4)


def test_experiment_e_is_evaluated_for_another_layer(chapter):
    # measured 100×100, 50 → 200; plotted 100×200, 50 → 50: MACs 100·200·50·50 against 100·100·50·200, a half
    row = plotted(chapter, "E", "Cin = 50", 200)
    assert row["factor"] == row["predicted_ms"] / row["time_ms"]
    assert row["factor"] == pytest.approx(factor_3x3(20_000) / factor_3x3(10_000) / 2)
    assert plotted(chapter, "E", "Cin = 100", 100)["factor"] == 1


def test_the_conclusion_names_both_experiments():
    (told,) = re.findall(r"in the median it is (.*?) times that", CHAPTER.read_text(encoding="utf-8"))
    assert re.fullmatch(r"[\d.]+ \(experiment B\) and [\d.]+ \(experiment E\)", told)


def test_constants_are_judged_by_their_shape(chapter, make_run):
    run = make_run("paper", lambda table: 7 * published_ms(table))
    assert chapter.shape_error(run, PAPER_T2000) == pytest.approx(0, abs=1e-9)
    assert chapter.shape_error(run, replace(PAPER_T2000, side=True)) > 1


def test_fit_like_the_replication_finds_its_own_constants(chapter):
    truth = replace(REPLICATION_RTX4090, beta_1=0.02, gamma_1=0.9, scale_1=0.05, beta_k=0.01, gamma_k=0.6, scale_k=0.04)
    times = published_ms(GRID, truth)
    assert chapter.replicated_ms(GRID, times) == pytest.approx(times, rel=0.02)


def test_a_group_with_too_few_layers_is_left_out(chapter):
    few = GRID[(GRID["k1"] == 1) | (GRID["row"] == GRID.loc[GRID["k1"] > 1, "row"].iloc[0])]
    assert np.isnan(chapter.replicated_ms(few, published_ms(few))).sum() == 1


def with_pipelined(make_run, single, pipelined):
    run = make_run("paper", lambda _: single)
    return type(run)(run.meta, run.table.assign(throughput_ms=pipelined))


def test_protocols_by_hand(chapter, make_run):
    # single calls take a quarter more than pipelined ones; fitted to these, predictions are 1/1.25 of them: 20 % off
    times = published_ms(GRID, replace(PAPER_T2000, side=True))
    pipelined, single = chapter.protocols(with_pipelined(make_run, 1.25 * times, times))
    assert (pipelined[1], single[1]) == ("pipelined calls", "single calls")
    assert (pipelined[2], single[2]) == pytest.approx((20, 0), abs=0.2)
    assert pipelined[3:] == (100, 100)
    assert chapter.protocols(make_run("paper")) == []
