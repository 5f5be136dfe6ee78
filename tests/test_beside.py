"""One machine beside the paper's: tables, verdicts that differ, small multiples, and the page to send."""

import io
import re
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from alphaflops import experiments, figures
from alphaflops.book import beside, report
from alphaflops.layers import COLUMNS
from alphaflops.runs import Run
from alphaflops.study import claims, comparison, findings


def _run(meta, run_id, factor, **columns):
    from alphaflops.layers import macs

    grid = experiments.grid("quick")
    grid = grid[grid["experiment"].isin(["conv_fixed_progressive", "conv_K_vs_C"])].reset_index(drop=True)
    times = 0.1 + factor * macs(grid) / 1e9
    own = {**meta, "run_id": run_id, "machine": {"name": f"machine of {run_id}", "threads": 1}}
    return Run(own, grid.assign(latency_ms=times, **columns))


@pytest.fixture
def pair(meta):
    slow = _run(meta, "slow", 4.0)
    table = slow.table.assign(throughput_ms=slow.table["latency_ms"] - 0.02, converged=True, flags="")
    table.loc[0, "flags"] = "unsteady"
    sentinel = {"verdict": "steady", "readings": 9, "median_ms": 1.0, "moved": 0.01, "spread": 0.05, "p": 0.4}
    return [_run(meta, "fast", 1.0), replace(slow, table=table, meta={**slow.meta, "sentinel": sentinel})]


def test_cards_tell_what_is_known_and_say_what_is_not(pair):
    cards = beside.machine_cards(pair).set_index("")
    assert list(cards.columns) == ["fast", "slow"]
    assert cards.loc["machine", "fast"] == "machine of fast"
    assert cards.loc["layers", "slow"] == str(len(pair[1].table))
    assert cards.loc["memory (GiB)", "fast"] == beside.UNKNOWN


def test_overhead_is_the_planted_one(pair):
    fitted = beside.fits(pair)
    shown = beside.overheads(pair, fitted).set_index("run")
    assert float(shown.loc["fast", "t0 fitted (ms)"].split(" ")[0]) == pytest.approx(0.1, rel=0.02)
    assert shown.loc["slow", "latency − throughput, median (ms)"] == "0.020"
    assert shown.loc["fast", "latency − throughput, median (ms)"] == beside.UNKNOWN


def test_too_few_layers_are_said_and_not_fitted(pair):
    few = replace(pair[0], table=pair[0].table.head(1))
    fitted = beside.fits([few])
    assert fitted == {"fast": {"macs+t0": None, "alpha": None}}
    assert beside.overheads([few], fitted).loc[0, "t0 fitted (ms)"] == beside.TOO_FEW
    assert set(beside.constants([few], fitted)["fast"]) == {beside.TOO_FEW}


def test_constants_stand_beside_the_published_ones(pair):
    shown = beside.constants(pair, beside.fits(pair)).set_index("constant")
    assert shown.loc["β, K > 1", "published, T2000"] == "0.001"
    assert shown.loc["ms per million MAC", "replication, RTX 4090"] == "0.00549 (K = 1), 0.00402 (K > 1)"
    assert re.fullmatch(r"[\d.]+ \([\d.]+( to [\d.]+)?\)", shown.loc["γ, K = 1", "slow"])


def test_only_claims_that_come_out_differently_are_kept():
    told = pd.DataFrame(
        {
            "claim": ["same", "one did not measure", "differ"],
            "a": [claims.HOLDS, claims.HOLDS, claims.HOLDS],
            "b": [claims.HOLDS, claims.NOT_MEASURED, claims.FAILS],
        }
    )
    assert list(beside.changed(told)["claim"]) == ["differ"]
    assert "differ" in beside.disagreement(told)
    assert "agree" in beside.disagreement(told.head(2))


def test_verdicts_are_those_of_the_claims(pair):
    def error_of(run, model):
        return {"macs": 40.0}.get(model, 20.0)

    told = beside.verdicts(pair, error_of=error_of).set_index("claim")
    judged = {v.claim: v.verdict for v in claims.judge(pair[1], error_of=error_of)}
    assert {claim.text: judged[claim.id] for claim in claims.CLAIMS} == told["slow"].to_dict()
    assert told.loc[claims.find("alpha-beats-flops").text, "fast"] == claims.HOLDS


def test_quality_names_flags_and_drift(pair):
    fast, slow = beside.quality(pair)
    assert "Too few sentinel readings" in fast
    assert f"{len(pair[1].table)} of {len(pair[1].table)} layers reached the wanted precision, 1 carry a flag" in slow
    assert "moved by 1.0 %" in slow


def test_runs_that_are_bundled_are_not_the_readers(pair):
    assert [run.id for run in beside.own_runs(pair)] == ["fast", "slow"]
    assert "machine of slow" in beside.introduction(pair)
    assert "make rerun" in beside.introduction([])


def test_the_readers_machine_opens_with_its_speed_and_its_doubts(pair):
    fast, slow = pair
    both = Run({**slow.meta, "profile": "smoke"}, slow.table.assign(converged=False))
    text = beside.introduction([fast, both]).split("\n\n")[1]
    ratio = float((both.table["latency_ms"] / fast.table["latency_ms"]).median())
    n = len(fast.table.drop_duplicates([*COLUMNS]))
    assert f"It takes {findings.number(ratio)} times as long as machine of fast, median of {n} layers." in text
    assert f"a trial on {len(both.table)} layers" in text
    assert f"None of {len(both.table)} layers reached" in text
    assert beside.cautions(slow) == beside.cautions(fast) == []


def test_multiples_draw_every_line_of_every_machine(pair):
    frame = figures.sweep(pair, "conv_K_vs_C")
    figure = figures.draw_multiples(frame, "kernel side")
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert len(shown) == 2
    for ax, run in zip(shown, ("fast", "slow"), strict=True):
        part = frame[frame["run"] == run]
        lines = {line.get_label(): line for line in ax.get_lines()}
        assert set(lines) == {f"{n}{end}" for n in part["line"].unique() for end in ("", ", predicted")}
        first = part[part["line"] == part["line"].iloc[0]]
        np.testing.assert_allclose(lines[first["line"].iloc[0]].get_ydata(), first["time_ms"])


def test_figures_stay_light_with_one_more_machine(paper):
    known = figures.load()
    more = Run({**known[-1].meta, "run_id": "mine", "machine": {"name": "mine"}}, known[-1].table)
    weight = 0
    for experiment in experiments.PAPER:
        drawn = figures.draw_multiples(figures.sweep([*known, more], experiment.name), experiment.x_label)
        buffer = io.BytesIO()
        drawn.savefig(buffer, format="png", bbox_inches="tight")
        plt.close(drawn)
        weight += buffer.tell()
    assert 100_000 < weight < 1_000_000  # of the 1.5 MB that a page may weigh


def test_page_to_send_holds_everything_and_asks_for_nothing(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "table", lambda runs, error_of: _table(runs))
    compared = comparison.compare(pair)
    page = report.page(pair, compared)
    assert "<h1>machine of fast beside machine of slow</h1>" in page
    speed = findings.number(compared[1]["time_ratio"])
    assert f"machine of slow takes {speed} times as long as machine of fast" in page
    assert "error of FLOPs and a constant (%)" in page
    assert "time_ratio" not in page
    assert page.count("<figure>") == 2
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "http" not in re.sub(r'"data:[^"]*"', "", page)
    written = report.write(page, tmp_path / "page.html")
    assert written.read_text(encoding="utf-8") == page


def _table(runs):
    rows = [{"text": "a claim", "run": run.id, "verdict": claims.HOLDS} for run in runs]
    return pd.DataFrame(rows)


def test_page_that_cannot_be_written_is_one_line(refused, tmp_path, pair, monkeypatch):
    folders = [str(run.write(tmp_path / run.id)) for run in pair]
    monkeypatch.setattr(report, "page", lambda *_: "<p>")
    line = refused("compare", *folders, "--html", tmp_path / "no-such-folder" / "page.html")
    assert "cannot be written" in line


def test_lessons_count_disagreements_and_give_the_curve_at_large_sizes(pair):
    fitted = beside.fits(pair)
    told = beside.verdicts(pair, error_of=lambda run, model: {"macs": 40.0}.get(model, 20.0))
    compared, *curves = beside.lessons(pair, told, fitted)
    answers = told.drop(columns="claim")
    several = int(((answers != claims.NOT_MEASURED).sum(axis=1) > 1).sum())
    differ = len(beside.changed(told))
    assert compared == f"Of {several} claims that more than one machine could measure, {differ} do not come out alike."
    assert [curve.split(":")[0] for curve in curves] == ["**machine of fast**", "**machine of slow**"]
    # times are proportional to MACs from 0.1 ms on, so a MAC costs nearly the same at every size
    shares = [float(share) for share in re.findall(r"([\d.]+) %", curves[0])]
    assert len(shares) == 2
    assert beside.lessons(pair, told, {run.id: {"alpha": None} for run in pair}) == [compared]


def test_multiples_hide_the_panel_that_no_machine_fills(pair):
    third = replace(pair[0], meta={**pair[0].meta, "run_id": "third"})
    figure = figures.draw_multiples(figures.sweep([*pair, third], "conv_K_vs_C"), "kernel side")
    assert [ax.get_visible() for ax in figure.axes] == [True, True, True, False]
    assert figure.axes[1].xaxis.get_major_ticks()[0].label1.get_visible()  # nothing stands below it
