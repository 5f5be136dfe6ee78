"""Cost models: hand arithmetic, bounds, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from alphaflops import REPLICATION_RTX4090, AlphaflopsError, Conv2d, Dense, published_ms
from alphaflops.costs import ANALYTIC, MODEL_NAMES, OURS, Parameter, features, model
from alphaflops.layers import as_table

DENSE = Dense(100, 50, batch=4)  # 4·100·50 = 20,000 MAC; 5,000 weights; 4·(400 + 200 + 5,000) = 22,400 bytes
CONV = Conv2d(10, 10, 8, 16, kernel=3, batch=2)  # 2·100·9·8·16 = 230,400 MAC; 1,152 weights


def time(name: str, layer: Conv2d | Dense, **values: float) -> float:
    return float(model(name).predict_ms(as_table([layer]), values)[0])


def test_names_are_those_of_the_command_line():
    assert MODEL_NAMES == (
        "macs", "macs+t0", "alpha-published", "alpha-rtx4090", "alpha", "alpha+t0", "roofline+t0", "power", "padded",
        "boosting",
    )  # fmt: skip
    assert len(OURS.parameters) <= 8


def test_simple_models_by_hand():
    # 0.02 million MAC at 0.5 ms per million = 0.01 ms, and 0.3 ms more with a constant
    assert time("macs", DENSE, scale=0.5) == pytest.approx(0.01)
    assert time("macs+t0", DENSE, scale=0.5, t0=0.3) == pytest.approx(0.31)
    # 0.3 ms + 22,400 B / 1 GB/s = 0.0224 ms + 20,000 MAC / 2 GMAC/s = 0.01 ms
    assert time("roofline+t0", DENSE, t0=0.3, b=1.0, p=2.0) == pytest.approx(0.3324)


def test_alpha_by_hand():
    # K = 1, S = batch = 4: α = (1 + 0.5·(4 − 1))/4 = 0.625; 1 ms per million MAC: 0.625 · 0.02 = 0.0125 ms
    values = {"scale": 1.0, "beta_1": 0.5, "gamma_1": 1.0, "beta_k": 0.1, "gamma_k": 1.0}
    assert time("alpha", DENSE, **values) == pytest.approx(0.0125)
    # K = 9, S = 2·100: S_K = ln 9 + 1 = 3.197225; (3.197225 + 0.1·196.802775)/200 = 0.1143875; · 0.2304 = 0.0263549
    assert time("alpha", CONV, **values) == pytest.approx(0.0263549, abs=1e-7)
    assert time("alpha+t0", CONV, t0=1.0, **values) == pytest.approx(1.0263549, abs=1e-7)


def test_power_law_by_hand():
    # S = 200 = 1000/5, K = 9, 8 and 16 channels of 100: 3 ms · (1/5)^1 · 1 · 0.08^0.5 · 0.16^0.5 = 0.067882 ms;
    # 4·(2·100·(8 + 16) + 1,152) = 23,808 bytes at 1 GB/s; 0.1 ms of overhead
    got = time("power", CONV, t0=0.1, b=1.0, c=3.0, s=1.0, k=2.0, i=0.5, o=0.5)
    assert got == pytest.approx(0.1 + 0.023808 + 0.067882, abs=1e-6)
    # exponents of 1 are FLOPs: 90 million MAC take as long in any shape
    flat = {"t0": 1e-5, "b": 1e5, "c": 3.0, "s": 1.0, "k": 1.0, "i": 1.0, "o": 1.0}
    wide, deep = Conv2d(100, 10, 100, 100, kernel=3), Conv2d(10, 100, 900, 100, kernel=1)
    assert time("power", wide, **flat) == pytest.approx(time("power", deep, **flat), rel=1e-3)


def test_published_models_are_the_formula():
    table = as_table([DENSE, CONV, Conv2d(5, 5, 3, 3, kernel=28)])
    np.testing.assert_allclose(model("alpha-published").predict_ms(table), published_ms(table), rtol=1e-12)
    ours = model("alpha-rtx4090").predict_ms(table)
    np.testing.assert_allclose(ours, published_ms(table, REPLICATION_RTX4090), rtol=1e-12)


def test_every_parameter_says_what_it_is():
    for m in ANALYTIC.values():
        for p in m.parameters:
            assert p.meaning
            assert 0 < p.low <= p.start <= p.high


def test_features_take_keeps_rows():
    f = features(as_table([DENSE, CONV, DENSE]))
    kept = f.take(np.array([True, False, True]))
    assert len(kept) == 2
    assert kept.macs.tolist() == [20_000, 20_000]
    assert f.dense.tolist() == [True, False, True]
    assert f.winograd.tolist() == [False, True, False]
    # CONV: M = 2·100, N = 16, D = 8·9; 4×4 patches: 2·3·3; 4·1,152 bytes of weights
    assert (f.rows[1], f.columns[1], f.depth[1], f.patches[1], f.weight_bytes[1]) == (200, 16, 72, 18, 4608)


def test_a_group_is_a_product_of_its_own():
    f = features(as_table([Conv2d(10, 10, 8, 16, kernel=3, groups=4)]))
    assert (f.rows[0], f.columns[0], f.depth[0], f.groups[0], f.in_channels[0]) == (100, 4, 18, 4, 2)
    assert not f.winograd[0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"t0": 0.1}, "needs parameter 'scale'"),
        ({"t0": 0.1, "scale": 1.0, "speed": 1.0}, "has no parameter 'speed'"),
        ({"t0": -0.1, "scale": 1.0}, r"t0 is -0\.1: expected 1e-05 to 100\.0 ms"),
        ({"t0": 100.1, "scale": 1.0}, r"t0 is 100\.1: expected 1e-05 to 100\.0 ms"),
        ({"t0": float("nan"), "scale": 1.0}, "t0 is nan"),
    ],
)
def test_bad_parameters_are_refused(values, words):
    with pytest.raises(AlphaflopsError, match=words):
        model("macs+t0").predict_ms(as_table([DENSE]), values)


def test_a_bound_may_be_missed_by_a_rounding_error():
    times = [time("macs+t0", DENSE, t0=t0, scale=1.0) for t0 in (1e-5 * (1 - 1e-7), 100 * (1 + 1e-7))]
    assert times == pytest.approx([0.02001, 100.02001])


def test_a_published_formula_has_no_parameters():
    with pytest.raises(AlphaflopsError, match="'alpha-published' has no parameter 'scale': it has none"):
        model("alpha-published").predict_ms(as_table([DENSE]), {"scale": 1.0})


def test_bad_names_are_refused():
    with pytest.raises(AlphaflopsError, match="model 'alphas' is unknown: choose from macs"):
        model("alphas")
    with pytest.raises(AlphaflopsError, match="learned"):
        model("boosting")
    with pytest.raises(AlphaflopsError, match=r"start 2\.0 is not within"):
        Parameter("x", "ms", 0.1, 1.0, 2.0, "too large")
    with pytest.raises(AlphaflopsError, match="column 'groups' is missing"):
        features(pd.DataFrame(as_table([DENSE])).drop(columns="groups"))
