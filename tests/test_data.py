"""What is committed under data: whole, described, and fitted to the runs that are there."""

from functools import cache

import pandas as pd
import pytest

from alphaflops import measuring as measure
from alphaflops import read_calibration
from alphaflops.paths import data_folder
from alphaflops.results.makers import CALIBRATED, calibration_file
from alphaflops.results.tables import fitted
from alphaflops.runs import datasets, derive
from alphaflops.runs.schema import KNOWN_COLUMNS

CALIBRATIONS = sorted((data_folder() / "calibrations").glob("*.json"))
README = (data_folder() / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", datasets.bundled())
def test_bundled_runs_are_as_they_were_written(name):
    found = measure.verify(datasets.runs_folder() / name)
    assert found.problems == ()
    assert found.state == "finished"
    assert f"`{name}`" in README
    run = datasets.load(name)
    assert set(run.table["latency_n"]) != {0}
    assert run.meta["seconds"] > 0
    assert derive.OTHER not in set(run.table["experiment"])


def test_reference_runs_hold_every_layer_of_the_paper_on_one_and_on_both_cores():
    one, two = datasets.load("cpu-1core"), datasets.load("cpu-2core")
    for run in (one, two):
        assert len(run.ok.table) == 721
        assert run.meta["profile"] == "paper"
        assert {"latency_ms", "throughput_ms"} <= set(run.table)
        assert len(run.samples) == 2 * 721
    assert one.meta["machine"]["threads"] == 1
    assert two.meta["machine"]["threads"] == two.meta["machine"]["cpu"]["cores_usable"] > 1
    assert one.meta["protocol"] == two.meta["protocol"]
    shared = one.meta["software"].keys() & two.meta["software"].keys()
    assert {"torch", "numpy", "mkldnn", "blas", "system"} <= shared
    assert {name: one.meta["software"][name] for name in shared} == {
        name: two.meta["software"][name] for name in shared
    }


@cache
def sha256(name):
    return datasets.load(name).sha256


@pytest.mark.parametrize("path", CALIBRATIONS, ids=lambda path: path.stem)
def test_calibrations_belong_to_the_data_that_are_here(path):
    found = read_calibration(path)
    name = str(found.run["id"])
    assert path.name == calibration_file(name, found.model)
    if not datasets.available(name):
        pytest.skip(f"{name} is neither in a mirror nor downloaded")
    assert found.run["sha256"] == sha256(name), "run `alphaflops refresh calibrations`"


def test_every_set_at_hand_has_its_calibrations_except_fine_grids():
    here = {name for name in fitted() if datasets.available(name)}
    wanted = {calibration_file(run, model) for run in here for model in CALIBRATED}
    assert wanted <= {path.name for path in CALIBRATIONS}
    assert "cpu-1core-fine.json" not in {path.name for path in CALIBRATIONS}


def test_every_column_is_described():
    assert [name for name in KNOWN_COLUMNS if f"`{name}`" not in README] == []


def test_every_data_set_is_described():
    for name in datasets.names():
        collection = "-".join(name.split("-")[: 1 if name.startswith("miopen") else 2])
        assert f"`{name}`" in README or f"`{collection}-*`" in README


def test_counters_are_compared_on_every_network():
    rows = pd.read_csv(data_folder() / "networks" / "counters.csv")
    assert not rows.duplicated(["network", "tool"]).any()
    table = rows.pivot_table(index="network", columns="tool", values="ratio_to_macs")
    own, torch = table["alphaflops"], table[next(name for name in table if "FlopCounterMode" in name)]
    assert own.eq(1).all()
    assert torch.loc["ResNet-18"] == 2  # it counts two FLOPs per MAC
    counts = rows[rows["network"] == "ResNet-18"].set_index("tool")["count"]
    for tool, ratio in rows[rows["network"] == "ResNet-18"].set_index("tool")["ratio_to_macs"].items():
        assert counts[tool] / counts["alphaflops"] == pytest.approx(ratio, rel=1e-4)
