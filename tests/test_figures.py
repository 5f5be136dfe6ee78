"""The figures hold the data that they claim to show; the style is readable and fixed."""

import matplotlib as mpl
import numpy as np
import pytest

from alphaflops import experiments, figures
from alphaflops.costs.alpha import PAPER_T2000, alpha, published_ms
from alphaflops.errors import AlphaflopsError
from alphaflops.figures import frames, style
from alphaflops.layers import macs
from alphaflops.runs import Run

mpl.use("Agg")
pytestmark = pytest.mark.usefixtures("closed_figures")


@pytest.fixture
def made_up(meta):
    """A run over the whole grid that is exactly three times as slow as published."""
    grid = experiments.grid("paper")
    return Run({**meta, "run_id": "thrice"}, grid.assign(latency_ms=3 * published_ms(grid)))


@pytest.fixture
def flat(meta):
    """A run whose times follow the MACs alone."""
    grid = experiments.grid("paper")
    machine = {"name": "a flat machine"}
    return Run({**meta, "run_id": "flat", "machine": machine}, grid.assign(latency_ms=macs(grid) / 1e6))


def lines_by_label(ax):
    return {line.get_label(): line for line in ax.lines}


def test_one_factor_per_machine_makes_a_scaled_copy_exact(made_up):
    frame = figures.sweep([made_up], "conv_K_vs_C")
    assert frames.scale(made_up) == pytest.approx(3)
    assert frame["predicted_ms"].to_numpy() == pytest.approx(frame["time_ms"].to_numpy())


def test_the_authors_data_are_not_rescaled(paper):
    assert frames.scale(paper) == 1


def test_sweep_draws_every_point_of_every_line_once_per_machine(made_up, flat):
    frame = figures.sweep([made_up, flat], "conv_K_vs_S")
    figure = figures.draw_sweep(frame, "kernel side K (pixels)")
    assert len(figure.axes) == 2
    for ax, run in zip(figure.axes, (made_up, flat), strict=True):
        lines = lines_by_label(ax)
        for line in experiments.find("conv_K_vs_S").lines:
            part = run.table[(run.table["experiment"] == "conv_K_vs_S") & (run.table["line"] == line.label)]
            drawn = lines[line.label].get_xydata()
            assert drawn[:, 0] == pytest.approx(part["x"].to_numpy())
            assert drawn[:, 1] == pytest.approx(part["latency_ms"].to_numpy())
            dashed = lines[f"{line.label}, predicted"].get_xydata()
            assert dashed[:, 1] == pytest.approx(frames.scale(run) * published_ms(part))
            assert lines[f"{line.label}, predicted"].is_dashed()
        assert "(ms)" in ax.get_ylabel()
        assert ax.get_ylim()[0] == 0
    assert figure.axes[-1].get_xlabel() == "kernel side K (pixels)"
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["no machine", "a flat machine"]


def test_every_line_is_named_at_its_end(made_up):
    frame = figures.sweep([made_up], "increasing_Cin")
    (ax,) = figures.draw_sweep(frame, "input channels (number)").axes
    assert {text.get_text() for text in ax.texts} >= {"K = 1", "K = 3", "K = 5"}


def test_logarithmic_sweep_has_logarithmic_axes_with_plain_numbers(flat):
    frame = figures.sweep([flat], "conv_fixed_progressive")
    frame = frame.assign(mflops=2e-6 * frame["macs"])
    figure = figures.draw_sweep(frame, "FLOPs (millions)", "mflops", log=True)
    (ax,) = figure.axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    figure.canvas.draw()
    assert all("$" not in label.get_text() for label in ax.get_xticklabels())


def test_intervals_are_drawn_where_they_are_known(made_up):
    table = made_up.table.assign(latency_low_ms=made_up.table["latency_ms"] * 0.9)
    table["latency_high_ms"] = made_up.table["latency_ms"] * 1.1
    known = Run(made_up.meta, table)
    with_band = figures.draw_sweep(figures.sweep([known], "conv_K_vs_C"), "K")
    without = figures.draw_sweep(figures.sweep([made_up], "conv_K_vs_C"), "K")
    assert (len(with_band.axes[0].collections), len(without.axes[0].collections)) == (4, 0)


def test_equal_flops_are_the_five_layers_of_the_papers_table(flat):
    same = figures.equal_flops(figures.sweep([flat], "conv_fixed_progressive"))
    assert len(same) == 5
    # 327.68 million FLOPs, 2 per MAC: 12800 · 12800 = 163.84 million MAC
    assert set(same["macs"]) == {12800 * 12800}


def test_equal_flops_figure_shows_measured_and_predicted_times(made_up):
    same = figures.equal_flops(figures.sweep([made_up], "conv_fixed_progressive"))
    (ax,) = figures.draw_equal_flops(same).axes
    offsets = [np.asarray(c.get_offsets()) for c in ax.collections if len(c.get_offsets()) == 5]
    assert offsets[0][:, 0] == pytest.approx(same["time_ms"].to_numpy())
    assert offsets[1][:, 0] == pytest.approx(same["predicted_ms"].to_numpy())
    assert [label.get_text() for label in ax.get_yticklabels()] == list(same["line"])


def test_thinned_runs_still_give_the_table(meta):
    grid = experiments.grid("quick")
    quick = Run(meta, grid.assign(latency_ms=macs(grid) / 1e6))
    assert len(figures.equal_flops(figures.sweep([quick], "conv_fixed_progressive"))) == 5


def test_runs_without_the_experiment_are_left_out(made_up, flat):
    table = flat.table[flat.table["experiment"] != "increasing_batch"]
    frame = figures.sweep([made_up, Run(flat.meta, table)], "increasing_batch")
    assert set(frame["run"]) == {"thrice"}
    with pytest.raises(AlphaflopsError, match="no run holds 'increasing_batch'"):
        figures.sweep([Run(flat.meta, table)], "increasing_batch")


def test_two_runs_on_one_machine_are_told_apart(made_up):
    other = Run({**made_up.meta, "run_id": "again"}, made_up.table)
    assert figures.machines([made_up, other]) == {"thrice": "no machine (thrice)", "again": "no machine (again)"}


def test_load_adds_named_runs_to_the_authors_and_refuses_unknown_ones(paper, folder):
    loaded = figures.load([folder])
    assert loaded[0].id == "paper-t2000"
    assert loaded[-1].id == "made-up"
    with pytest.raises(AlphaflopsError, match="'no-such-run' is unknown"):
        figures.load(["no-such-run"])


def test_load_refuses_two_runs_of_one_id(paper, run, tmp_path):
    folders = [run.write(tmp_path / name) for name in ("a", "b")]
    with pytest.raises(AlphaflopsError, match="'made-up' is given twice"):
        figures.load(folders)


def test_load_tells_two_runs_of_one_machine_apart(paper, run, tmp_path):
    folders = [Run({**run.meta, "run_id": name}, run.table).write(tmp_path / name) for name in ("mine", "again")]
    names = [r.machine for r in figures.load(folders)]
    assert names[-2:] == ["no machine", "no machine (again)"]
    assert len(set(names)) == len(names)


def test_the_readers_run_on_a_known_machine_is_told_apart_as_theirs(paper, run, tmp_path):
    known = figures.load()[-1].meta["machine"]
    folder = Run({**run.meta, "machine": known}, run.table).write(tmp_path / "mine")
    assert figures.load([folder])[-1].machine == f"your {known['name']}"


def test_alpha_curves_are_the_formula_and_its_limit():
    frame = figures.curves(points=7)
    (ax,) = figures.draw_curves(frame).axes
    drawn = lines_by_label(ax)["3×3 kernel"].get_xydata()
    assert drawn[:, 1] == pytest.approx(alpha(drawn[:, 0], 9))
    # 0.001 ** 0.56 = 10 ** (-3 · 0.56) = 10 ** -1.68 = 0.0209
    assert frame.loc[frame["side"] == 3, "limit"].iloc[0] == pytest.approx(10**-1.68)


def test_surface_holds_alpha_at_every_size_and_kernel():
    frame = figures.surface(points=5)
    assert frame.loc[1, 1.0] == 1
    assert frame.loc[28].to_numpy() == pytest.approx(alpha(frame.columns.to_numpy(dtype=float), 28 * 28))
    ax = figures.draw_surface(frame).axes[0]
    assert np.asarray(ax.collections[0].get_array()).ravel() == pytest.approx(frame.to_numpy().ravel())


def test_constants_vary_one_at_a_time():
    frame = figures.variations(points=5)
    figure = figures.draw_constants(frame)
    assert [len(ax.lines) for ax in figure.axes] == [3, 3, 3]
    published = frame[(frame["constant"] == "β") & (frame["value"] == PAPER_T2000.beta_k)]
    assert published["alpha"].to_numpy() == pytest.approx(alpha(published["s"], 9))


def test_known_machines_keep_their_colour_and_further_ones_differ():
    colours = style.machine_colours(["mine", "paper-t2000", "yours", "cpu-1core"])
    assert colours["paper-t2000"] == style.MACHINES["paper-t2000"]
    assert len(set(colours.values())) == 4


@pytest.mark.parametrize("colour", [*style.LINES, *style.MACHINES.values(), *style.FURTHER_MACHINES])
def test_coloured_text_has_a_contrast_of_four_and_a_half_on_white(colour):
    luminance = style._luminance(np.array(style.darker(colour)))
    assert 1.05 / (luminance + 0.05) >= 4.5


def test_labels_are_moved_apart_in_their_order():
    placed = style.spread([0.5, 0.51, 0.1, 0.9], 0.1)
    assert np.argsort(placed).tolist() == [2, 0, 1, 3]
    assert np.diff(np.sort(placed)).min() >= 0.1 - 1e-12
    assert min(style.spread([0.0, 0.0, 0.0], 0.1)) >= 0.03


def test_drawing_leaves_the_callers_settings_alone(made_up):
    figures.draw_sweep(figures.sweep([made_up], "conv_K_vs_C"), "K")  # the first figure loads the backend
    before = dict(mpl.rcParams)
    figures.draw_sweep(figures.sweep([made_up], "conv_K_vs_C"), "K")
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(("value", "text"), [(0.02, "0.02"), (500, "500"), (20_000, "20k"), (1e6, "1M")])
def test_ticks_are_short(value, text):
    assert style.short(value) == text


def test_tables_are_numbered_captioned_and_rounded(made_up, flat):
    same = figures.equal_flops(figures.sweep([made_up, flat], "conv_fixed_progressive"))
    text = figures.equal_flops_table(same)
    assert text.startswith("```{table} Time (ms) of layers of 327.68 million FLOPs each")
    assert ":name: tab-equal-flops" in text
    # 12800 · 12800 weights and 2 · 12800 numbers in and out, 4 bytes each: 655.46 MB; 163.84 ms at 1 ms per million MAC
    row = next(line for line in text.splitlines() if "dense" in line)
    assert [cell.strip() for cell in row.strip("|").split("|")][1:4:2] == ["655", "164"]


def test_provenance_names_every_source_and_what_is_not_recorded(run):
    from alphaflops.runs import upstream

    assert all(f"`{name}`" in figures.sources_table() for name in upstream.sources())
    text = figures.runs_table([run])
    assert "not recorded" in text
    assert run.sha256[:12] in text
    assert figures.runs_table([]) == "No run of ours is bundled or named."


def test_status_says_who_measured_and_with_what(run):
    def told(run_id, **meta):
        return figures.status_table([Run({**run.meta, "run_id": run_id, **meta}, run.table)]).splitlines()[-2]

    ours = told("cpu-1core", software={"torch": "2.9.9"})
    assert "PyTorch 2.9.9" in ours
    assert "this project" in ours
    theirs = told("paper-t2000", origin="upstream", protocol={"name": "a mean, TensorFlow, versions not stated"})
    assert "TensorFlow, version not stated" in theirs
    assert "Asperti" in theirs
    others = told("neusight-conv-t4", origin="upstream", protocol={"name": "the 5 fastest, PyTorch 2.1.0, TF32 off"})
    assert "PyTorch 2.1.0 " in others
    assert "NeuSight" in others
    assert "| you " in told("20260102-030405-quick")


def test_facts_of_a_run_tell_how_its_sentinel_moved(run):
    sentinel = {"verdict": "steady", "moved": 0.0123, "spread": 0.045}
    told = figures.runs_table([Run({**run.meta, "sentinel": sentinel}, run.table)])
    assert "steady: moved by 1.2\N{NO-BREAK SPACE}%, spread 4.5\N{NO-BREAK SPACE}%" in told
