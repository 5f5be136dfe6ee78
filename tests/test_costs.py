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
from alphaflops.costs.forms import CHOSEN, FIXED, SMOOTH
from alphaflops.layers import to_table, valid_macs

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


PLAIN = {"c": 0.0, "ck": 0.0, "k0": 0.0, "kc": 0.0, "v": 0.01, "w": 0.5, "s": 0.0, "m": 1e4, "u": 1.0, "l": 1e15}


def plain(table, *, structure=None, **values):
    """Times (ms) of the formula without edges, starts and cache, at 1 GMAC/s and bytes that cost next to nothing."""
    chosen = structure or Structure(PLAIN, overlap=1.0, start=1.0)
    own = {"t0": 1e-5, "q": 1.0, "b": 2e4, "bw": 2e4, "p": 1.0, "d": 1.0, "P": 1.0, "f": 2e4} | values
    return make("plain", "", chosen).predict_ms(table, own)


def test_best_by_hand_on_a_large_dense_layer():
    # One tile shape, no edges and no start: 128·256·512 = 16,777,216 MAC at 1 GMAC/s = 16.777216 ms; bytes cost nothing
    got = plain(to_table([Dense(256, 512, batch=128)]), t0=1.0)[0]
    # bytes: weights 4·256·512, activations 4·128·(256 + 512): 917,504 B at 20,000 GB/s = 0.0000458752 ms
    assert got == pytest.approx(16.777216 + 1.0 + 0.0000458752, rel=1e-9)


def test_best_by_hand_on_a_3x3_convolution():
    # 64×64 outputs, 64 → 128 channels. Direct: 32 tiles of 128 × 128, depth 576: √(32² + 1)·16,384·576 = 302.1377 M;
    # the patches, 16·16 in two tiles of 128: 36·2 tiles of 16,384 products, depth 64: √(72² + 1)·16,384·64 = 75.5047 M;
    # fused: 8·4 blocks of 8×16 outputs, four of 32 channels: √(128² + 0.25)·16,384·64 = 134.2187 M
    table = to_table([Conv2d(64, 64, 64, 128, kernel=3)])
    one = Structure(PLAIN, overlap=1.0, start=1.0, large_heights=(128,), widths=(128,))
    alone = {"direct": (False, False), "patches": (True, False), "fused": (False, True)}
    times = {
        name: plain(table, structure=replace(one, winograd=w, fused=f), d=0.1)[0] for name, (w, f) in alone.items()
    }
    # weights: 4·9·64·128 = 294,912 B read and laid out; activations 4·4096·192 = 3,145,728 B; at 20,000 GB/s
    spread = (128 * 9) ** 1.5 / ((128 * 9) ** 1.5 + 1)
    few = (3_145_728 + 294_912 * (1 + spread)) / 2e4 / 1e6 + 1e-5
    assert times["fused"] == pytest.approx(np.hypot(128, 0.5) * 16_384 * 64 / 0.5 / 1e6 + few, rel=1e-9)
    # transforms: 72·4·256·(64 + 128) bytes, and twice the weights
    more = (72 * 4 * 256 * 192 + 2 * 294_912) / 2e4 / 1e6
    assert times["patches"] == pytest.approx(np.hypot(72, 1) * 16_384 * 64 / 0.5 / 1e6 + more + few, rel=1e-9)
    # direct takes 10 times the time of its products, 3,021 ms, and is left
    assert times["direct"] > 3000
    assert plain(table, structure=one, d=0.1)[0] == min(times.values())


def test_a_large_buffer_is_taken_anew():
    # 80 MB of output at 1 GB/s: (80/64)⁴ = 2.441406; 80 · 2.441406/3.441406 = 56.753689 ms more than at no cost
    table = to_table([Conv2d(1000, 1000, 1, 20, kernel=1)])
    structure = Structure(PLAIN | {"m": 64.0}, overlap=1.0, start=1.0)
    gap = plain(table, structure=structure, f=1.0) - plain(table, structure=structure, f=2e4)
    assert gap[0] == pytest.approx(80 * 2.44140625 / 3.44140625 * (1 - 1 / 2e4), rel=1e-9)


def test_a_long_layer_is_slower_than_its_size_says():
    # as long as l: a quarter more; the call overhead of 0.00001 ms is all there is besides 16.777216 ms
    table = to_table([Dense(256, 512, batch=128)])
    short = plain(table)[0]
    slow = plain(table, structure=Structure(PLAIN | {"l": short}, overlap=1.0, start=1.0))[0]
    assert slow == pytest.approx(1.25 * short, rel=1e-12)


def test_best_takes_winograd_where_it_is_faster():
    layer, wide = Conv2d(64, 64, 256, 256, kernel=3), Conv2d(64, 64, 256, 256, kernel=(3, 5))
    values = {p.name: p.start for p in BEST.parameters} | {"b": 2e4, "bw": 2e4, "p": 1e3, "d": 0.3}
    without = make("direct", "", replace(CHOSEN, winograd=False, fused=False))
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
    for step in (1, 17):
        more = replace(layer, **{axis: getattr(layer, axis) + step})
        assert time("best", more, **values) >= time("best", layer, **values) * (1 - 1e-9)


@given(convolutions, values_of_best, st.integers(3, 28), st.sampled_from([0, 1]))
@settings(max_examples=150, deadline=None)
def test_more_taps_never_take_less_time_from_3x3_on(layer, values, side, axis):
    """A 3×3 kernel may use Winograd's algorithm and be faster than a smaller one; beyond it time only grows."""
    values = {k: float(np.clip(v, p.low, p.high)) for (k, v), p in zip(values.items(), BEST.parameters, strict=True)}
    small = [side, side]
    large = list(small)
    large[axis] += 1
    times = [time("best", replace(layer, kernel=tuple(kernel)), **values) for kernel in (small, large)]
    assert times[1] >= times[0] * (1 - 1e-9)


@given(convolutions, values_of_best, st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_time_is_at_most_that_of_the_direct_product(layer, values, step):
    """Winograd is chosen only where it is faster, and no layer is faster than its least traffic and products."""
    values = {k: float(np.clip(v, p.low, p.high)) for (k, v), p in zip(values.items(), BEST.parameters, strict=True)}
    layer = replace(layer, kernel=2 * step - 1)
    table = to_table([layer])
    direct = make("direct", "", replace(CHOSEN, winograd=False, fused=False)).predict_ms(table, values)[0]
    got = time("best", layer, **values)
    assert got <= direct * (1 + 1e-12)
    # a quarter of the products at the fastest of the speeds, none of those that meet padding
    speed = values["p"] * max(1.0, values["d"], FIXED["w"])
    assert got >= valid_macs(table)[0] / 4 / speed / 1e6 * (1 - 1e-9)


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
    # CONV: M = 2·100, N = 16, K = 8·9; 4×4 patches: 2·3·3; blocks of 8×16 outputs: 2·2·1; output 4·200·16 bytes
    assert (f.rows[1], f.columns[1], f.depth[1], f.patches[1]) == (200, 16, 72, 18)
    assert (f.blocks[1], f.output_bytes[1]) == (4, 12_800)


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
        ({"t0": 100.1, "scale": 1.0}, r"t0 is 100\.1: expected 1e-05 to 100\.0 ms"),
        ({"t0": float("nan"), "scale": 1.0}, "t0 is nan"),
    ],
)
def test_bad_parameters_are_refused(values, words):
    with pytest.raises(AlphaflopsError, match=words):
        model("macs+t0").predict_ms(to_table([DENSE]), values)


def test_a_bound_may_be_missed_by_a_rounding_error():
    times = [time("macs+t0", DENSE, t0=t0, scale=1.0) for t0 in (1e-5 * (1 - 1e-7), 100 * (1 + 1e-7))]
    assert times == pytest.approx([0.02001, 100.02001])


def test_a_published_formula_has_no_parameters():
    with pytest.raises(AlphaflopsError, match="'alpha-published' has no parameter 'scale': it has none"):
        model("alpha-published").predict_ms(to_table([DENSE]), {"scale": 1.0})


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


def test_smooth_by_hand():
    values = {"t0": 0.2, "b": 10.0, "p": 100.0, "a": 4.0, "g": 1.0, "c": 50.0}
    # 22,400 bytes at 10 GB/s; 20,000 MAC at 100 GMAC/s, twice as slow for 4 rows, twice as slow for 50 columns
    by_hand = 0.2 + 22_400 / 10e9 * 1e3 + 20_000 / 100e9 * 1e3 * 2 * 2
    assert SMOOTH.predict_ms(to_table([DENSE]), values)[0] == pytest.approx(by_hand)
