"""Figures, tables and sentences of the study chapters hold the numbers that they claim to show."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from alphaflops import claims, experiments, figures
from alphaflops.costs import BOOSTING, FORMS, MODEL_NAMES
from alphaflops.costs.alpha import REPLICATION_RTX4090, published_ms
from alphaflops.errors import AlphaflopsError
from alphaflops.figures import limits as drawn_limits
from alphaflops.figures import replication as drawn_replication
from alphaflops.figures import scores as drawn_scores
from alphaflops.figures import studies as tables
from alphaflops.figures import verdicts as drawn_verdicts
from alphaflops.layers import bytes_moved, flops
from alphaflops.runs import Run
from alphaflops.study import conclusions, findings, limits, replication

mpl.use("Agg")
pytestmark = pytest.mark.usefixtures("closed_figures")
GRID = experiments.grid("paper")


@pytest.fixture
def made_up(meta):
    times = published_ms(GRID) + 0.2
    about = {**meta, "run_id": "made-up", "device": "cuda", "machine": {"name": "Quadro T2000"}}
    return Run(about, GRID.assign(latency_ms=times, throughput_ms=published_ms(GRID)))


@pytest.fixture
def card():
    """Errors of every model on two sets: 10 % for the first, one more for each next; twice that on the second set."""
    rows = []
    for factor, run in enumerate(("paper-t2000", "neusight-conv-t4"), 1):
        for validation in ("in sample", "random", "figure"):
            for i, name in enumerate(MODEL_NAMES):
                mape = factor * (10.0 + i)
                rows.append({"run": run, "model": name, "cv": validation, "mape_pct": mape})
    return pd.DataFrame(rows)


def test_scorecard_shows_every_error_and_frames_the_best_formula(card):
    errors = drawn_scores.matrix(card, "random")
    assert list(errors.index)[-1] == BOOSTING
    assert errors.loc["macs", "neusight-conv-t4"] == 2 * errors.loc["macs", "paper-t2000"]
    (ax,) = drawn_scores.draw_scorecard(errors).axes
    assert np.asarray(ax.collections[0].get_array()).ravel() == pytest.approx(errors.to_numpy().ravel())
    assert {text.get_text() for text in ax.texts} == {f"{value:.1f}" for value in errors.to_numpy().ravel()}
    frames = [patch.get_y() for patch in ax.patches]
    assert [int(y) for y in frames] == [0, 0]


def test_unknown_errors_are_a_dash(card):
    errors = drawn_scores.matrix(card, "random")
    errors.iloc[0, 0] = np.nan
    (ax,) = drawn_scores.draw_scorecard(errors).axes
    assert "–" in {text.get_text() for text in ax.texts}
    assert int(ax.patches[0].get_y()) == 1


def test_residuals_are_held_out_and_drawn_as_ratios(made_up):
    frame = drawn_scores.residuals(made_up, ("macs", "macs+t0"))
    assert frame["ratio"].to_numpy() == pytest.approx((frame["predicted_ms"] / frame["time_ms"]).to_numpy())
    assert frame.loc[frame["model"] == "macs", "mflops"].to_numpy() == pytest.approx(flops(GRID) / 1e6)
    axes = drawn_scores.draw_residuals(frame).axes
    drawn = np.concatenate([np.asarray(c.get_offsets())[:, 1] for c in axes[0].collections if len(c.get_offsets()) > 1])
    wanted = frame.loc[frame["model"] == "macs", "ratio"].clip(1 / 12, 12)
    assert np.sort(drawn) == pytest.approx(np.sort(wanted))


def test_learning_curve_shows_median_and_extremes():
    rows = [
        {"run": "a", "model": model, "layers": n, "repeat": i, "mape_pct": float(n + i)}
        for model in ("macs+t0", "best")
        for n in (15, 30)
        for i in (0, 1, 5)
    ]
    frame = drawn_scores.summarise(pd.DataFrame(rows))
    assert frame[["median", "low", "high"]].iloc[0].tolist() == [16, 15, 20]
    (ax,) = drawn_scores.draw_learning(frame, {"a": "machine a"}).axes
    assert [text.get_text() for text in ax.texts] == ["FLOPs + t₀", "this project"]
    assert ax.lines[0].get_xydata().tolist() == [[15, 16], [30, 31]]
    assert ax.get_title(loc="left") == "machine a"


def test_roofline_shows_rates_roof_and_rings(made_up):
    frame = limits.rates(made_up)
    (ax,) = drawn_limits.draw_roofline([frame]).axes
    points = np.concatenate([np.asarray(c.get_offsets()) for c in ax.collections[:2]])
    assert np.sort(points[:, 1]) == pytest.approx(np.sort(frame["tflops"]))
    roof = next(line for line in ax.lines if line.get_label() == "roof").get_xydata()
    peak = limits.PEAKS["Quadro T2000"]
    assert roof[:, 1] == pytest.approx(np.minimum(peak.tflops, peak.gbs * roof[:, 0] / 1e3))
    ringed = len(limits.beyond(frame, peak))
    assert len(ax.collections) == 2 + (0 < ringed <= drawn_limits.RINGS)


def test_few_layers_beyond_the_hardware_are_ringed_and_counted(made_up):
    times = np.full(len(GRID), 1e3)
    times[np.argsort(-flops(GRID))[:3]] = 1e-4  # the three largest layers faster than any hardware
    frame = limits.rates(Run(made_up.meta, GRID.assign(latency_ms=times)))
    (ax,) = drawn_limits.draw_roofline([frame]).axes
    beyond = frame.nlargest(3, "tflops")
    rings = np.asarray(ax.collections[2].get_offsets())
    assert np.sort(rings[:, 1]) == pytest.approx(np.sort(beyond["tflops"]))
    assert f"ringed: 3 of {len(GRID):,} layers beyond the hardware" in {text.get_text() for text in ax.texts}


def test_unknown_hardware_gets_its_best_layer_as_a_line(meta):
    frame = limits.rates(Run(meta, GRID.assign(latency_ms=1.0)))
    (ax,) = drawn_limits.draw_roofline([frame]).axes
    assert ax.lines[0].get_ydata()[0] == pytest.approx(frame["tflops"].max())


def test_streaming_shows_time_against_bytes(made_up):
    (ax,) = drawn_limits.draw_streaming([limits.rates(made_up)]).axes
    part = GRID[GRID["line"] == "dense"]
    assert ax.lines[0].get_xdata() == pytest.approx(bytes_moved(part) / 1e6)


def test_replication_panels_show_both_predictions(made_up):
    frame = replication.plotted_b()
    (ax,) = drawn_replication.draw_plotted({"Experiment B": frame}, ["kernel side K (pixels)"]).axes
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    part = frame[frame["line"] == "C = 50"]
    assert drawn["C = 50"] == pytest.approx(part["measured_ms"].to_numpy())
    assert drawn["C = 50, as plotted"] == pytest.approx(part["plotted_ms"].to_numpy())
    with pytest.raises(AlphaflopsError, match="measure the profile fine"):
        replication.measured([made_up])
    grid = experiments.table(experiments.REPLICATION[:3])
    own = Run({**made_up.meta, "profile": "fine"}, grid.assign(latency_ms=5 * published_ms(grid, REPLICATION_RTX4090)))
    held = replication.measured([made_up, own])
    assert held["predicted_ms"].to_numpy() == pytest.approx(held["time_ms"].to_numpy())
    panels = drawn_replication.draw_experiments(held).axes
    assert [ax.get_title(loc="left")[:12] for ax in panels] == ["Experiment A", "Experiment B", "Experiment C"]
    first = {line.get_label(): line for line in panels[0].lines}["1×2"]
    assert first.get_ydata() == pytest.approx(
        grid.loc[grid["line"] == "1×2"].pipe(published_ms, REPLICATION_RTX4090) * 5
    )
    constants = replication.constants_compared([made_up])
    (bars,) = drawn_replication.draw_constants(constants).axes
    assert [bar.get_width() for bar in bars.patches] == pytest.approx(constants["median_ape_pct"].tolist())
    overhead = replication.overhead(made_up)
    (dots,) = drawn_replication.draw_overhead([overhead]).axes
    ratio = made_up.table["latency_ms"] / made_up.table["throughput_ms"]
    assert np.asarray(dots.collections[0].get_offsets())[:, 1] == pytest.approx(ratio.to_numpy())


def test_verdicts_are_coloured_marked_and_told(made_up):
    judged = claims.table([made_up], error_of=lambda _, model: {"macs": 40.0, "macs+t0": 20.0}.get(model, 18.0))
    (ax,) = drawn_verdicts.draw_verdicts(judged).axes
    marks = [text.get_text()[0] for text in ax.texts]
    assert marks == [drawn_verdicts.LOOK[verdict][2] for verdict in judged["verdict"]]
    held = judged.set_index("claim")["verdict"]
    assert (held["alpha-beats-flops"], held["alpha-beats-flops-and-t0"]) == ("holds", "holds in part")
    told = {line.split("* ")[0].lstrip("*"): line for line in conclusions.told(judged)}
    assert "It holds on `made-up`" in told["α-FLOPs predict time better than FLOPs."]
    assert "Not measured" in told["On fine grids, time jumps where FLOPs hardly change."]
    (line,) = conclusions.tally(judged)
    assert f"{(judged['verdict'] == 'holds').sum()} hold" in line
    assert "| – " in tables.verdicts_table(judged)
    assert "**holds** (0.45)" in tables.verdicts_table(judged)
    assert all(findings.tied(claim.rule) in tables.claims_table(judged) for claim in claims.CLAIMS)


def test_every_model_has_a_short_name():
    assert list(drawn_scores.MODEL_LABELS) == list(MODEL_NAMES)


def test_every_claim_has_a_row_of_its_own():
    assert list(drawn_verdicts.ROWS) == [claim.id for claim in claims.CLAIMS]
    assert len(set(drawn_verdicts.ROWS.values())) == len(claims.CLAIMS)


def test_text_of_figures_can_be_read_at_360_pixels(made_up, card):
    frame = figures.sweep([made_up], "conv_K_vs_C")
    judged = claims.table([made_up], error_of=lambda *_: 20.0)
    drawn = [
        figures.draw_sweep(frame, "kernel side"),
        figures.draw_multiples(frame, "kernel side"),
        drawn_verdicts.draw_verdicts(judged),
        drawn_scores.draw_scorecard(drawn_scores.matrix(card, "random")),
        drawn_limits.draw_roofline([limits.rates(made_up)]),
    ]
    for figure in drawn:
        figure.draw_without_rendering()  # makes the ticks
        pixels_per_point = (360 - 32) / (72 * figure.get_figwidth())  # the page keeps 16 px free on both sides
        texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
        assert len(texts) > 10
        assert min(text.get_fontsize() for text in texts) * pixels_per_point >= 7


def test_winners_and_ceiling_follow_the_errors(card):
    told = conclusions.winners(card, "random")
    assert told[0].startswith("`paper-t2000` on held-out layers: `params` errs least, 10 %")
    assert "beats every other formula on 0 of 2" in conclusions.ceiling(card)[0]
    better = card.assign(mape_pct=card["mape_pct"].where(card["model"] != "best", 1.0))
    assert "beats every other formula on 2 of 2" in conclusions.ceiling(better)[0]
    assert "α-FLOPs beat FLOPs on 0 of 2" in conclusions.alpha_against_flops(card)[0]


@pytest.fixture
def tried():
    """Errors of the forms on two sets: the chosen one 10 and 20 %, the others 1, 2, … points more on both."""
    others = [form.name for form in FORMS if form.name != "best"]
    gaps = {"best": 0.0} | {name: float(i) for i, name in enumerate(others, 1)} | {"best/all-free": -2.0}
    rows = [
        {"run": run, "model": name, "n": 5, "mape_pct": base + gap, "unseen_pct": unseen}
        for run, base, unseen in (("paper-t2000", 10.0, None), ("neusight-conv-t4", 20.0, 21.5))
        for name, gap in gaps.items()
    ]
    return pd.DataFrame(rows)


def test_forms_are_compared_with_the_chosen_one(tried):
    worth, better, little, unseen = conclusions.parts(tried)
    titles = {form.name: form.title for form in FORMS}
    largest = [titles[name] for name in tried.drop_duplicates("model").nlargest(2, "mape_pct")["model"]]
    assert worth.index(largest[0]) < worth.index(largest[1])
    assert "err less in the mean: none. With more numbers: *every number fitted" in better
    assert "(−2.0)" in better
    assert little.startswith(f"0 of {len(FORMS) - 1} ")
    assert "`neusight-conv-t4` 21.5 % (20.0 %)" in unseen
    assert "paper-t2000" not in unseen
    text = tables.forms_table(tried)
    assert all(form.title in text for form in FORMS)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert "every number fitted" in rows[2]
    assert "(chosen)" in rows[3]
    assert "±0.00" in rows[3]


def test_pulls_are_compared_with_the_first():
    rows = [
        {"run": run, "pull": pull, "layers": 30, "repeat": 0, "mape_pct": mape}
        for run in ("a", "b")
        for pull, mape in ((0.01, 10.0), (0.1, 11.5))
    ]
    assert "10 times the weight +1.5" in conclusions.pulled(pd.DataFrame(rows))
    assert "With 30 layers" in conclusions.pulled(pd.DataFrame(rows))


def test_enough_layers_and_coverage_are_told():
    curve = pd.DataFrame({"run": "a", "model": "best", "layers": [15, 30, 60], "median": [40.0, 11.0, 10.0]})
    enough = (
        "**machine**: 30 layers suffice. They leave a mean error of 11 %, at most 20 % above the 10 % that 60 layers"
    )
    assert conclusions.enough(curve, {"a": "machine"})[0].startswith(enough)
    rows = pd.DataFrame({"run": ["a", "b"], "inside_pct": [90.0, 80.0], "level_pct": 90.0})
    assert "1 of 2 runs within the 87 to 93 % that count as honest" in conclusions.covered(rows)
    assert "all within" in conclusions.covered(rows[:1])
    assert "| a " in tables.coverage_table(rows, {"a": "a", "b": "b"})


def test_limits_tables_show_the_points(made_up):
    fast = Run(made_up.meta, made_up.table.assign(latency_ms=1e-3))
    found = limits.beyond(limits.rates(fast), limits.PEAKS["Quadro T2000"])
    text = tables.beyond_table(found)
    assert f"{tables.SHOWN_FIRST} of {len(found)}" in text
    repeated = limits.repeated(made_up)
    assert tables.repeated_table(repeated, "machine").count("\n|") == len(repeated) + 2
    assert all(name in tables.peaks_table() for name in limits.PEAKS)
    assert all(f"`{name}`" in tables.models_table() for name in MODEL_NAMES if name != BOOSTING)


def test_parameters_table_has_a_column_per_machine():
    rows = [
        {"run": run, "parameter": "t0", "value": 0.2, "low": 0.1, "high": 0.3, "unit": "ms", "meaning": "overhead"}
        for run in ("a", "b")
    ]
    text = tables.parameters_table(pd.DataFrame(rows), {"a": "first", "b": "second"})
    assert "t0 (ms)" in text
    assert text.count("0.20 [0.10, 0.30]") == 2


def test_scores_table_lists_the_three_validations(card):
    text = tables.scores_table(card, ["paper-t2000"], ["params"], "tab-scores")
    assert "10.0 / 10.0 / 10.0" in text
    assert "in sample / five random folds / leaving one figure out" in text
    two = tables.scores_table(card[card["cv"] != "figure"], ["paper-t2000"], ["params"], "tab-others")
    assert "| 10.0 / 10.0 " in two
    assert "10.0 / 10.0 /" not in two
    assert ":name: tab-others" in two


def test_measures_table_has_a_row_per_data_set_and_model(card):
    other = {"median_ape_pct": 7.5, "within_10_pct": 60.0, "within_20_pct": 80.0, "spearman": 0.987}
    rows = [line for line in tables.measures_table(card.assign(**other)).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 2 * len(tables.BESIDE)
    assert [cell.strip() for cell in rows[2].strip("|").split("|")][3:] == ["7.50", "60.0", "80.0", "0.987"]


def test_constants_table_has_every_set(made_up):
    frame = replication.constants_compared([made_up])
    assert tables.constants_table(frame).count("Quadro T2000") == len(frame)
