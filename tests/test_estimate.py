"""Predictions for whole networks: sums, intervals, honesty about what is not covered, and one-line errors."""

import io
import json
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from torch import nn

from alphaflops.costs import BEST
from alphaflops.errors import AlphaflopsError
from alphaflops.layers import Conv2d, Dense, flops, macs, to_table
from alphaflops.network import trace
from alphaflops.network.formulas import Repeated
from alphaflops.prediction import (
    OperatorTable,
    chapter,
    estimate,
    estimate_factory,
    predict,
    read_operators,
    report_on,
)
from alphaflops.prediction.api import find_calibration
from alphaflops.prediction.comparison import (
    comparison,
    correlations,
    kind_of,
    measured,
    measured_networks,
    parts,
    traced,
)
from alphaflops.prediction.correction import correct, corrections, fit_in_turns, fit_smooth
from alphaflops.prediction.curves import GRID_MACS, depthwise_grid, fit_terms, layer_grid
from alphaflops.prediction.measuring import distinct_layers
from alphaflops.prediction.operators import DEPTHWISE_TERMS, depthwise_terms, is_depthwise, operators_folder
from alphaflops.prediction.predict import shared_error, timed_as, total_interval


@dataclass
class PerMac:
    """A calibration that takes 1 ms per million MAC, 10 % either way, and has seen no stride."""

    run: dict = field(default_factory=lambda: {"id": "made-up"})
    model: str = "macs"
    values: dict = field(default_factory=lambda: {"b": 10.0})

    def predict(self, table):
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
        "relu": {"bytes": [1e3, 1e5], "ms": [0.001, 0.01]},
        "gelu": {"bytes": [1e3, 1e5], "ms": [0.01, 0.1]},
        "softmax": {"bytes": [1e3, 1e5], "ms": [0.02, 0.2]},
    }
    families = {"relu": "pointwise", "gelu": "pointwise", "softmax": "softmax"}
    depthwise = dict(
        t0_ms=0.1, ms_per_gmac=10.0, ms_per_gbyte=1.0, ms_per_gtap_row=0.0, low_factor=0.9, high_factor=1.2
    )
    pooling = {
        kind: dict(t0_ms=0.0, ms_per_gbyte=1.0, ms_per_gtap=1000.0, low_factor=0.9, high_factor=1.1)
        for kind in ("max", "avg")
    }
    return OperatorTable({"id": "made-up"}, curves, families, depthwise, pooling, {})


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
        assert report.to_markdown().splitlines()[-1].startswith("| total |")
        assert report._repr_html_().count("total") == 1
        assert "nan" not in str(report)
        assert report.chart().get_suptitle().startswith(f"{type(model).__name__}: 0 ")


def test_names_are_shown_as_they_are():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleDict({"[bold]a|b<i>": nn.Linear(4, 4)})

        def forward(self, x):
            return self.parts["[bold]a|b<i>"](x)

    report = report_on(trace(Odd(), (2, 4)), None)
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(report)
    assert "parts.[bold]a|b<i>" in console.export_text()
    assert "parts.[bold]a&lt;i&gt;" in report._repr_html_().replace("|b", "")
    assert report.to_markdown().splitlines()[2].startswith(r"| parts.[bold]a\|b<i> |")


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
    assert np.isnan(report.total()["predicted_ms"])
    assert "ms" not in str(report)


def test_forms_of_the_report(report, tmp_path):
    assert next(iter(report.to_pandas("predicted").macs)) == report.table.macs.max()
    assert report.to_csv().splitlines()[0].startswith("module,")
    report.to_csv(tmp_path / "r.csv")
    assert len(pd.read_csv(tmp_path / "r.csv")) == 3
    assert report.to_markdown().count("\n") == 2 + 3
    assert "total" in report.to_markdown().splitlines()[-1]
    assert "<table" in report._repr_html_()
    assert json.loads(json.dumps(report.to_json()))["total"]["macs"] == report.total()["macs"]
    assert report.rich_table().row_count == 4
    assert "MAC," in str(report)
    with pytest.raises(AlphaflopsError, match="choose from"):
        report.to_pandas("colour")
    with pytest.raises(AlphaflopsError, match="cannot be written"):
        report.to_csv(tmp_path / "no" / "r.csv")


def test_chart_shows_the_predicted_times(report):
    bars = report.chart().axes[0].patches
    assert sorted((bar.get_width() for bar in bars), reverse=True) == pytest.approx(
        sorted(report.by_module().predicted_ms, reverse=True)
    )
    assert report.chart().axes[0].get_xlabel() == "predicted time (ms)"
    few = report.chart(largest=1)
    assert [label.get_text() for label in few.axes[0].get_yticklabels()][1] == "2 others"


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


def test_interval_of_a_total():
    ms, low, high = [10.0, 10.0], [9.0, 9.0], [12.0, 12.0]
    # alike or fully correlated: distances add, 2 below and 4 above
    assert total_interval(ms, low, high, ["a", "a"], 0.0) == pytest.approx((20, 18, 24))
    assert total_interval(ms, low, high, ["a", "b"], 1.0) == pytest.approx((20, 18, 24))
    # independent: √2 below and √8 above
    assert total_interval(ms, low, high, ["a", "b"], 0.0) == pytest.approx((20, 20 - 2**0.5, 20 + 8**0.5))
    # in between: √(½·4 + ½·2)
    assert total_interval(ms, low, high, ["a", "b"], 0.5)[1] == pytest.approx(20 - 3**0.5)
    assert total_interval([], [], [], [], 1.0) == (0, 0, 0)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8])
def test_shared_error_finds_what_was_planted(rho):
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(400), 8)
    residuals = rho**0.5 * rng.normal(size=400)[groups] + (1 - rho) ** 0.5 * rng.normal(size=3200)
    assert shared_error(residuals, groups) == pytest.approx(rho, abs=0.06)


def test_shared_error_by_hand():
    # groups (0, 2) and (4, 6): between 2·(1 − 3)² + 2·(5 − 3)² = 16 with 1 degree of freedom, within 4/2 = 2;
    # (16 − 2) / (16 + (2 − 1)·2)
    assert shared_error([0, 2, 4, 6], list("aabb")) == pytest.approx(14 / 18)
    assert shared_error([1, -1, 1, -1], list("aabb")) == 0
    # of one group, and of groups of one, nothing is known: the widest interval
    assert shared_error([1, 2, 4], list("aaa")) == shared_error([1, 2, 4], list("abc")) == 1


def test_interval_of_a_total_covers_what_it_says():
    rng = np.random.default_rng(2)
    rho, n, z = 0.4, 30, 1.645
    noise = 0.1 * (rho**0.5 * rng.normal(size=(4000, 1)) + (1 - rho) ** 0.5 * rng.normal(size=(4000, n)))
    ms = np.linspace(1, 5, n)
    truth = (ms * (1 + noise)).sum(axis=1)
    _, low, high = total_interval(ms, ms * (1 - 0.1 * z), ms * (1 + 0.1 * z), list(range(n)), rho)
    assert np.mean((truth > low) & (truth < high)) == pytest.approx(0.9, abs=0.02)


def test_operators_lie_on_their_curve_or_in_their_family(operators):
    # half way in the logarithm between 1 kB and 100 kB
    assert operators.time("relu_", "pointwise", 10_000).ms == pytest.approx(10**-2.5)
    assert operators.time("clamp_min", "pointwise", 1000).source == "operator curve"
    family = operators.time("erf", "pointwise", 1000)
    assert (family.low_ms, family.high_ms, family.source) == pytest.approx((0.001, 0.01, "family curve"))
    # beyond the last size time grows with the bytes
    assert operators.time("relu", "pointwise", 1_000_000).ms == pytest.approx(0.1)


def test_an_operator_on_its_own_curve_may_be_half_as_slow_again(operators):
    found = operators.time("relu", "pointwise", 1000)
    assert (found.ms, found.low_ms, found.high_ms) == pytest.approx((0.001, 0.001 / 1.5, 0.0015))


def test_windows_of_either_kind_take_their_own_fit(operators):
    # 2 MB at 1 ms per GB, and a million elements seen at 1 µs per thousand: 0.002 + 1 ms; average windows 0.5 ms more
    pooling = {"max": operators.pooling["max"], "avg": operators.pooling["avg"] | {"t0_ms": 0.5}}
    table = replace(operators, pooling=pooling)
    slow = table.time("max_pool2d_with_indices", "pooling", 2_000_000, 1_000_000)
    assert (slow.ms, slow.low_ms, slow.high_ms) == pytest.approx((1.002, 0.9 * 1.002, 1.1 * 1.002))
    assert table.time("avg_pool2d", "pooling", 2_000_000, 1_000_000).ms == pytest.approx(1.502)


def test_terms_of_a_depthwise_layer_by_hand():
    # 2 · 8 channels of 9 × 9: 11,664 MAC; 2 · 648 numbers in and out and 72 weights; 2 · 8 · 9 rows of 9 taps
    layer = Conv2d(9, 9, 8, 8, 3, batch=2, groups=8)
    assert depthwise_terms(layer) == pytest.approx((1, 11_664e-9, 4 * (4 * 648 + 72) * 1e-9, 1296e-9))


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
    fitted = fit_terms(DEPTHWISE_TERMS, terms, [float(law @ row) for row in terms])
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


def per_mac(table):
    return macs(table) / 1e6


@pytest.fixture
def sampled():
    grid = layer_grid(60, seed=1)
    columns = {name: np.asarray(values).tolist() for name, values in to_table(grid).items()}
    return columns | {"ms": [in_turns_law(layer) for layer in grid]}


def test_correction_learns_what_turns_add(sampled):
    found = corrections(per_mac, sampled)
    assert set(found) == {"dense", "1x1", "larger"}
    unseen = [Dense(300, 500, 40), Conv2d(28, 28, 200, 400, 1), Conv2d(28, 28, 100, 30, 3)]
    table = to_table(unseen)
    ms = macs(table) / 1e6
    corrected = correct(found, table, ms, np.column_stack([ms, 0.5 * ms, 2 * ms]))
    assert corrected[:, 0] / ms == pytest.approx([2, 3, 1], rel=0.15)
    assert corrected[0, 1] <= corrected[0, 0] <= corrected[0, 2]
    # the law of matrix products is smooth: each layer left out is found again
    assert found["dense"].ends == pytest.approx((1, 1), abs=0.01)


def test_correction_stays_what_it_is_beyond_the_measured_sizes(sampled):
    found = corrections(per_mac, sampled)["larger"]
    edge = found.centre + found.scale * found.points.max(axis=0)
    assert found.factor(edge[None] + 5) == pytest.approx(found.factor(edge[None]))


def test_few_layers_correct_nothing(sampled):
    few = {name: values[:5] for name, values in sampled.items()}
    assert corrections(per_mac, few) == {}
    ends = np.array([[1.0, 0.5, 2.0]])
    assert (correct({}, to_table([Dense(3, 3)]), np.ones(1), ends) == ends).all()


def test_formula_is_fitted_to_layers_in_turns(sampled):
    true = {p.name: 2 * p.start for p in BEST.parameters}
    table = {name: np.asarray(values) for name, values in sampled.items() if name != "ms"}
    found = fit_in_turns(sampled | {"ms": BEST.predict_ms(table, true).tolist()})
    assert found["model"] == "best"
    again = BEST.predict_ms(table, found["parameters"])
    assert again == pytest.approx(BEST.predict_ms(table, true), rel=0.05)
    few = {name: values[:20] for name, values in sampled.items()}
    assert fit_in_turns(few) == fit_in_turns({}) == {}


class Times:
    """A correction that multiplies times by a number."""

    ends = (0.5, 2.0)

    def __init__(self, number):
        self.number = number

    def factor(self, sizes):
        return np.full(len(sizes), self.number)


def test_a_fit_of_the_same_formula_takes_the_place_of_the_calibration(operators, monkeypatch):
    monkeypatch.setattr(predict, "corrections", lambda base, layers: {"dense": Times(1.0)})
    layer = Dense(300, 500, 40)  # 6 million MAC
    fitted = replace(operators, formula={"model": "macs", "parameters": {"scale": 2.0}})
    other = replace(operators, formula={"model": "best", "parameters": {}})
    found = [predict.Predictor(PerMac(), table).each([layer])[0] for table in (operators, other, fitted)]
    assert [guess.ms for guess in found] == [6.0, 6.0, pytest.approx(2 * 6.0)]
    assert found[2].ends == pytest.approx([12.0, 6.0, 24.0])


def test_left_out_residuals_are_those_of_fitting_again():
    rng = np.random.default_rng(4)
    sizes, ratio = rng.normal(size=(15, 3)), rng.normal(size=15)
    ends = fit_smooth(sizes, ratio).ends
    # by hand, with scale and mean of all layers kept: fit without layer i, predict it
    z = (sizes - sizes.mean(0)) / sizes.std(0)
    kernel = np.exp(-((z[:, None] - z[None]) ** 2).sum(2) / (2 * 2.0**2))
    left = []
    for i in range(15):
        rest = np.arange(15) != i
        weights = np.linalg.solve(kernel[np.ix_(rest, rest)] + 0.15 * np.eye(14), ratio[rest] - ratio.mean())
        left.append(ratio[i] - ratio.mean() - kernel[i, rest] @ weights)
    assert np.log(ends) == pytest.approx(np.quantile(left, (0.05, 0.95)))


def test_estimates_take_the_correction_where_the_machine_has_one(operators, sampled):
    corrected = replace(operators, layers=sampled)
    report = report_on(trace(nn.Linear(300, 500, bias=False), (40, 300)), PerMac(), corrected)
    assert report.table.source[0] == "corrected"
    assert report.table.predicted_ms[0] == pytest.approx(2 * 40 * 300 * 500 / 1e6, rel=0.05)
    assert report_on(trace(nn.Linear(300, 500), (40, 300)), PerMac(), operators).table.source[0] == "calibrated"


def test_operator_tables_survive_a_file_and_refuse_damage(operators, tmp_path):
    path = operators.write(tmp_path / "t.json")
    assert read_operators(path) == operators
    content = json.loads(path.read_text())
    content["curves"]["relu"]["ms"] = [0.0, 1.0]
    path.write_text(json.dumps(content))
    with pytest.raises(AlphaflopsError, match="'relu' is damaged"):
        read_operators(path)
    path.write_text(json.dumps(json.loads(operators.write(path).read_text()) | {"formula": {"model": "best"}}))
    with pytest.raises(AlphaflopsError, match="the formula is damaged"):
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
    assert source("paper-t2000", operators_folder() / "cpu-1core.json") == "operator curve"
    with pytest.raises(AlphaflopsError, match=r"none\.json cannot be read"):
        source("cpu-1core", "none.json")


def test_missing_calibration_is_one_line():
    with pytest.raises(AlphaflopsError, match="calibration 'no-such' is not here") as wrong:
        find_calibration("no-such")
    assert "\n" not in str(wrong.value)


def test_factory_by_name_in_evaluation_mode_or_training():
    given = {"inputs": ["5,8"], "kwargs_json": '{"in_features": 8, "out_features": 16}'}
    # 5 vectors of 8 to 16; training adds the weight's gradient
    assert estimate_factory("torch.nn:Linear", **given).total()["macs"] == 640
    assert estimate_factory("torch.nn:Linear", **given, training=True).total()["macs"] == 2 * 640
    assert estimate_factory("torch.nn:Linear", ["input=5,8"], kwargs_json=given["kwargs_json"]).total()["macs"] == 640


@pytest.mark.parametrize(
    ("inputs", "dtypes", "kwargs_json", "message"),
    [
        ([], [], None, "no input"),
        (["1,3"], ["float32", "int64"], None, "at most one for each"),
        (["1,3"], [], "{", "not valid JSON"),
        (["1,3"], [], "[1]", "no JSON object"),
        (["x=1,3", "1,3"], [], None, "name all or none"),
        (["1,3"], ["float33"], None, "dtype is 'float33'"),
    ],
)
def test_mistakes_get_one_line(inputs, dtypes, kwargs_json, message):
    with pytest.raises(AlphaflopsError, match=message) as wrong:
        estimate_factory("torch.nn:ReLU", inputs, dtypes, kwargs_json)
    assert "\n" not in str(wrong.value)


@pytest.fixture
def compared():
    """Three networks on one run: parameters fall with time, MACs rise."""
    rows = [
        ("MobileNetV2", 30, 1e8, 11.0, 10.0, 8.0, 7.0, 4.0),
        ("Other", 20, 2e8, 18.0, 20.0, 15.0, 16.0, 10.0),
        ("ResNet-18", 10, 6e8, 30.0, 30.0, 20.0, 20.0, 16.0),
    ]
    columns = ["network", "params", "macs", "predicted_ms", "measured_ms", "layers_ms", "turns_ms", "alone_ms"]
    frame = pd.DataFrame(rows, columns=columns)
    frame = frame.assign(
        run="cpu-1core", alpha_flops=frame.macs, bytes=frame.macs, uncovered_ms=frame.predicted_ms / 10
    )
    frame = frame.assign(low_ms=frame.predicted_ms * 0.95, high_ms=frame.predicted_ms * 1.2, spread=[0.5, 0.0, 0.0])
    frame = frame.assign(formula_ms=2 * frame.alone_ms, rest_ms=frame.predicted_ms - frame.layers_ms)
    frame = frame.assign(remaining_ms=frame.measured_ms - frame.turns_ms, kind="1×1 convolutions", kind_error_ms=2.0)
    return frame.assign(error=frame.predicted_ms / frame.measured_ms - 1)


def test_the_time_of_a_network_is_split_by_hand(operators, monkeypatch):
    twice = [nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(2)]
    depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
    model = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), depthwise, *twice)
    network = trace(model, (1, 3, 9, 9))
    layers = list(distinct_layers(network))
    assert [kind_of(layer) for layer in layers] == [
        "1×1 convolutions", "depthwise convolutions", "larger convolutions",
    ]  # fmt: skip
    assert kind_of(Dense(3, 3)) == "matrix products"
    # at 1 ms per million MAC: 81·3·8, 81·8·9 and twice 81·8·8·9
    predicted = [1944e-6, 5832e-6, 46_656e-6]
    alone = pd.DataFrame({"layer": map(repr, layers), "uses": [1, 1, 2]})
    alone = alone.assign(turn_ms=[0.002, 0.010, 0.05], latency_ms=[0.001, 0.008, 0.04])
    found = parts(network, alone, predict.Predictor(PerMac(), None), 0.2, 0.3)
    total = predicted[0] + predicted[1] + 2 * predicted[2]
    assert found == {
        "layers_ms": pytest.approx(total),
        "formula_ms": pytest.approx(total),
        "turns_ms": pytest.approx(0.112),
        "alone_ms": pytest.approx(0.089),
        "rest_ms": pytest.approx(0.2 - total),
        "remaining_ms": pytest.approx(0.3 - 0.112),
        "kind": "larger convolutions",
        "kind_error_ms": pytest.approx(2 * (46_656e-6 - 0.05)),
    }
    # with a table depthwise layers take their own fit, and a correction that doubles is left out of `formula_ms`
    monkeypatch.setattr(predict, "corrections", lambda base, layers: {"larger": Times(2.0)} if layers else {})
    corrected = replace(operators, layers={"ms": [1.0]})
    found = parts(network, alone, predict.Predictor(PerMac(), corrected), 0.5, 0.3)
    own = operators.depthwise_ms(layers[1]).ms
    assert found["formula_ms"] == pytest.approx(predicted[0] + own + 2 * predicted[2])
    assert found["layers_ms"] == pytest.approx(predicted[0] + own + 4 * predicted[2])


def test_sentences_of_the_chapter_are_computed(compared):
    # errors +10 %, −10 %, 0 %: median of sizes 10 %; 10 lies below 0.95·11, 20 in 17.1…21.6, 30 in 28.5…36
    (accuracy,) = chapter.accuracy(compared)
    assert "median absolute error 10.0 % over 3 networks, largest +10.0 % (MobileNetV2); 2 of 3" in accuracy
    assert accuracy.endswith("The aim of 10 % in the median and 20 % at most is reached.")
    worse = compared.assign(error=[0.1, -0.1, 0.21])
    assert chapter.accuracy(worse)[0].endswith("missed.")
    assert correlations(compared).loc["parameters", "cpu-1core"] == pytest.approx(-1)
    assert "1.00 for MACs" in chapter.ranking(compared)[0]
    heavy = compared.assign(bytes=[200.0, 1.0, 100.0])
    told = "6.0 times fewer MACs than ResNet-18, moves 2.0 times its bytes, and is 3.0 times faster"
    assert told in chapter.depthwise_case(heavy)[0]
    assert chapter.shown(compared).count("\n") == 1 + 3


def test_each_error_is_split_into_layers_and_rest(compared):
    # of 10 ms: layers 8 against 7, of which 1×1 convolutions +2; rest 3 against 3
    mobile, other, _ = chapter.missing(compared)
    assert mobile.startswith("**MobileNetV2, cpu-1core**: +10.0 % = +10.0 % from the layers")
    assert "1×1 convolutions (+20.0 %), and +0.0 % from the rest. The measured time itself moved by 50 %" in mobile
    # of 20 ms: layers 15 against 16, rest 3 against 4
    assert "−10.0 % = −5.0 % from the layers" in other
    assert other.endswith("−5.0 % from the rest.")
    first = chapter.made_of(compared).splitlines()[2]
    assert first == "| MobileNetV2 | cpu-1core | 8.0 | 7.0 | 4.0 | 8.0 | 3.0 | 3.0 | 10 |"
    # turns over alone: 7/4, 16/10, 20/16; the formula is twice the layers alone;
    # with it: (8 + 3)/10, (20 + 3)/20, (32 + 10)/30
    (why,) = chapter.why(compared)
    assert "1.60 times as long as call after call" in why
    assert "100 % off their sum" in why
    assert "15 % off in the median and 40 % at most" in why


def test_training_is_judged_as_inference_is(compared):
    both = compared.assign(measured_ms=3 * compared.measured_ms, error=[0.05, -0.08, 0.1])
    (good,) = chapter.training(both, compared)
    assert "take 3.0 times as long as forward alone (median of 3)" in good
    assert "median absolute error of 8.0 %, largest +10.0 % (ResNet-18); as good as" in good
    (bad,) = chapter.training(both.assign(error=[0.05, -0.3, 0.1]), compared)
    assert bad.endswith("a rough guide only.")


def test_figure_of_the_chapter_shows_predicted_and_measured(compared):
    axis = chapter.draw_comparison(compared).axes[0]
    predicted, *_, measured_line = axis.lines
    ordered = compared.sort_values("measured_ms")
    assert list(predicted.get_xdata()) == pytest.approx(list(ordered.predicted_ms))
    assert list(measured_line.get_xdata()) == pytest.approx(list(ordered.measured_ms))
    assert list(predicted.get_ydata()) == list(measured_line.get_ydata()) == [0, 1, 2]
    assert [label.get_text() for label in axis.get_yticklabels()] == list(ordered.network)
    bars = axis.collections[0].get_segments()
    assert [bar[:, 0].tolist() for bar in bars] == ordered[["low_ms", "high_ms"]].to_numpy().tolist()
    assert axis.get_xscale() == "log"


@pytest.fixture(scope="module")
def book_networks():
    return traced()


@pytest.mark.parametrize("run", measured_networks())
def test_names_in_the_figure_do_not_meet(run, book_networks):
    """On the measured networks themselves: names of networks and numbers of the axis stand clear of each other."""
    figure = chapter.draw_comparison(comparison(book_networks, [run]))
    figure.canvas.draw()
    (axis,) = figure.axes
    for labels in (axis.get_yticklabels(), axis.get_xticklabels()):
        boxes = [label.get_window_extent() for label in labels if label.get_text()]
        assert len(boxes) > 2
        assert not any(box.overlaps(other) for i, box in enumerate(boxes) for other in boxes[:i])
    assert len(axis.get_yticklabels()) == 7


def test_chapter_names_the_runs_that_have_networks():
    with pytest.raises(AlphaflopsError, match="no networks were measured for run 'nobody'"):
        measured("nobody")
