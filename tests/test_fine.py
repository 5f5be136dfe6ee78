"""Fine grids: where time jumps, what is said of it, what is drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from alphaflops import experiments, figures
from alphaflops.figures.fine import draw_fine
from alphaflops.layers import macs
from alphaflops.runs import Run, datasets
from alphaflops.study import fine


@pytest.fixture
def stepped(meta):
    """Experiment F with times in proportion to FLOPs, three times as long from 401 channels on."""
    table = experiments.table([experiments.find("replication_F")])
    times = macs(table) / 1e6 * np.where(table["x"] > 400, 3.0, 1.0)
    return Run(dict(meta) | {"profile": "fine"}, table.assign(status="ok", latency_ms=times))


def test_one_step_is_one_jump_of_its_size(stepped):
    frame = fine.lines([stepped])
    assert list(dict.fromkeys(frame["line"])) == ["H = 100", "H = 200", "H = 300"]
    at = frame.loc[frame["factor"] >= 2]
    assert set(at["x"]) <= {399, 400, 401, 402, 403}
    assert at["factor"].max() == pytest.approx(3, rel=0.02)
    # 100 · 100 · 401 outputs of 4 bytes
    assert at.loc[(at["line"] == "H = 100") & (at["x"] == 401), "output_mib"].item() == pytest.approx(
        4.01e6 * 4 / 2**20
    )


def test_words_follow_the_grid(stepped):
    (told,) = fine.told(fine.lines([stepped]))
    assert ": 0 of 3 lines jump, 3 times in all. The largest is a factor of 3.0; every jump by 2 or more" in told
    smooth = stepped.table.assign(latency_ms=macs(stepped.table) / 1e6)
    assert "None reaches a factor of 2" in fine.told(fine.lines([Run(stepped.meta, smooth)]))[0]


def test_panels_show_times_and_jumps(stepped):
    frame = fine.lines([stepped])
    figure = draw_fine(frame, "output channels (number)")
    assert len(figure.axes) == 3
    for ax, (_, part) in zip(figure.axes, frame.groupby("line", sort=False), strict=True):
        measured, flops, jumps = ax.lines
        np.testing.assert_allclose(measured.get_ydata(), part["time_ms"])
        assert flops.get_ydata()[-1] == pytest.approx(part["time_ms"].iloc[-1])
        assert list(jumps.get_xdata()) == list(part.loc[part["jumps"], "x"])
    plt.close(figure)


def test_fine_runs_join_only_where_they_are_asked_for(run):
    fine_ids = {name for name in datasets.bundled() if datasets.load(name).meta.get("profile") == "fine"}
    assert fine_ids
    assert not fine_ids & set(figures.reference_runs())
    joined = figures.with_fine([run])
    assert {one.id for one in joined} == {run.id} | fine_ids
    assert [one.id for one in figures.with_fine(joined)] == [one.id for one in joined]
