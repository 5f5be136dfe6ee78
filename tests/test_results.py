"""Results: made anew where data or code changed and nowhere else, compared with the record, kept where files lack."""

import json

import pandas as pd
import pytest

from alphaflops import AlphaflopsError, results
from alphaflops.results import makers, tables
from alphaflops.results.tables import Result
from alphaflops.runs import datasets

CALLS = []
VALUES = {"one": 1.0, "two": 2.0, "far": 3.0}


def halves(name, part):
    """A maker: half of the value of a set."""
    CALLS.append(name + part)
    return [{"part": part, "half": VALUES[name] / 2, "words": ""}]


def doubled(name, part):
    """A maker that rests on the other result."""
    CALLS.append(f"{name} again")
    known = results.read("halves")
    return [{"doubled": float(known.loc[known["run"] == name, "half"].sum())}]


def test_what_is_recorded_was_made_by_this_code_from_these_data():
    assert {name: found for name, found in results.stale().items() if found} == {}


@pytest.fixture
def made(monkeypatch, tmp_path):
    """Two results in an empty folder, of two sets at hand and one far away; gives what may be changed."""
    state = {"data": dict.fromkeys(VALUES, "first"), "code": "first", "away": {"far"}}
    fakes = (
        Result("halves", halves, lambda: list(VALUES), parts=("a", "b")),
        Result("doubled", doubled, lambda: ["one", "two"], needs=("halves",)),
    )
    for module in (tables, results):
        monkeypatch.setattr(module, "RESULTS", {fake.name: fake for fake in fakes})
    monkeypatch.setattr(tables, "folder", lambda: tmp_path)
    monkeypatch.setattr(tables, "code", lambda places: state["code"])
    monkeypatch.setattr(tables, "data", lambda name: state["data"][name])
    monkeypatch.setattr(datasets, "available", lambda name: name not in state["away"])
    CALLS.clear()
    return state


def refreshed(*names):
    """Refresh in this process and give what was said and which work was done."""
    CALLS.clear()
    return "\n".join(results.refresh(names, jobs=1)), list(CALLS)


def test_everything_is_made_once(made):
    said, done = refreshed()
    assert done == ["onea", "oneb", "twoa", "twob", "one again", "two again"]
    assert "halves: not made before: one, two" in said
    assert "halves: not at hand: far" in said
    assert results.read("halves")["half"].tolist() == [0.5, 0.5, 1, 1]
    assert results.read("doubled")["doubled"].tolist() == [1, 2]
    assert results.absent("halves") == ["far"]
    assert refreshed() == ("halves: up to date\ndoubled: up to date", [])
    assert results.stale() == {"halves": {}, "doubled": {}}


def test_changed_data_concern_one_set(made):
    refreshed()
    made["data"]["two"] = "second"
    assert results.stale() == {"halves": {"two": "the data changed"}, "doubled": {"two": "the data changed"}}
    said, done = refreshed("halves")
    assert "halves: the data changed: two" in said
    assert done == ["twoa", "twob"]


def test_what_is_needed_is_made_first_and_passes_its_change_on(made, monkeypatch):
    assert refreshed("doubled")[1] == ["onea", "oneb", "twoa", "twob", "one again", "two again"]
    made["data"]["one"] = "second"
    monkeypatch.setitem(VALUES, "one", 5.0)
    refreshed("halves")
    assert results.stale(["doubled"])["doubled"] == {"one": "the data changed, halves changed"}


def test_changed_code_concerns_every_set_and_says_what_cannot_be_made(made):
    made["away"] = set()
    refreshed("halves")
    made |= {"away": {"far"}, "code": "second"}
    said, done = refreshed("halves")
    assert "halves: the code changed: one, two" in said
    assert "halves: kept from older code: far" in said
    assert done == ["onea", "oneb", "twoa", "twob"]
    assert results.read("halves")["run"].tolist() == ["one", "one", "two", "two", "far", "far"]


def test_a_set_is_filled_in_where_its_file_is(made):
    refreshed("halves")
    made["away"] = set()
    assert refreshed("halves")[1] == ["fara", "farb"]
    assert results.absent("halves") == []
    assert results.read("halves")["half"].tolist() == [0.5, 0.5, 1, 1, 1.5, 1.5]


def test_a_set_that_is_gone_leaves(made, monkeypatch):
    refreshed("halves")
    monkeypatch.delitem(VALUES, "two")
    refreshed("halves")
    assert set(results.read("halves")["run"]) == {"one"}
    assert set(json.loads((tables.folder() / "made.json").read_text())["halves"]) == {"one"}


def test_a_check_names_what_differs_and_writes_nothing(made, monkeypatch):
    refreshed()
    before = {path.name: path.read_bytes() for path in tables.folder().iterdir()}
    assert results.check(jobs=1) == []
    monkeypatch.setitem(VALUES, "two", 2.2)
    assert results.check(["halves"], jobs=1) == [
        "halves: two, a: half is 1.1, recorded 1.0",
        "halves: two, b: half is 1.1, recorded 1.0",
    ]
    monkeypatch.setitem(VALUES, "two", 2.01)  # within the tolerance of a fit
    assert results.check(["halves"], jobs=1) == []
    made["data"]["one"] = "second"
    assert results.check(["halves"], jobs=1) == ["halves: one is not recorded, or has changed since it was"]
    assert {path.name: path.read_bytes() for path in tables.folder().iterdir()} == before


def test_another_number_of_rows_is_told(made):
    refreshed("doubled")
    path = tables.folder() / "doubled.csv"
    path.write_text(path.read_text().rsplit("\n", 2)[0] + "\n")
    assert results.check(["doubled"], jobs=1) == ["doubled: two has 1 rows, recorded 0"]


def test_unknown_results_are_refused():
    with pytest.raises(AlphaflopsError, match="result 'nothing' is unknown: choose from scores, "):
        list(results.refresh(["nothing"]))


def test_damaged_tables_are_told(made):
    (tables.folder() / "halves.csv").write_text('"run\n')
    with pytest.raises(AlphaflopsError, match=r"halves\.csv is no table of results: `alphaflops refresh halves`"):
        results.read("halves")


def test_a_hash_of_code_sees_statements_alone(monkeypatch, tmp_path):
    from alphaflops import paths

    def hashed(text):
        (tmp_path / "x.py").write_text(text)
        tables.code.cache_clear()
        return tables.code(("x.py",))

    monkeypatch.setattr(paths, "PACKAGE", tmp_path)
    plain = hashed("def f(a):\n    return a + 1\n")
    assert plain == hashed('"""A module."""\ndef f(a):\n    """Add."""\n    # one\n    return (a +\n            1)\n')
    assert plain != hashed("def f(a):\n    return a + 2\n")
    tables.code.cache_clear()


def test_a_sample_is_drawn_once_and_keeps_repeated_layers_together():
    if not datasets.available("miopen-vega64"):
        pytest.skip("miopen-vega64 is neither in a mirror nor downloaded")
    run = makers.sample("miopen-vega64")
    assert len(run.table) == makers.LAYERS
    makers.sample.cache_clear()
    assert run.table.equals(makers.sample("miopen-vega64").table)


def test_recorded_results_hold_every_set_at_hand_or_say_that_it_was_not():
    for result in results.RESULTS.values():
        if (tables.folder() / f"{result.name}.csv").exists():
            told = {*tables.made()[result.name], *results.absent(result.name)}
            assert told == set(result.sets()), result.name


def test_the_papers_accuracy_is_the_known_one():
    found = results.read("scores")
    own = found[(found["run"] == "paper-t2000") & (found["model"] == "alpha-published") & (found["cv"] == "in sample")]
    assert own[["n", "mape_pct", "median_ape_pct"]].iloc[0].tolist() == pytest.approx([721, 21.63, 12.67], abs=0.01)
    assert own["spearman"].item() == pytest.approx(0.98672, abs=1e-4)


def test_roles_stand_beside_scores():
    found = results.read("scores")
    assert {*found["role"]} <= {"development", "judged", "apart"}
    assert {entry.name for entry in datasets.entries().values() if entry.role == "development"} <= {*found["run"]}


def test_what_figures_show_is_reproduced(paper):
    told = results.check(["figures"], jobs=1)
    assert told == []
    found = results.read("figures")
    assert set(found[found["run"] == "paper-t2000"]["experiment"]) == set(paper.table["experiment"])
    assert isinstance(found, pd.DataFrame)
