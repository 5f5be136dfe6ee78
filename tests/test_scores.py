"""Committed scores match code and data, or are computed anew; learning curves judge unseen layers only."""

import json

import numpy as np
import pandas as pd
import pytest

from alphaflops import experiments
from alphaflops.costs import FORMS, MODEL_NAMES, model
from alphaflops.errors import AlphaflopsError
from alphaflops.layers import COLUMNS, macs
from alphaflops.runs import Run, datasets
from alphaflops.study import choosing, learning, scores

GRID = experiments.grid("paper")


@pytest.fixture
def regular(meta):
    """Times that FLOPs with a constant give exactly."""
    return Run({**meta, "run_id": "regular"}, GRID.assign(latency_ms=0.3 + 0.01 * macs(GRID) / 1e6))


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty place for committed and cached scores."""
    monkeypatch.setattr(scores, "path", lambda: tmp_path / "scores.json")
    monkeypatch.setattr(scores, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "scores.json"


def test_committed_scores_are_those_of_this_code_and_data():
    if missing := [name for name in scores.UPSTREAM if not datasets.available(name)]:
        pytest.skip(f"{', '.join(missing)}: neither in a mirror nor downloaded: set ALPHAFLOPS_MIRROR")
    assert scores.stale(scores.scored_runs()) == [], "run `alphaflops scorecard --update` and commit data/scores.json"


def test_committed_scores_hold_every_model_and_form():
    known = scores.stored()
    assert {row["model"] for row in known["scores"]} == set(MODEL_NAMES)
    assert {row["model"] for row in known["forms"]} == {form.name for form in FORMS}
    assert all(known[kind] for kind in scores.KINDS)


def test_what_does_not_match_is_named(store, regular):
    assert scores.stale([regular]) == ["the code that scores has changed", "run 'regular' is missing or has changed"]
    store.write_text(json.dumps({"code": scores.code_hash(), "runs": {"regular": regular.sha256}}))
    assert scores.stale([regular]) == []
    other = Run(regular.meta, regular.table.assign(latency_ms=regular.table["latency_ms"] * 2))
    assert scores.stale([other]) == ["run 'regular' is missing or has changed"]


def test_matching_scores_are_read_and_others_computed(store, regular):
    row = {"run": "regular", "model": "macs+t0", "cv": "random", "mape_pct": 42.0}
    known = {"runs": {"regular": regular.sha256}, "scores": [row]}
    store.write_text(json.dumps({"code": scores.code_hash(), **known}))
    assert scores.held_out_mape(regular, "macs+t0") == 42
    assert scores.of([regular])["mape_pct"].tolist() == [42]
    store.write_text(json.dumps({"code": "other", **known}))
    assert scores.held_out_mape(regular, "macs+t0") < 1


def test_damaged_scores_are_refused(store):
    store.write_text("{")
    with pytest.raises(AlphaflopsError, match="cannot be read: run `alphaflops scorecard --update`"):
        scores.stored()


def test_computed_rows_are_kept(store, regular, monkeypatch):
    calls = []
    monkeypatch.setitem(
        scores._COMPUTE, "learning", lambda run: calls.append(run.id) or [{"run": run.id, "layers": 15}]
    )
    found = [scores.of([regular], "learning") for _ in range(2)]
    assert calls == ["regular"]
    assert found[0].equals(found[1])


def test_the_choice_of_a_form_looks_at_one_half_of_a_set_without_figures(meta):
    mask = choosing.looked_at(Run(meta, GRID.assign(experiment="all", latency_ms=1.0)))
    assert 0.4 * len(GRID) < mask.sum() < 0.6 * len(GRID)
    # layers that occur twice are seen twice or not at all
    layers = np.array([hash(tuple(row)) for row in GRID[list(COLUMNS)].to_numpy()])
    assert len(set(layers)) < len(layers)
    assert not set(layers[mask]) & set(layers[~mask])
    assert choosing.looked_at(Run(meta, GRID.assign(latency_ms=1.0))).all()


def test_forms_and_pulls_are_scored_on_what_the_choice_looked_at(regular, monkeypatch):
    monkeypatch.setattr(choosing, "FORMS", (model("macs+t0"), model("macs")))
    exact, rough = choosing.form_errors(regular)
    assert (exact["model"], exact["n"], exact["unseen_pct"]) == ("macs+t0", len(GRID), None)
    assert exact["mape_pct"] < 0.5 < rough["mape_pct"]
    single = Run(regular.meta, regular.table.assign(experiment="all"))
    half, _ = choosing.form_errors(single)
    assert half["n"] == choosing.looked_at(single).sum()
    assert half["unseen_pct"] < 0.5
    monkeypatch.setattr(choosing, "BEST", model("macs+t0"))
    rows = choosing.pull_errors(regular)
    assert [row["pull"] for row in rows] == list(choosing.PULLS) * choosing.REPEATS
    means = [np.mean([row["mape_pct"] for row in rows if row["pull"] == pull]) for pull in choosing.PULLS]
    assert means == sorted(means)
    assert means[-1] > 10 * means[0]


def test_learning_curve_finds_the_exact_model_with_few_layers(regular):
    rows = learning.learning_curve(regular, ["macs", "macs+t0"], (15, 60), repeats=2)
    assert [(r["model"], r["layers"], r["repeat"]) for r in rows[:2]] == [("macs", 15, 0), ("macs+t0", 15, 0)]
    assert len(rows) == 8
    error = {(r["model"], r["layers"]): r["mape_pct"] for r in rows}
    assert error["macs+t0", 60] < 0.5 < error["macs", 60]


def test_learning_curve_is_repeatable_and_leaves_layers_to_judge(regular):
    few = Run(regular.meta, regular.table.iloc[:70])
    first = learning.learning_curve(few, ["macs"], repeats=1)
    assert first == learning.learning_curve(few, ["macs"], repeats=1)
    assert [row["layers"] for row in first] == [15]


def test_coverage_counts_layers_inside_their_interval(meta):
    noise = np.exp(0.2 * np.random.default_rng(1).standard_normal(len(GRID)))
    run = Run(meta, GRID.assign(latency_ms=(0.3 + 0.01 * macs(GRID) / 1e6) * noise))
    rows = learning.coverage(run, "macs+t0", splits=3)
    assert len(rows) == 3
    assert np.mean([row["inside_pct"] for row in rows]) == pytest.approx(90, abs=4)


def test_refreshed_scores_are_complete_and_match(store, regular, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    card = [{"run": "regular", "model": "macs", "cv": "random", "mape_pct": float("nan"), "parameters": 1}]
    monkeypatch.setattr(scores, "UPSTREAM", ())
    monkeypatch.setattr(datasets, "bundled", lambda: ["regular"])
    monkeypatch.setattr(datasets, "load", lambda name: regular)
    monkeypatch.setattr(choosing, "CHOSEN_ON", ("regular",))
    monkeypatch.setattr(
        scores, "scorecard", lambda runs, models, **_: pd.DataFrame(card).assign(model=list(models)[:1])
    )
    monkeypatch.setattr(scores, "ProcessPoolExecutor", lambda jobs, mp_context: ThreadPoolExecutor(jobs))
    for kind in scores.KINDS[1:]:
        monkeypatch.setitem(scores._COMPUTE, kind, lambda run, kind=kind: [{"run": run.id, "kind": kind}])
    assert scores.refresh(jobs=1) == store
    assert scores.stale([regular]) == []
    known = scores.stored()
    assert [row["model"] for row in known["scores"]] == [MODEL_NAMES[0]]
    assert known["scores"][0]["mape_pct"] is None
    assert [known[kind] for kind in scores.KINDS[1:]] == [[{"run": "regular", "kind": k}] for k in scores.KINDS[1:]]
    assert set(known["versions"]) == {"numpy", "scipy", "scikit-learn"}


def test_a_run_with_few_layers_has_no_coverage_but_a_row_per_fitted_number(store, regular):
    few = Run(regular.meta, regular.table.iloc[:60])
    assert scores.of([Run(regular.meta, regular.table.iloc[:6])], "coverage").empty
    found = scores.of([few], "parameters")
    assert set(found["run"]) == {"regular"}
    assert {"parameter", "value", "low", "high", "unit", "meaning"} <= set(found.columns)
