"""Predictions for whole networks: sums, intervals, honesty about what is not covered, and one-line errors."""

import importlib
import json
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from alphaflops.costs import features
from alphaflops.errors import AlphaflopsError
from alphaflops.layers import Conv2d, Dense, as_table, flops, macs
from alphaflops.network import trace
from alphaflops.network.formulas import Repeated
from alphaflops.paths import data_folder
from alphaflops.prediction import (
    OperatorTable,
    estimate,
    estimate_factory,
    measure_network,
    read_operators,
    report_on,
)
from alphaflops.prediction.correction import fit_factors, log_sizes, smooth
from alphaflops.prediction.curves import GRID_MACS, depthwise_grid, fit_terms, layer_grid
from alphaflops.prediction.machine import measured, parts, traced
from alphaflops.prediction.operators import (
    Curve,
    depthwise_terms,
    is_depthwise,
    layer_times,
    timed_as,
)
from alphaflops.prediction.timing import distinct_layers
from alphaflops.prediction.zoo import resnet50


@dataclass
class PerMac:
    """A calibration that takes 1 ms per million MAC, 10 % either way, and has seen no stride."""

    run: dict = field(default_factory=lambda: {"id": "made-up", "sha256": "1", "quantity": "latency"})
    model: str = "macs"
    values: dict = field(default_factory=lambda: {"b": 10.0})
    region: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(habits={"dtype_bytes": (4,)}))

    def formula_ms(self, f):
        return f.macs / 1e6

    def predict(self, layers):
        table = as_table(layers)
        ms = macs(table) / 1e6
        outside = np.asarray(table["stride1"]) > 1
        return pd.DataFrame({"predicted_ms": ms, "low_ms": 0.9 * ms, "high_ms": 1.1 * ms, "outside": outside})


@pytest.fixture
def network():
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.Flatten()).eval()


@pytest.fixture
def report(network):
    return report_on(trace(network, (1, 3, 9, 9)), PerMac())


@pytest.fixture
def operators():
    curves = {
        "relu": Curve([1e3, 1e5], [0.001, 0.01]),
        "gelu": Curve([1e3, 1e5], [0.01, 0.1]),
        "softmax": Curve([1e3, 1e5], [0.02, 0.2]),
    }
    depthwise = dict(
        t0_ms=0.1, ms_per_gmac=10.0, ms_per_gbyte=1.0, ms_per_gtap_row=0.0, low_factor=0.9, high_factor=1.2
    )
    pooling = {
        kind: dict(t0_ms=0.0, ms_per_gbyte=1.0, ms_per_gtap=1000.0, low_factor=0.9, high_factor=1.1)
        for kind in ("max", "avg")
    }
    return OperatorTable({"id": "made-up", "sha256": "1"}, curves, {"depthwise": depthwise, **pooling}, {})


def test_products_take_the_formula_and_the_rest_their_bytes(report):
    conv, relu, strided = report.table.itertuples()
    # 81 outputs · 24 pairs · 9 taps
    assert conv.macs == 81 * 24 * 9
    assert conv.predicted_ms == pytest.approx(conv.macs / 1e6)
    assert (conv.source, conv.outside) == ("calibrated", False)
    # 8·81 numbers read and written: 5,184 bytes at 10 GB/s
    assert relu.predicted_ms == pytest.approx(2 * 8 * 81 * 4 / 10e9 * 1e3)
    assert relu.source == "bytes over bandwidth"
    assert strided.outside
    assert report.total()["predicted_ms"] == pytest.approx(report.table.predicted_ms.sum())
    assert report.total()["flops"] == 2 * report.total()["macs"]


def test_notes_say_what_is_outside_and_what_is_bound_by_bandwidth(report):
    assert any("outside the calibrated region" in note for note in report.notes)
    assert any("bandwidth-bound estimate" in note for note in report.notes)


def test_what_a_formula_without_bandwidth_cannot_time_is_named(network):
    calibration = PerMac()
    calibration.values = {}
    report = report_on(trace(network, (1, 3, 9, 9)), calibration)
    (relu,) = report.table[report.table.operator == "relu"].itertuples()
    assert np.isnan(relu.predicted_ms)
    assert relu.source == "none"
    assert "the total is a lower bound: no formula of this calibration times relu" in report.notes
    assert report.by_module().predicted_ms.isna().sum() == 1


@pytest.mark.filterwarnings("error::RuntimeWarning", "error:Setting an item of incompatible dtype")
@pytest.mark.parametrize(("model", "shape"), [(nn.Identity(), (2, 4)), (nn.Linear(4, 3), (0, 4))])
def test_networks_that_do_nothing_have_reports(model, shape):
    for calibration in (None, PerMac()):
        report = report_on(trace(model, shape), calibration)
        assert report.total()["macs"] == 0
        assert "<td>total</td>" in report._repr_html_()
        assert report._repr_html_().count("total") == 1
        assert "nan" not in str(report)
        assert len(repr(report)) < 1000
        assert report.plot().axes[0].get_title(loc="right").startswith(f"{type(model).__name__}: 0 ")


def test_names_are_shown_as_they_are():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleDict({"[bold]a|b<i>": nn.Linear(4, 4)})

        def forward(self, x):
            return self.parts["[bold]a|b<i>"](x)

    report = report_on(trace(Odd(), (2, 4)), None)
    assert "parts.[bold]a&lt;i&gt;" in report._repr_html_().replace("|b", "")
    assert "<i>" not in report._repr_html_()


def test_unknown_operators_come_first_and_have_no_time():
    class Fourier(nn.Module):
        def forward(self, x):
            return torch.fft.rfft(x).real

    report = report_on(trace(nn.Sequential(nn.Linear(4, 4), Fourier()), (2, 4)), PerMac())
    assert report.notes[0].startswith("WARNING: not counted: _fft_r2c (50% of the modules)")
    assert np.isnan(report.table.predicted_ms[report.table.operator == "_fft_r2c"]).all()
    assert report.total()["unknown"] == ["_fft_r2c"]


def test_without_a_calibration_the_report_counts(network):
    report = report_on(trace(network, (1, 3, 9, 9)), None)
    assert report.total()["macs"] > 0
    assert np.isnan(report.total_ms)
    assert "ms" not in str(report)


def test_forms_of_the_report(report, tmp_path):
    report.to_csv(tmp_path / "r.csv")
    assert len(pd.read_csv(tmp_path / "r.csv")) == 3
    assert (tmp_path / "r.csv").read_text().startswith("module,")
    assert "<table" in report._repr_html_()
    assert json.loads(json.dumps(report.to_json()))["total"]["macs"] == report.total()["macs"]
    assert "MAC," in str(report)
    with pytest.raises(AlphaflopsError, match="cannot be written"):
        report.to_csv(tmp_path / "no" / "r.csv")


def test_chart_shows_the_predicted_times(report):
    bars = report.plot().axes[0].patches
    assert sorted((bar.get_width() for bar in bars), reverse=True) == pytest.approx(
        sorted(report.by_module().predicted_ms, reverse=True)
    )
    assert report.plot().axes[0].get_xlabel() == "predicted time (ms)"
    few = report.plot(largest=1)
    assert [label.get_text() for label in few.axes[0].get_yticklabels()][1] == "2 others"


def test_modules_whose_names_end_alike_have_a_bar_each():
    model = nn.Sequential()
    for branch in ("left", "right"):
        model.add_module(branch, nn.Sequential())
        model.get_submodule(branch).add_module("a_name_that_is_longer_than_what_a_figure_shows", nn.Linear(4, 4))
    shown = report_on(trace(model, (1, 4)), None).plot().axes[0]
    assert [bar.get_width() for bar in shown.patches] == [4 * 4, 4 * 4]


def test_alpha_flops_of_a_vector_product_are_its_flops():
    # α = 1 for a dense layer on one vector
    report = report_on(trace(nn.Linear(8, 16), (1, 8)), None)
    assert report.table.alpha_flops[0] == flops({k: [v] for k, v in Dense(8, 16).row().items()})[0] == 256


def test_batched_products_fold_into_one_dense_layer():
    one = Repeated(Dense(64, 197, 197), 12)
    assert timed_as("bmm", one) == (Dense(64, 197, 12 * 197), 1)
    assert timed_as("lstm", one) == (one.layer, 12)


class Pairs(nn.Module):
    def forward(self, x, y):
        return torch.bmm(x, y)


def test_each_further_matrix_of_a_batched_product_is_read_once():
    # 5 products of 6×7 by 7×8 at 1 ms per million MAC; the formula's dense layer holds one matrix, the other four are
    # read at 10 GB/s: 4 · 7 · 8 · 4 bytes
    row = report_on(trace(Pairs(), [(5, 6, 7), (5, 7, 8)]), PerMac()).table.iloc[0]
    products, further = 5 * 6 * 7 * 8 / 1e6, 4 * 7 * 8 * 4 / 10e9 * 1e3
    assert row["source"] == "equivalent layer"
    assert row["predicted_ms"] == pytest.approx(products + further, rel=1e-12)
    assert [row["low_ms"], row["high_ms"]] == pytest.approx([0.9 * products + further, 1.1 * products + further])
    # a calibration without a bandwidth leaves them out
    plain = report_on(trace(Pairs(), [(5, 6, 7), (5, 7, 8)]), PerMac(values={})).table.iloc[0]
    assert plain["predicted_ms"] == pytest.approx(products, rel=1e-12)


def test_interval_of_a_total(operators):
    # errors of a formula have most in common, so distances from the prediction add up; what has no time counts nothing
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.ReLU()).eval()
    report = report_on(trace(model, (1, 3, 9, 9)), PerMac(), operators)
    first, second, relu = report.table.itertuples()
    assert report.total()["low_ms"] == pytest.approx(0.9 * (first.macs + second.macs) / 1e6 + relu.low_ms)
    assert report.total()["high_ms"] == pytest.approx(1.1 * (first.macs + second.macs) / 1e6 + relu.high_ms)


def test_operators_lie_on_their_curve_or_in_their_family(operators):
    # half way in the logarithm between 1 kB and 100 kB
    assert operators.time("relu_", "pointwise", 10_000).predicted_ms == pytest.approx(10**-2.5)
    assert operators.time("clamp_min", "pointwise", 1000).source == "operator curve"
    family = operators.time("erf", "pointwise", 1000)
    assert (family.low_ms, family.high_ms, family.source) == pytest.approx((0.001, 0.01, "family curve"))
    # beyond the last size time grows with the bytes
    assert operators.time("relu", "pointwise", 1_000_000).predicted_ms == pytest.approx(0.1)


def test_an_operator_on_its_own_curve_may_be_half_as_slow_again(operators):
    found = operators.time("relu", "pointwise", 1000)
    assert (found.predicted_ms, found.low_ms, found.high_ms) == pytest.approx((0.001, 0.001 / 1.5, 0.0015))


def test_windows_of_either_kind_take_their_own_fit(operators):
    # 2 MB at 1 ms per GB, and a million elements seen at 1 µs per thousand: 0.002 + 1 ms; average windows 0.5 ms more
    table = replace(operators, fits={"max": operators.fits["max"], "avg": operators.fits["avg"] | {"t0_ms": 0.5}})
    slow = table.time("max_pool2d_with_indices", "pooling", 2_000_000, 1_000_000)
    assert (slow.predicted_ms, slow.low_ms, slow.high_ms) == pytest.approx((1.002, 0.9 * 1.002, 1.1 * 1.002))
    assert table.time("avg_pool2d", "pooling", 2_000_000, 1_000_000).predicted_ms == pytest.approx(1.502)


def test_terms_of_a_depthwise_layer_by_hand():
    # 2 · 8 channels of 9 × 9: 11,664 MAC; 2 · 648 numbers in and out and 72 weights; 2 · 8 · 9 rows of 9 taps
    layer = Conv2d(9, 9, 8, 8, 3, batch=2, groups=8)
    by_hand = (1, 11_664e-9, 4 * (4 * 648 + 72) * 1e-9, 1296e-9)
    assert tuple(depthwise_terms(layer).values()) == pytest.approx(by_hand)


def test_depthwise_layers_take_their_own_fit(operators):
    layer = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
    report = report_on(trace(layer, (1, 8, 9, 9)), PerMac(), operators)
    spec = Conv2d(9, 9, 8, 8, 3, padding=1, groups=8)
    assert report.table.source[0] == "depthwise fit"
    assert report.table.predicted_ms[0] == pytest.approx(0.1 + 10 * spec.macs / 1e9 + spec.bytes_moved / 1e9)
    assert is_depthwise(spec)
    assert not is_depthwise(Conv2d(9, 9, 8, 8, 3))


def test_depthwise_fit_recovers_a_law():
    grid = depthwise_grid()
    law = np.array([0.05, 8.0, 30.0, 0.0])
    terms = [depthwise_terms(layer) for layer in grid]
    fitted = fit_terms(terms, [float(law @ [*row.values()]) for row in terms])
    assert [fitted["t0_ms"], fitted["ms_per_gmac"]] == pytest.approx(law[:2], rel=1e-6)
    assert fitted["low_factor"] == pytest.approx(1)


def test_pooling_pays_for_its_windows(operators):
    pool = nn.MaxPool2d(3, 2, 1)
    report = report_on(trace(pool, (1, 4, 8, 8)), PerMac(), operators)
    # 4·4·4 outputs look at 9 elements each: 576 taps at 1 µs per thousand; 4·64 + 4·16 numbers at 1 ms per GB
    assert report.network.operations[0].taps == 4 * 16 * 9
    assert report.table.predicted_ms[0] == pytest.approx(576e-9 * 1000 + (256 + 64) * 4e-9)
    assert report.table.source[0] == "pooling fit"
    # an adaptive pool has no fixed window
    assert trace(nn.AdaptiveAvgPool2d(1), (1, 4, 8, 8)).operations[0].taps == 0


def test_random_layers_are_ordinary_and_the_same_every_time(book_networks):
    grid = layer_grid(20, seed=3)
    assert grid == layer_grid(20, seed=3)
    assert [isinstance(layer, Dense) for layer in grid] == [True] * 20 + [False] * 40
    assert {layer.kernel == (1, 1) for layer in grid[20:40]} == {True}
    assert {layer.kernel == (1, 1) for layer in grid[40:]} == {False}
    assert all(GRID_MACS[0] <= layer.macs <= GRID_MACS[1] for layer in grid)
    # the networks stay unseen
    known = {layer for network in book_networks.values() for layer in distinct_layers(network)}
    assert len(known) > 90
    assert not known & set(layer_grid())


def in_turns_law(layer):
    """Twice the formula for matrix products, three times for 1×1 convolutions, the formula itself for larger ones."""
    slow = 2 if isinstance(layer, Dense) else 3 if layer.kernel == (1, 1) else 1
    return slow * layer.macs / 1e6


@pytest.fixture
def sampled():
    grid = layer_grid(60, seed=1)
    return as_table(grid).to_dict("list") | {"ms": [in_turns_law(layer) for layer in grid]}


def test_factors_learn_what_turns_add(sampled):
    found = fit_factors(PerMac(), sampled)
    assert set(found) == {"dense", "1x1", "larger"}
    sizes = log_sizes(
        features(as_table([Dense(300, 500, 40), Conv2d(28, 28, 200, 400, 1), Conv2d(28, 28, 100, 30, 3)]))
    )
    factors = np.array([one(sizes[[at]])[0] for at, one in enumerate(found.values())])
    assert factors[:, 0] == pytest.approx([2, 3, 1], rel=0.15)
    assert (factors[:, 1] <= factors[:, 0]).all()
    assert (factors[:, 0] <= factors[:, 2]).all()
    # the law of matrix products is smooth: each layer left out is found again
    assert factors[0, 1:] / factors[0, 0] == pytest.approx((1, 1), abs=0.01)


def test_factors_stay_what_they_are_beyond_the_measured_sizes():
    rng = np.random.default_rng(3)
    sizes = rng.normal(size=(15, 3))
    factors, edge = smooth(sizes, rng.normal(size=15)), sizes.max(axis=0)[None]
    assert (factors(edge + 5) == factors(edge)).all()
    assert (factors(edge - 0.5) != factors(edge)).all()


def test_few_layers_correct_nothing(sampled, operators):
    assert fit_factors(PerMac(), {name: values[:3] for name, values in sampled.items()}) == {}
    assert fit_factors(PerMac(), {}) == {}
    # of one kind alone: others stay as they are calibrated
    one_kind = {name: values[:60] for name, values in sampled.items()}
    assert set(fit_factors(PerMac(), one_kind)) == {"dense"}
    table, layer = replace(operators, layers=one_kind, reference=PerMac()), Conv2d(5, 5, 3, 3, 3)
    assert layer_times(PerMac(), table, [layer]) == layer_times(PerMac(), None, [layer])


def slower(factor):
    """Layers in turns that take a number of times what `PerMac` says, all alike."""
    grid = layer_grid(20, seed=1)
    return as_table(grid).to_dict("list") | {"ms": [factor * layer.macs / 1e6 for layer in grid]}


def test_a_correction_is_a_factor_on_the_calibration_that_is_given(operators):
    layer = Dense(300, 500, 40)  # 6 million MAC
    table = replace(operators, layers=slower(3.0), reference=PerMac())
    guess = layer_times(PerMac(), table, [layer])[layer]
    assert guess.source == "corrected"
    assert guess[:3] == pytest.approx((18.0, 18.0, 18.0))

    class Faster(PerMac):
        def formula_ms(self, f):
            return 0.1 * super().formula_ms(f)

    assert layer_times(Faster(), table, [layer])[layer].predicted_ms == pytest.approx(0.1 * 18.0)
    for other in (
        PerMac(model="alpha"),
        PerMac(run={"id": "made-up", "sha256": "2", "quantity": "latency"}),
        PerMac(run={"id": "made-up", "sha256": "1", "quantity": "throughput"}),
    ):
        guess = layer_times(other, table, [layer])[layer]
        assert (guess.predicted_ms, guess.source) == (6.0, "calibrated")


def test_numbers_of_another_type_than_calibrated_are_told():
    half = trace(nn.Linear(300, 500).half(), torch.zeros(40, 300, dtype=torch.float16))
    assert any("no layers of 16-bit numbers" in note for note in report_on(half, PerMac()).notes)
    plain = report_on(trace(nn.Linear(300, 500), (40, 300)), PerMac())
    assert not any("-bit" in note for note in plain.notes)


def test_left_out_residuals_are_those_of_fitting_again():
    rng = np.random.default_rng(4)
    sizes, ratio = rng.normal(size=(15, 3)), rng.normal(size=15)
    middle, *ends = smooth(sizes, ratio)(sizes[:1])[0]
    # by hand, with scale and mean of all layers kept: fit without layer i, predict it
    z = (sizes - sizes.mean(0)) / sizes.std(0)
    kernel = np.exp(-((z[:, None] - z[None]) ** 2).sum(2) / (2 * 2.0**2))
    left = []
    for i in range(15):
        rest = np.arange(15) != i
        weights = np.linalg.solve(kernel[np.ix_(rest, rest)] + 0.15 * np.eye(14), ratio[rest] - ratio.mean())
        left.append(ratio[i] - ratio.mean() - kernel[i, rest] @ weights)
    assert np.log(ends / middle) == pytest.approx(np.quantile(left, (0.05, 0.95)))


def test_operator_tables_survive_a_file_and_refuse_damage(operators, tmp_path):
    path = operators.write(tmp_path / "t.json")
    assert read_operators(path) == operators
    content = json.loads(path.read_text())
    content["curves"]["relu"]["ms"] = [0.0, 1.0]
    path.write_text(json.dumps(content))
    with pytest.raises(AlphaflopsError, match="'relu' is damaged"):
        read_operators(path)
    path.write_text("{")
    with pytest.raises(AlphaflopsError, match="not valid JSON"):
        read_operators(path)
    path.write_text("{}")
    with pytest.raises(AlphaflopsError, match="no operator table"):
        read_operators(path)
    with pytest.raises(AlphaflopsError, match="cannot be read"):
        read_operators(tmp_path / "none.json")


def test_operators_are_those_of_the_machine_unless_others_are_given(operators):
    def source(calibration, chosen=None):
        report = estimate(nn.Sequential(nn.Linear(8, 8), nn.ReLU()), (4, 8), calibration, operators=chosen)
        return report.table.source.iloc[-1]

    assert source("cpu-1core") == "operator curve"
    assert source("paper-t2000") == "bytes over bandwidth"
    assert source("paper-t2000", operators) == "operator curve"
    assert source("paper-t2000", data_folder() / "operators" / "cpu-1core.json") == "operator curve"
    with pytest.raises(AlphaflopsError, match=r"none\.json cannot be read"):
        source("cpu-1core", "none.json")


def test_a_report_gives_a_table_of_its_own():
    report = estimate(nn.Linear(4, 3), (2, 4), "cpu-1core")
    taken = report.to_pandas()
    taken["macs"] = 0
    assert report.to_pandas().macs.sum() == report.total()["macs"] == 2 * 4 * 3


def test_the_package_keeps_its_older_name():
    whole = importlib.import_module("alphaflops.whole")
    assert whole.measure_network is measure_network
    assert importlib.import_module("alphaflops.whole.zoo").resnet50 is resnet50


def test_missing_calibration_is_one_line():
    with pytest.raises(AlphaflopsError, match="calibration 'no-such' is not here") as wrong:
        estimate(nn.ReLU(), (3,), "no-such")
    assert "\n" not in str(wrong.value)


def test_factory_by_name_in_evaluation_mode_or_training():
    given = {"inputs": ["5,8"], "kwargs_json": '{"in_features": 8, "out_features": 16}'}
    # 5 vectors of 8 to 16; training adds the weight's gradient
    assert estimate_factory("torch.nn:Linear", **given).total()["macs"] == 640
    assert estimate_factory("torch.nn:Linear", **given, training=True).total()["macs"] == 2 * 640
    assert estimate_factory("torch.nn:Linear", ["input=5,8"], kwargs_json=given["kwargs_json"]).total()["macs"] == 640


@pytest.mark.parametrize(
    ("inputs", "kwargs_json", "message"),
    [
        ([], "{}", "no input"),
        (["1,3"], "{", "not valid JSON"),
        (["1,3"], "[1]", "holds a list: expected a JSON object"),
        (["x=1,3", "1,3"], "{}", "name all or none"),
        (["1,3:float33"], "{}", "dtype is 'float33'"),
    ],
)
def test_mistakes_get_one_line(inputs, kwargs_json, message):
    with pytest.raises(AlphaflopsError, match=message) as wrong:
        estimate_factory("torch.nn:ReLU", inputs, kwargs_json)
    assert "\n" not in str(wrong.value)


def test_the_time_of_a_network_is_split_by_hand(operators):
    twice = [nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(2)]
    depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
    model = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), depthwise, *twice)
    network = trace(model, (1, 3, 9, 9))
    layers = list(distinct_layers(network))
    # at 1 ms per million MAC: 81·3·8, 81·8·9 and twice 81·8·8·9
    predicted = [1944e-6, 5832e-6, 46_656e-6]
    alone = as_table(layers).assign(uses=[1, 1, 2])
    alone = alone.assign(turn_ms=[0.002, 0.010, 0.05], latency_ms=[0.001, 0.008, 0.04])
    found = parts(alone, PerMac(), None, 0.2, 0.3)
    total = predicted[0] + predicted[1] + 2 * predicted[2]
    assert found == {
        "layers_ms": pytest.approx(total),
        "turns_ms": pytest.approx(0.112),
        "alone_ms": pytest.approx(0.089),
        "rest_ms": pytest.approx(0.2 - total),
        "remaining_ms": pytest.approx(0.3 - 0.112),
    }
    # with a table depthwise layers take their own fit, and the correction here doubles all others
    corrected = replace(operators, layers=slower(2.0), reference=PerMac())
    found = parts(alone, PerMac(), corrected, 0.5, 0.3)
    own = layer_times(PerMac(), operators, [layers[1]])[layers[1]].predicted_ms
    assert found["layers_ms"] == pytest.approx(2 * predicted[0] + own + 4 * predicted[2])


def test_measures_are_ranked_against_time(defined):
    frame = pd.DataFrame({"machine": "a", "measured_ms": [1.0, 2.0, 3.0], "params": [3, 2, 1], "macs": [1, 2, 3]})
    frame = frame.assign(alpha_flops=frame.macs, bytes=frame.macs, predicted_ms=frame.macs)
    ranks = defined("11_networks").rank_correlations(frame)["a"]
    assert ranks["parameters"] == pytest.approx(-1)
    assert ranks["MACs"] == ranks["predicted time"] == pytest.approx(1)


@pytest.fixture(scope="module")
def book_networks():
    return traced()


def test_chapter_names_the_runs_that_have_networks():
    with pytest.raises(AlphaflopsError, match="no networks were measured for run 'nobody'"):
        measured("nobody")
