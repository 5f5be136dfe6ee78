"""Rows that can be run again: complete, pointing at cells that exist, and able to fail."""

import json
from pathlib import Path

import pytest

from alphaflops import claims, experiments
from alphaflops.errors import AlphaflopsError
from alphaflops.runs import datasets
from alphaflops.share import reproduce, reproducible, reproducing_page
from alphaflops.study import scores

ROOT = Path(__file__).parents[1]


@pytest.fixture
def recorded():
    """The committed values."""
    return reproduce.expected()


@pytest.fixture
def altered(monkeypatch, tmp_path, recorded):
    """Write other values and let the program read them."""

    def write(change):
        change(recorded)
        (tmp_path / "expected.json").write_text(json.dumps(recorded))
        monkeypatch.setattr(reproduce, "expected_file", lambda: tmp_path / "expected.json")

    return write


def test_every_experiment_and_claim_has_a_row():
    keys = set(reproducible.rows())
    assert {f"claim {claim.id}" for claim in claims.CLAIMS} <= keys
    swept = {experiment for *_, experiment in reproducible.SWEEPS}
    assert swept == {experiment.name for experiment in experiments.PAPER}


def test_every_figure_of_the_paper_can_be_asked_for_by_its_name(recorded):
    for name in ("1", "2", "2a", "2b", "2c", "2d", "3", "4", "5", "6"):
        assert set(reproducible.select([name], [], [], False)) <= set(reproducible.rows())
    assert reproducible.select(["2c", "4", "2a"], [], [], False) == ["figure 2a", "figure 2b"]
    for key in reproducible.select(["2c", "2d"], [], [], False):
        assert "cpu-1core" in recorded["rows"][key]["values"]
    for key in reproducible.select(["3", "4"], [], [], False):
        assert recorded["rows"][key]["values"]["paper-t2000"]["prediction_error_median_pct"] > 0
    assert len(reproducible.select(["5"], [], [], False)) == 4


def test_every_row_is_recorded_for_every_data_set(paper, recorded):
    assert list(recorded["rows"]) == list(reproducible.rows())
    rows = reproducible.rows()
    known = {data: data() for data in {row.data for row in rows.values()}}  # without those that are not in a mirror
    for key, entry in recorded["rows"].items():
        here = known[rows[key].data]
        assert [name for name in entry["values"] if name in here] == here
        assert set(entry["values"]) <= set(recorded["data"])
        assert entry["seconds"] > 0
        assert entry["memory_mib"] > 0


def test_every_row_points_at_a_cell():
    for row in reproducible.rows().values():
        assert f"name: {row.cell}\n" in (ROOT / "notebooks" / f"{row.notebook}.md").read_text(encoding="utf-8"), (
            row.name
        )


def test_the_page_is_what_the_values_give(recorded):
    assert (ROOT / "REPRODUCING.md").read_text(encoding="utf-8") == reproducing_page.page(
        recorded, reproducing_page.trial()
    )


@pytest.mark.parametrize("option", ["--figure=2a", "--table=1a", "--table=networks", "--claim=jumps-on-fine-grids"])
def test_rows_are_reproduced(command, paper, recorded, option):
    values = recorded["rows"][option.lstrip("-").replace("=", " ")]["values"]
    if missing := [name for name in values if not datasets.available(name)]:
        pytest.skip(f"{', '.join(missing)}: neither in a mirror nor downloaded")
    done = command("reproduce", option)
    assert done.code == 0, done.out
    assert done.out.endswith(": reproduced\n")


def test_the_papers_accuracy_is_the_known_one(recorded):
    found = recorded["rows"]["table accuracy"]["values"]["paper-t2000"]
    assert found["n"] == 721
    assert found["mape_pct"] == pytest.approx(21.626, abs=1e-3)
    assert found["spearman"] == pytest.approx(0.98672, abs=1e-5)


def test_claims_are_judged_on_every_machine_of_the_book(recorded):
    verdicts = recorded["rows"]["claim jumps-on-fine-grids"]["values"]
    assert verdicts["cpu-1core-fine"]["verdict"] == "holds"
    assert {name for name in verdicts if name.startswith("neusight-")} == set(scores.UPSTREAM[1:])


def test_recorded_errors_are_those_of_the_scorecard(recorded):
    known = {(row["run"], row["model"]): row["mape_pct"] for row in scores.stored()["scores"] if row["cv"] == "random"}
    for run, values in recorded["rows"]["table scorecard"]["values"].items():
        for model in reproducible.SCORED:
            assert values[f"{model}_mape_pct"] == pytest.approx(known[run, model], rel=reproducible.FITTED)


def test_another_value_is_not_reproduced(command, paper, altered):
    def change(content):
        content["rows"]["figure 2a"]["values"]["paper-t2000"]["total_ms"] *= 1.00001

    altered(change)
    done = command("reproduce", "--figure", "2a", "--json")
    assert done.code == 1
    assert done.json[0]["reproduced"] is False
    assert "paper-t2000: total_ms is" in done.json[0]["problems"][0]


def test_changed_data_are_not_reproduced(command, paper, altered):
    altered(lambda content: content["data"]["paper-t2000"].update(sha256="0" * 64))
    done = command("reproduce", "--figure", "2b")
    assert done.code == 1
    assert "paper-t2000 has changed since it was recorded" in done.out


def test_data_that_cannot_be_had_are_told(command, altered, monkeypatch):
    def away(name):
        raise AlphaflopsError(f"{name} is away")

    monkeypatch.setattr(reproduce, "_load", away)
    done = command("reproduce", "--figure", "6")
    assert done.code == 1
    assert "is away" in done.out


def test_what_is_not_recorded_is_told(command, altered):
    altered(lambda content: content["rows"].pop("figure 6"))
    done = command("reproduce", "--figure", "6")
    assert (done.code, done.out.splitlines()[1]) == (1, "  nothing is recorded for it")


def test_requests_are_checked(refused):
    assert "choose one of 1, 2, 2a, 2b, 2c" in refused("reproduce", "--figure", "9")
    assert "nothing to reproduce" in refused("reproduce")


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        (1.0, 1.0 + 1e-9, True),
        (1.0, 1.001, False),
        ("holds", "holds", True),
        ("holds", "fails", False),
        (None, 1.0, False),
    ],
)
def test_values_agree_within_the_tolerance(wanted, found, same):
    assert reproduce.agree(wanted, found, 1e-6) is same


def test_the_page_belongs_to_a_checkout(monkeypatch):
    monkeypatch.setattr(reproducing_page, "in_checkout", lambda: False)
    with pytest.raises(AlphaflopsError, match="belongs to a checkout"):
        reproducing_page.write()


def test_what_is_recorded_is_reproduced(command, paper, monkeypatch, tmp_path):
    row = reproducible.rows()["table 1a"]
    for module in (reproducible, reproduce, reproducing_page):
        monkeypatch.setattr(module, "rows", lambda: {"table 1a": row})
    monkeypatch.setattr(reproduce, "expected_file", lambda: tmp_path / "expected.json")
    monkeypatch.setattr(reproducing_page, "CHECKOUT", tmp_path)
    assert command("reproduce", "--update").code == 0
    recorded = json.loads((tmp_path / "expected.json").read_text())
    assert recorded["rows"]["table 1a"]["values"]["paper-t2000"]["layers"] == 5
    assert recorded["data"]["paper-t2000"]["sha256"] == paper.sha256
    assert "`alphaflops reproduce --table 1a`" in (tmp_path / "REPRODUCING.md").read_text()
    assert command("reproduce", "--all").code == 0


def test_damaged_values_are_told(refused, altered):
    altered(lambda content: content.pop("rows"))
    assert "holds no recorded values" in refused("reproduce", "--all")


def test_the_trial_of_a_new_user_is_on_the_page(recorded):
    steps = [
        {
            "name": "tests",
            "command": "make test",
            "network": False,
            "minutes": 3.14,
            "memory_mib": 900,
            "last_line": "1 | 2",
        }
    ]
    told = {"machine": "a machine", "python": "3.11", "disk_mib": 2000, "steps": steps}
    page = reproducing_page.page(recorded, told)
    assert "| tests | `make test` | cut | 3.1 | 900 | 1 \\| 2 |" in page
    assert "recorded by `.ci/trial.py` on a machine, Python 3.11" in page
    assert "From nothing" not in reproducing_page.page(recorded, None)


def test_the_page_is_rewritten_without_computing(command, monkeypatch, tmp_path, recorded):
    monkeypatch.setattr(reproducing_page, "CHECKOUT", tmp_path)
    assert command("reproduce", "--page").code == 0
    assert (tmp_path / "REPRODUCING.md").read_text() == reproducing_page.page(recorded, reproducing_page.trial())
