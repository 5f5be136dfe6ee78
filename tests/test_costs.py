"""Cost models: hand arithmetic, bounds, and the properties that physics asks for."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphaflops import AlphaflopsError, Conv2d, Dense, published_ms
from alphaflops.costs import ANALYTIC, BEST, FORMS, MODEL_NAMES, REFERENCES, Parameter, features, make, model
from alphaflops.costs.best import Structure, Tiling
from alphaflops.costs.forms import CHOSEN
from alphaflops.layers import to_table

DENSE = Dense(100, 50, batch=4)  # 4·100·50 = 20,000 MAC; 5,000 weights; 4·(400 + 200 + 5,000) = 22,400 bytes
CONV = Conv2d(10, 10, 8, 16, kernel=3, batch=2)  # 2·100·9·8·16 = 230,400 MAC; 1,152 weights


def time(name: str, layer: Conv2d | Dense, **values: float) -> float:
    return float(model(name).predict_ms(to_table([layer]), values)[0])


def test_names_are_those_of_the_command_line():
    assert MODEL_NAMES == (
        "params", "macs", "macs+t0", "alpha-published", "alpha-rtx4090", "alpha", "alpha+t0", "roofline+t0",
        "alpha+t0+bytes", "best", "boosting",
    )  # fmt: skip
    assert set(REFERENCES) < set(ANALYTIC)


def test_simple_models_by_hand():
    # 5,000 weights at 0.1 ms per million = 0.0005 ms
    assert time("params", DENSE, scale=0.1) == pytest.approx(0.0005)
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
    # bytes: 4·(2·100·(8 + 16) + 1,152) = 23,808 at 1 GB/s = 0.023808 ms
    assert time("alpha+t0+bytes", CONV, t0=1.0, b=1.0, **values) == pytest.approx(1.0501629, abs=1e-7)


def test_published_models_are_the_formula():
    table = to_table([DENSE, CONV, Conv2d(5, 5, 3, 3, kernel=28)])
    np.testing.assert_allclose(model("alpha-published").predict_ms(table), published_ms(table), rtol=1e-12)
    from alphaflops import REPLICATION_RTX4090

    ours = model("alpha-rtx4090").predict_ms(table)
    np.testing.assert_allclose(ours, published_ms(table, REPLICATION_RTX4090), rtol=1e-12)


def work(heights, widths, edge=0.0, full=0.0):
    rows, columns, depth = (np.array([x]) for x in (100.0, 70.0, 10.0))
    return Tiling.of(rows, columns, 1.0, heights, widths).work(depth, edge, full)[0]


def test_tiles_by_hand():
    # 100 × 70 in tiles of 64 × 64: ⌈100/64⌉·⌈70/64⌉ = 4 tiles of 4,096 products, depth 10: 163,840
    assert work((64,), (64,)) == 163_840
    # tiles of 32 × 32: 4·3 = 12 tiles of 1,024: 122,880, the cheaper choice
    assert work((32, 64), (32, 64)) == 122_880
    # edge cost 64: a 32 × 32 tile (1,024 + 64·64)/2 = 2,560, twelve: 307,200; 64 × 64 (4,096 + 64·128)/2, four: 245,760
    assert work((32, 64), (32, 64), edge=64.0) == 245_760
    # a machine that is full with 5 tiles: √(12² + 5²) = 13 tiles of 1,024: 133,120
    assert work((32,), (32,), full=5.0) == 133_120


def test_best_by_hand_on_a_large_dense_layer():
    # One tile shape, no edges and no start: 128·256·512 = 16,777,216 MAC at 1 GMAC/s = 16.777216 ms; bytes cost nothing
    plain = make("plain", "", Structure({"c": 0.0, "ck": 0.0, "k0": 0.0, "w": 1.0, "s": 0.0}, overlap=1.0))
    values = {p.name: p.start for p in plain.parameters} | {"p": 1.0, "b": 2e4, "q": 1.0, "t0": 1.0}
    # bytes: weights 4·256·512, activations 4·128·(256 + 512): 917,504 B at 20,000 GB/s = 0.0000458752 ms
    got = plain.predict_ms(to_table([Dense(256, 512, batch=128)]), values)[0]
    assert got == pytest.approx(16.777216 + 1.0 + 0.0000458752, rel=1e-9)


def test_best_takes_winograd_where_it_is_faster():
    # 256 patches, 36 products of 256 × 256 × 256: 604 M at w·p = 0.2 TMAC/s; direct: 2,416 M at d·p = 0.3 TMAC/s
    layer, wide = Conv2d(64, 64, 256, 256, kernel=3), Conv2d(64, 64, 256, 256, kernel=(3, 5))
    values = {p.name: p.start for p in BEST.parameters} | {"b": 2e4, "bw": 2e4, "p": 1e3, "d": 0.3}
    without = make("direct", "", replace(CHOSEN, winograd=False))
    assert BEST.predict_ms(to_table([layer]), values) < without.predict_ms(to_table([layer]), values)
    assert BEST.predict_ms(to_table([wide]), values) == without.predict_ms(to_table([wide]), values)


def test_best_has_at_most_eight_numbers():
    assert len(BEST.parameters) <= 8
    assert len({form.name for form in FORMS}) == len(FORMS)


def test_every_parameter_says_what_it_is():
    for m in ANALYTIC.values():
        for p in m.parameters:
            assert p.meaning
            assert 0 < p.low <= p.start <= p.high


sizes = st.integers(1, 60)
values_of_best = st.fixed_dictionaries(
    {p.name: st.floats(np.log(p.low), np.log(p.high)).map(np.exp) for p in BEST.parameters}
)
convolutions = st.builds(
    Conv2d, height=st.integers(1, 40), width=st.integers(1, 40), in_channels=sizes, out_channels=sizes,
    kernel=st.sampled_from([1, 2, 3, 5]), batch=st.integers(1, 8),
)  # fmt: skip
denses = st.builds(Dense, in_features=st.integers(1, 3000), out_features=st.integers(1, 3000), batch=st.integers(1, 64))


@given(st.one_of(convolutions, denses), values_of_best)
@settings(max_examples=150, deadline=None)
def test_best_is_positive_and_at_least_the_overhead(layer, values):
    values = {k: float(np.clip(v, p.low, p.high)) for (k, v), p in zip(values.items(), BEST.parameters, strict=True)}
    got = time("best", layer, **values)
    assert np.isfinite(got)
    assert got >= values["t0"] * (1 - 1e-12)


@given(convolutions, values_of_best, st.sampled_from(["height", "width", "in_channels", "out_channels", "batch"]))
@settings(max_examples=150, deadline=None)
def test_more_work_never_takes_less_time(layer, values, axis):
    values = {k: float(np.clip(v, p.low, p.high)) for (k, v), p in zip(values.items(), BEST.parameters, strict=True)}
    more = replace(layer, **{axis: getattr(layer, axis) + 1})
    assert time("best", more, **values) >= time("best", layer, **values) * (1 - 1e-9)


@given(denses, values_of_best)
@settings(max_examples=50, deadline=None)
def test_a_dense_layer_grows_with_each_axis(layer, values):
    values = {k: float(np.clip(v, p.low, p.high)) for (k, v), p in zip(values.items(), BEST.parameters, strict=True)}
    base = time("best", layer, **values)
    for more in (
        Dense(layer.in_features + 7, layer.out_features, layer.batch),
        Dense(layer.in_features, layer.out_features + 7, layer.batch),
        Dense(layer.in_features, layer.out_features, layer.batch + 7),
    ):
        assert time("best", more, **values) >= base * (1 - 1e-9)


def test_features_take_keeps_rows():
    f = features(to_table([DENSE, CONV, DENSE]))
    kept = f.take(np.array([True, False, True]))
    assert len(kept) == 2
    assert kept.macs.tolist() == [20_000, 20_000]
    assert f.dense.tolist() == [True, False, True]
    assert f.winograd.tolist() == [False, True, False]
    # CONV: M = 2·100, N = 16, K = 8·9; 4×4 patches: 2·3·3
    assert (f.rows[1], f.columns[1], f.depth[1], f.patches[1]) == (200, 16, 72, 18)


def test_a_group_is_a_product_of_its_own():
    f = features(to_table([Conv2d(10, 10, 8, 16, kernel=3, groups=4)]))
    assert (f.rows[0], f.columns[0], f.depth[0], f.groups[0]) == (100, 4, 18, 4)
    assert not f.winograd[0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"t0": 0.1}, "needs parameter 'scale'"),
        ({"t0": 0.1, "scale": 1.0, "speed": 1.0}, "has no parameter 'speed'"),
        ({"t0": -0.1, "scale": 1.0}, r"t0 is -0\.1: expected 1e-05 to 100\.0 ms"),
        ({"t0": float("nan"), "scale": 1.0}, "t0 is nan"),
    ],
)
def test_bad_parameters_are_refused(values, words):
    with pytest.raises(AlphaflopsError, match=words):
        model("macs+t0").predict_ms(to_table([DENSE]), values)


def test_bad_names_are_refused():
    with pytest.raises(AlphaflopsError, match="model 'alphas' is unknown: choose from params"):
        model("alphas")
    with pytest.raises(AlphaflopsError, match="learned"):
        model("boosting")
    with pytest.raises(AlphaflopsError, match="parameter 'zeta' is unknown"):
        Structure({"zeta": 1.0})
    with pytest.raises(AlphaflopsError, match=r"start 2\.0 is not within"):
        Parameter("x", "ms", 0.1, 1.0, 2.0, "too large")
    with pytest.raises(AlphaflopsError, match="column 'groups' is missing"):
        features(pd.DataFrame(to_table([DENSE])).drop(columns="groups"))
