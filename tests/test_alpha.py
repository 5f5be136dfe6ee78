"""The paper's formula: hand values, limits, properties, and the authors' data."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphaflops import AlphaflopsError, Conv2d, Dense
from alphaflops.costs import features
from alphaflops.costs.alpha import (
    PAPER_T2000,
    REPLICATION_RTX4090,
    AlphaConstants,
    alpha,
    alpha_flops,
    published_ms,
)
from alphaflops.layers import as_table

sizes = st.floats(1, 1e7)
areas = st.integers(1, 900)


def test_by_hand():
    # K = 9: S_K = ln 9 + 1 = 3.19722; (3.19722 + 0.001·(100 − 3.19722)) / 100 = 0.0329403; ^0.56 = 0.147886
    assert alpha(100, 9, 0.001, 0.56) == pytest.approx(0.147886, abs=1e-6)
    assert PAPER_T2000.factor(100, 9) == pytest.approx(0.147886, abs=1e-6)
    # K = 1: S_K = 1; (1 + 0.02·(100 − 1)) / 100 = 0.0298; ^0.99 = 0.0308648
    assert PAPER_T2000.factor(100, 1) == pytest.approx(0.0298**0.99)
    # the paper's dense layer: 0.0375 ms per million MAC · 163.84 = 6.144 ms
    assert published_ms(as_table([Dense(12800, 12800)]))[0] == pytest.approx(6.144)


def test_a_dense_layer_is_not_corrected():
    assert alpha(1, 1, 0.02, 0.99) == 1


def test_the_replications_constants_by_hand():
    # K = 1: (1 + 0.00972514·(100 − 1)) / 100 = 0.0196279; ^1.1779239 = 0.00975293; times 0.00549217 · 100 million MAC
    dense = Dense(1000, 1000, batch=100)
    assert published_ms(as_table([dense]), REPLICATION_RTX4090)[0] == pytest.approx(0.00975293 * 0.549217, rel=1e-5)
    # side 3, not area 9: S_K = ln 3 + 1 = 2.0986123; (S_K + 0.00785036·(400 − S_K)) / 400 = 0.0130557;
    # ^1.0601711 = 0.0100560; times 0.00401956 · 400 · 9 · 100 · 100 / 10⁶ = 0.144704 ms
    conv = Conv2d(20, 20, 100, 100, 3)
    assert REPLICATION_RTX4090.factor(400, 9) == pytest.approx(0.0100560, rel=1e-5)
    assert published_ms(as_table([conv]), REPLICATION_RTX4090)[0] == pytest.approx(0.0100560 * 0.144704, rel=1e-5)


def test_limit_for_large_inputs():
    assert PAPER_T2000.factor(1e15, 9) == pytest.approx(0.001**0.56)
    assert PAPER_T2000.factor(1e15, 1) == pytest.approx(0.02**0.99)


@given(sizes, areas)
def test_between_zero_and_one_beyond_s_k(s, k):
    s_k = math.log(k) + 1
    assert 0 < PAPER_T2000.factor(max(s, s_k), k) <= 1 + 1e-12


@given(sizes, st.floats(1, 10), areas)
def test_never_grows_with_s(s, factor, k):
    assert PAPER_T2000.factor(s * factor, k) <= PAPER_T2000.factor(s, k) * (1 + 1e-12)


def test_what_s_and_k_mean_in_a_table():
    table = as_table([Conv2d(10, 20, 4, 6, (3, 5), batch=2, groups=2), Dense(8, 8, batch=64)])
    assert features(table).rows.tolist() == [400, 64]
    assert features(table).kernel_area.tolist() == [15, 1]
    assert alpha_flops(table)[1] == pytest.approx(PAPER_T2000.factor(64, 1) * 2 * 8 * 8 * 64)
    # a single spec will do
    assert alpha_flops(Dense(8, 8, batch=64)).tolist() == [alpha_flops(table)[1]]


@pytest.mark.parametrize("bad", [0, -1, math.nan, math.inf])
def test_impossible_sizes_are_refused(bad):
    with pytest.raises(AlphaflopsError, match=f"S is {float(bad)}"):
        alpha([1, bad], 9, 0.001, 0.56)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0, -0.5])
def test_impossible_constants_are_refused(bad):
    with pytest.raises(AlphaflopsError, match="beta_k is"):
        AlphaConstants(0.02, 1, 1, bad, 1, 1, side=False, source="nowhere")


def test_on_the_authors_data(paper):
    predicted, measured = published_ms(paper.layers, PAPER_T2000), paper.time_ms().to_numpy()
    error = np.abs(predicted - measured) / measured * 100
    assert len(error) == 721
    assert error.mean() == pytest.approx(21.626, abs=1e-3)
    assert np.median(error) == pytest.approx(12.674, abs=1e-3)
