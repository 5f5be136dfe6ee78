"""The front page: five computed lines, one figure, a status line and references."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from alphaflops import __version__, claims, figures
from alphaflops.figures.front import MEASURES, draw_front, layer_name
from alphaflops.share.citation import cite
from alphaflops.study import summary


@pytest.fixture
def judged():
    verdicts = {summary.ORDER: ["holds", "holds in part", "fails"], summary.HELPS: ["holds", "holds", "not measured"]}
    return pd.DataFrame([{"claim": claim, "verdict": v} for claim, found in verdicts.items() for v in found])


@pytest.fixture
def scores():
    errors = {"macs": (80, 40), "macs+t0": (50, 20), "alpha": (20, 30), "best": (10, 35), "boosting": (5, 5)}
    rows = [
        {"run": run, "model": model, "cv": "random", "mape_pct": float(values[i])}
        for i, run in enumerate(("one", "two"))
        for model, values in errors.items()
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def same(run):
    return pd.DataFrame(
        {
            "run": "one",
            "machine": "a machine",
            "line": ["dense", "conv 4×4"],
            "kind": ["dense", "conv2d"],
            "height": [1, 4],
            "width": [1, 4],
            "in_channels": [12800, 3200],
            "out_channels": [12800, 3200],
            "macs": 163_840_000,
            "bytes": 1e6,
            "time_ms": [8.0, 2.0],
            "predicted_ms": [4.0, 2.0],
        }
    )


def test_counts_leave_out_what_was_not_measured(judged):
    assert summary.counted(judged, summary.ORDER) == "holds on 1 of 3 data sets, in part on 1, fails on 1"
    assert summary.counted(judged, summary.HELPS) == "holds on 2 of 2 data sets"


def test_five_lines_follow_the_numbers(same, judged, scores):
    claim, flops, alpha, rival, best = summary.lines(same, judged, scores)
    assert "layers of 328 million FLOPs each take 2.0 to 8.0 ms" in claim
    assert "a wrong order holds on 1 of 3 data sets, in part on 1, fails on 1." in flops
    assert "better than FLOPs holds on 2 of 2 data sets" in alpha
    assert "mean error is 20 to 30 %, that of FLOPs 40 to 80 %" in alpha
    assert "predict better than α-FLOPs on 1 of 2" in rival  # 50 against 20, 20 against 30
    assert "on 1 of 2 data sets: 10 to 35 %" in best  # 10 is below all others, 35 is not; boosting does not count


def test_status_counts_data_sets_machines_and_versions(run):
    software = {"software": {"torch": "2.13.0"}, "finished": "2026-02-03T04:05:06+00:00"}
    dated = type(run)(dict(run.meta) | software, run.table)
    told = summary.status([dated, dated])
    assert told.startswith(f"2 data sets, {2 * len(run.table):,} timed layers · machines: no machine · ")
    assert told.endswith(f"alphaflops {__version__}, PyTorch 2.13.0 · measured by us on 2026-02-03")


def test_references_are_a_list_with_links():
    told = summary.citations(cite("apa"))
    assert [line[:2] for line in told.splitlines()] == ["- "] * 3
    assert "<https://doi.org/10.1007/978-3-030-95470-3_7>" in told


def test_figure_shows_times_and_errors(same):
    wanted = {
        "FLOPs": [80, 40],
        "FLOPs and a constant": [50, 20],
        "α-FLOPs": [20, 30],
        "this project’s formula": [10, 35],
    }
    errors = pd.DataFrame(wanted.values(), columns=["paper-t2000", "two"], index=list(MEASURES))
    figure = draw_front(same, errors)
    upper, lower = figure.axes
    assert [bar.get_width() for bar in upper.patches] == [8.0, 2.0]
    assert [label.get_text() for label in upper.get_yticklabels()] == ["dense 12800 → 12800", "conv 4×4, 3200 → 3200"]
    named = [c for c in lower.collections if c.get_label() in dict(MEASURES.values())]
    marks = {c.get_label(): c.get_offsets()[:, 0].tolist() for c in named}
    assert marks == wanted
    plt.close(figure)


def test_page_is_made_of_the_bundled_data(paper):
    same = figures.equal_flops(figures.sweep([paper], "conv_fixed_progressive"))
    judged = claims.table([paper], error_of=lambda run, model: 1.0)
    first = summary.lines(same, judged, _flat(paper.id))[0]
    assert "Quadro T2000" in first
    assert layer_name(same.iloc[0]).startswith("dense 12800")


def _flat(run):
    models = ("macs", "macs+t0", "alpha", "best")
    return pd.DataFrame([{"run": run, "model": m, "cv": "random", "mape_pct": 10.0} for m in models])
