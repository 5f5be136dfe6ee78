"""What chapters show: frames by hand, and the data that figures draw."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from seaborn.utils import relative_luminance

from alphaflops import AlphaflopsError, chapters, claims, estimate, style
from alphaflops.chapters import facets, frames, judged, tables
from alphaflops.costs.alpha import published_ms
from alphaflops.layers import macs
from alphaflops.runs import datasets

pytestmark = pytest.mark.usefixtures("closed_figures")


def lines_of(ax):
    """Solid and dashed curves of a panel as ``[(x, y), …]``, without rules across it."""
    drawn = [line for line in ax.get_lines() if len(line.get_xdata()) > 2]
    solid = [line for line in drawn if line.get_linestyle() == "-"]
    dashed = [line for line in drawn if line.get_linestyle() != "-"]
    return [[np.array(line.get_data()).T.tolist() for line in kind] for kind in (solid, dashed)]


def test_sweep_gathers_one_figure_of_every_run_in_the_order_of_its_lines(make_run):
    runs = [make_run("quick", run_id=name, machine={"name": name}) for name in ("one", "two")]
    frame = frames.sweep(runs, "2a")
    assert frame["machine"].drop_duplicates().tolist() == ["one", "two"]
    assert frame["line"].drop_duplicates().tolist() == [f"C·K = {n}" for n in (1500, 2100, 3000, 4500)]
    assert frame["mflops"].to_numpy() == pytest.approx(2 * macs(frame) / 1e6)
    assert frame["time_ms"].to_numpy() == pytest.approx(frame["mflops"] / 2)
    assert frame["floor_ms"].unique() == pytest.approx(runs[0].table["latency_ms"].min())
    assert len(frames.sweep(runs, "2")) > len(frame)
    with pytest.raises(AlphaflopsError, match="no run holds the layers of 'A'"):
        frames.sweep(runs, "A")


def test_prediction_has_the_published_constants_on_the_authors_machine_alone(make_run):
    def law(table):
        return 0.5 + 3 * published_ms(table)

    authors, other = make_run("paper", law, run_id="paper-t2000"), make_run("paper", law, run_id="other")
    published = frames.sweep([authors], "2a")
    assert published["predicted_ms"].to_numpy() == pytest.approx(published_ms(published))
    fitted = frames.sweep([other], "2a")
    assert fitted["predicted_ms"].to_numpy() == pytest.approx(fitted["time_ms"].to_numpy(), rel=0.02)


def test_too_few_layers_leave_the_prediction_out(make_run):
    run = make_run("smoke", lambda table: macs(table) * 0 + 1.0)
    few = type(run)(run.meta, run.table.iloc[:2])
    assert frames.sweep([few], "1")["predicted_ms"].isna().all()


def test_growth_leaves_the_floor_of_a_call_out(make_run, defined):
    # a call takes 1 ms, work above that grows with FLOPs to the power 0.5 once it lasts longer than 2 ms
    run = make_run("5", lambda table: np.maximum(1.0, (macs(table) / 1e8) ** 0.5))
    found = defined("04_dimensions").growth_of(frames.sweep([run], "increasing_W"))
    assert found["exponent"].to_numpy() == pytest.approx(0.5)
    line = frames.sweep([run], "increasing_W").query("line == 'Cin = 50'")
    assert found["left_out"].iloc[0] == (line["time_ms"] <= 2).sum() > 0


def test_time_per_flop_leaves_impossible_points_out(make_run, defined):
    run = make_run("2b", lambda table: 10 * macs(table) / 1e6 * table["k1"], machine={"name": "Tesla T4"})
    table = run.table.copy()
    table.loc[table["k1"] == 1, "latency_ms"] = 1e-6
    frame = frames.sweep([type(run)(run.meta, table)], "2b")
    found = defined("03_kernels").per_flop(frame)
    assert found["left_out"].tolist() == [1, 1, 1, 1]
    assert found["factor"].to_numpy() == pytest.approx(28 / 2)
    assert found["rises"].to_numpy() == pytest.approx(1)


def test_the_table_of_figure_1_has_five_layers_of_equal_flops(make_run):
    same = frames.equal_flops(frames.sweep([make_run("paper")], "1"))
    assert same["mflops"].tolist() == [327.68] * 5
    assert same["line"].nunique() == 5


def test_load_shows_the_authors_one_core_and_the_readers_runs(paper, make_run, tmp_path):
    shown = chapters.load()
    assert [run.id for run in shown][:2] == ["paper-t2000", "cpu-1core"]
    assert "cpu-2core" not in [run.id for run in shown]
    folder = make_run(run_id="mine", machine={"name": shown[0].machine}).write(tmp_path / "mine")
    assert chapters.load(str(folder))[-1].machine == f"your {shown[0].machine}"
    again = make_run("quick", run_id="mine")
    assert chapters.load([folder], [again])[-1].table["experiment"].equals(again.table["experiment"])
    with pytest.raises(AlphaflopsError, match="'no-such-run' is unknown"):
        chapters.load("no-such-run")


def test_lines_draw_measured_solid_and_predicted_dashed(make_run):
    frame = frames.sweep([make_run("paper", lambda table: 0.2 + macs(table) / 1e6)], "2a")
    figure = facets.lines(frame)
    (ax,) = figure.axes
    solid, dashed = lines_of(ax)
    for i, (_, line) in enumerate(frame.groupby("line", sort=False)):
        assert solid[i] == pytest.approx(line[["x", "time_ms"]].to_numpy())
        assert dashed[i] == pytest.approx(line[["x", "predicted_ms"]].to_numpy())
    assert [text.get_text() for text in ax.texts] == frame["line"].drop_duplicates().tolist()
    assert (ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "kernel side K (pixels)", "time (ms)")
    assert ax.get_title("left") == "no machine"


def test_lines_ring_what_the_hardware_cannot_do_and_draw_the_floor(make_run):
    run = make_run("2b", lambda table: np.maximum(0.01, macs(table) / 1e10), machine={"name": "Tesla T4"})
    frame = frames.sweep([run], "2b")
    (ax,) = facets.lines(frame, predicted=False).axes
    rings = [c for c in ax.collections if len(c.get_facecolor()) == 0]
    assert rings[-1].get_offsets().tolist() == frame.loc[frame["beyond"], ["x", "time_ms"]].to_numpy().tolist()
    floor = [line for line in ax.get_lines() if line.get_linestyle() == ":"]
    assert floor[0].get_ydata()[0] == run.table["latency_ms"].min()


def test_a_run_is_plotted_by_figure(make_run):
    run = make_run("quick")
    assert len(chapters.plot(run, "2").axes) == 2
    assert len(chapters.plot(run, "6").axes) == 1
    with pytest.raises(AlphaflopsError, match="figure or profile '9' is unknown"):
        chapters.plot(run, "9")


def test_bars_bear_their_numbers(defined):
    frame = pd.DataFrame({"line": ["a", "b"], "time_ms": [6.392, 0.4537], "machine": "m"})
    (ax,) = defined("01_equal_flops").bars(frame).axes
    assert [bar.get_width() for bar in ax.patches] == [6.392, 0.4537]
    assert [t.get_text() for t in ax.texts if t.get_text() != "m"] == ["6.4", "0.45"]


def test_dots_lie_on_their_rows_with_intervals():
    frame = pd.DataFrame({"row": ["a", "b", "a"], "v": [1.0, 2.0, 3.0], "by": ["x", "x", "y"], "kind": ["p", "p", "q"]})
    frame = frame.assign(low=frame["v"] - 0.5, high=frame["v"] + 0.5)
    figure = facets.dots(frame, value="v", rows="row", by="by", hue="kind", level=1, x_label="value (no unit)")
    first, second = figure.axes
    points = [c.get_offsets().tolist() for ax in (first, second) for c in ax.collections if len(c.get_offsets())]
    assert [[1.0, 0.0], [2.0, 1.0]] in points
    assert [[3.0, 0.0]] in points
    spans = [segment.tolist() for c in first.collections if hasattr(c, "get_segments") for segment in c.get_segments()]
    assert [[0.5, 0], [1.5, 0]] in spans
    assert [t.get_text() for t in first.get_yticklabels()] == ["a", "b"]
    stacked = facets.dots(frame, value="v", rows="row", by="by", across=1, x_label="value (no unit)")
    assert [len(ax.get_yticklabels()) for ax in stacked.axes] == [2, 1]


def test_points_are_coloured_by_class():
    frame = pd.DataFrame(
        {"x": [1.0, 10.0], "y": [2.0, 20.0], "class": ["a", "b"], "machine": "m", "beyond": [False, True]}
    )
    shape = {"by": "machine", "x_label": "x (s)", "y_label": "y (s)"}
    (ax,) = facets.points(frame.assign(roof=9.0), "x", "y", "class", identity=True, **shape).axes
    assert [c.get_offsets().tolist() for c in ax.collections] == [[[1.0, 2.0]], [[10.0, 20.0]], [[10.0, 20.0]]]
    assert [line.get_ydata()[-1] for line in ax.lines] == [10.0], "a roof is drawn where it is asked for"
    (ax,) = facets.points(frame.assign(top=9.0), "x", "y", "class", roof="top", **shape).axes
    assert [line.get_ydata().tolist() for line in ax.lines] == [[9.0, 9.0]]


def judged_frame(runs):
    """Verdicts on runs on which every formula errs by a fifth."""
    told = [verdict for run in runs for verdict in claims.judge(run, error_of=lambda run, model: 20.0)]
    return pd.DataFrame([claims.row(verdict) for verdict in told])


def test_verdicts_are_told_by_colour_mark_and_value(make_run):
    run = make_run("paper", device="cuda")
    frame = judged_frame([run])
    figure = facets.verdicts(frame, {run.id: "made\nup"})
    (ax,) = figure.axes
    labels = [t.get_text().replace("\n", " ") for t in ax.get_yticklabels()]
    shown = dict(zip(labels, [t.get_text() for t in ax.texts], strict=True))
    assert shown["equal FLOPs not flat, GPU"] == "✗\n1.0"
    assert shown["equal FLOPs flat, one core"] == ""
    assert {t.get_text() for t in figure.legends[0].get_texts()} == {
        "✓ holds",
        "~ holds in part",
        "✗ fails",
        "not measured",
    }


def written_in(figure):
    figure.canvas.draw()
    return [text for text in figure.findobj(plt.Text) if text.get_text()]


def test_text_is_large_enough_for_a_phone(make_run):
    run, network = make_run("paper", device="cuda"), torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU())
    frame = frames.sweep([run], "1").assign(low=1.0, high=2.0)
    shape = {"x_label": "time (ms)", "y_label": "time (ms)"}
    drawn = [
        facets.lines(frame),
        facets.lines(frame, key=True),
        facets.dots(frame, value="time_ms", rows="line", by="machine", hue="line", across=1, x_label="time (ms)"),
        facets.points(frame, "mflops", "time_ms", "line", by="machine", **shape),
        facets.verdicts(judged_frame([run]), {run.id: "made\nup"}),
        estimate(network, (2, 8), "cpu-1core").plot(),
    ]
    assert [min(text.get_fontsize() for text in written_in(figure)) >= style.SMALL_PT for figure in drawn] == [True] * 6
    assert [figure.get_figwidth() for figure in drawn] == pytest.approx([style.WIDTH_IN] * 6)
    # a phone of 390 px shows them, with an edge of 0.05 inches at each side, at its whole width; 96 px are an inch
    assert style.SMALL_PT * (390 / 96) / (style.WIDTH_IN + 0.12) >= 8


def test_text_is_dark_enough(make_run):
    for text in written_in(facets.lines(frames.sweep([make_run("paper")], "1"))):
        assert 1.05 / (relative_luminance(text.get_color()) + 0.05) >= 4.5


def test_labels_at_the_ends_stand_beside_the_panel(make_run):
    figure = facets.lines(frames.sweep([make_run("paper")], "2a"))
    figure.canvas.draw()
    (ax,) = figure.axes
    edge = ax.get_window_extent().x1
    assert len(ax.texts) == 4
    assert min(plt.Text.get_window_extent(text).x0 for text in ax.texts) > edge  # without its leader


def test_labels_at_the_ends_do_not_overlap():
    placed = style.spread([0.5, 0.51, 0.52, 0.1], 0.1)
    assert np.diff(sorted(placed)).min() >= 0.1 - 1e-9
    assert placed[0] < placed[1] < placed[2]


def test_a_style_does_not_leak():
    before = dict(plt.rcParams)
    facets.dots(pd.DataFrame({"row": ["a"], "ms": [1.0], "m": "m"}), value="ms", rows="row", by="m", x_label="ms")
    assert {key: value for key, value in plt.rcParams.items() if before[key] != value} == {}


def test_tables_escape_what_a_run_says_and_keep_whole_numbers():
    frame = pd.DataFrame(
        {"machine": ["a|b <script>", None], "n": [1234, 5], "ms": [0.123456, np.nan], "f": ["$x$", ""]}
    )
    shown = tables.table(frame, as_is=["f"]).data.splitlines()
    assert shown[0] == "| machine | n | ms | f |"
    assert "<" not in shown[2]
    assert shown[2].count("|") == 5
    assert shown[2].endswith("| 1,234 | 0.123 | $x$ |")
    assert shown[3] == "|  | 5 |  |  |"


def test_a_grid_is_summed_up_by_line(make_run):
    found = tables.grid(chapters.sweep([make_run("paper")], "2b"))
    assert found["layers"].tolist() == [24] * 4
    assert found["first"].iloc[0] == "1×1 conv on 300×300, 50 → 50"
    assert found["positions S"].iloc[0] == "100 to 90,000"


def test_the_data_of_a_chapter_are_listed_with_their_hash(make_run):
    run = make_run(software={"torch": "2.13.0", "cudnn": None})
    shown = tables.loaded([run]).data
    assert run.sha256[:12] in shown
    assert "torch 2.13.0" in shown


def test_numbers_of_machines_are_joined_as_a_sentence_does():
    assert tables.by_machine(pd.Series({"a": 1.234, "b": 2.0, "c": 30.0})) == "1.2 (a), 2.0 (b) and 30 (c)"
    assert tables.said(["a"]) == "a"


def test_runs_are_held_against_the_first(make_run, defined):
    first = make_run("quick")
    slower = make_run("quick", lambda table: 3 * macs(table) / 1e6, machine={"name": "slow"})
    chapter = defined("10_your_machine")
    pairs = chapter.against(slower, first)
    assert pairs["ratio"].to_numpy() == pytest.approx(3)
    cards = judged.cards([first])
    assert cards.set_index("").loc["machine"].tolist() == ["no machine"]
    found = chapter.constants([make_run("paper", lambda table: 0.5 + published_ms(table))]).set_index("")
    assert found.loc["t₀ (ms)"].tolist()[0] == "none"
    assert float(found.loc["t₀ (ms)"].iloc[1]) == pytest.approx(0.5, rel=0.05)


def test_claims_on_which_machines_differ_are_kept(make_run, defined):
    one = make_run("paper", run_id="one", machine={"name": "one"}, device="cuda")
    two = make_run("paper", lambda t: 1e3 / macs(t), run_id="two", machine={"name": "two"}, device="cuda")
    told = defined("10_your_machine").disagreements(judged_frame([one, two]))
    assert "FLOPs do not order the times of layers." in told["claim"].tolist()
    assert all(row["one"] != row["two"] for row in told.to_dict("records"))


MODELS = {"macs+t0": 2, "alpha+t0": 6, "boosting": None}
SETS = {("a", "development"): (40, 20, 10), ("b", "development"): (60, 30, 20), ("c", "judged"): (50, 40, 30)}
ERRORS = pd.DataFrame(
    [
        (*about, model, MODELS[model], "random", error)
        for about, errors in SETS.items()
        for model, error in zip(MODELS, errors, strict=True)
    ],
    columns=["run", "role", "model", "parameters", "cv", "mape_pct"],
)


def test_errors_are_averaged_by_group_and_ordered_by_what_is_fitted(defined):
    found = defined("06_scores").by_formula(ERRORS)
    chosen = found[found["group"] == "chosen on these machines"]
    assert chosen["model"].tolist() == ["macs+t0", "alpha+t0", "boosting"]
    assert chosen["mean"].tolist() == [50, 25, 15]
    assert chosen["low"].tolist() == [40, 20, 10]
    assert chosen["formula"].iloc[0].endswith("(2)")
    assert found[found["group"] == "judged on these machines"]["sets"].tolist() == [1, 1, 1]


def test_a_readers_run_gets_scores_beside_the_recorded_ones(make_run):
    run = make_run("quick", run_id="mine")
    found = judged.scores([run])
    mine = found[found["run"] == "mine"]
    assert mine.set_index("model").loc["macs+t0", "mape_pct"] < 1
    assert set(mine["role"]) == {"yours"}


def test_recorded_and_fresh_verdicts_have_the_same_form(make_run):
    run = make_run("paper", run_id="mine", device="cuda")
    found = judged.verdicts([run])
    assert found["claim"].tolist() == [claim.id for claim in claims.CLAIMS]
    assert set(found["run"]) == {"mine"}


def test_every_data_set_is_described(defined):
    found = defined("90_data").sources()
    assert found["name"].tolist() == datasets.names()
    assert {"development", "judged"} <= set(found["role"])


def test_exponents_of_a_further_run_stand_beside_the_recorded_ones(make_run, defined):
    found = defined("05_dissection").exponents(
        [make_run("paper", run_id="mine", device="cuda", machine={"name": "mine"})]
    )
    mine = found[found["run"] == "mine"].set_index("dimension")["exponent"]
    assert mine["S"] == pytest.approx(1, abs=0.02)
    assert mine["K"] == pytest.approx(1, abs=0.02)


def test_a_run_that_only_bears_the_name_of_a_data_set_is_shown_beside_it(make_run, tmp_path):
    make_run("paper", run_id="cpu-1core").write(tmp_path / "run")
    shown = {run.id: run.machine for run in chapters.load(tmp_path / "run")}
    assert shown["my-cpu-1core"] == "no machine"
    assert shown["cpu-1core"] != "no machine"
    assert "my-cpu-1core" not in {run.id for run in chapters.load("cpu-1core", [datasets.load("cpu-1core")])}


def test_a_run_that_only_bears_the_name_of_a_recorded_one_is_judged_anew(make_run):
    run = make_run("paper", run_id="cpu-1core")
    found = judged.verdicts([run])
    recorded = judged.verdicts([datasets.load("cpu-1core")])
    assert found["verdict"].tolist() != recorded["verdict"].tolist()
    assert found["machine"].unique().tolist() == ["no machine"]
