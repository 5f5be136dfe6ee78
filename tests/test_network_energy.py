"""Joules of networks: from an energy run to the column of a report, blank with a reason where nobody measured any."""

import json

import numpy as np
import pytest
from torch import nn

from alphaflops import Run
from alphaflops.errors import AlphaflopsError
from alphaflops.fitting import fit
from alphaflops.layers import bytes_moved, macs
from alphaflops.prediction import estimate, estimating
from alphaflops.prediction.estimating import calibrate_energy, default_energy, joules_file
from alphaflops.runs.datasets import load

# The stand-in's law: 2 mJ per call, 10 GMAC/J and 5 GB/J.
PER_CALL_J, MAC_PER_J, BYTES_PER_J = 2e-3, 10e9, 5e9


def law_j(table):
    return PER_CALL_J + macs(table) / MAC_PER_J + bytes_moved(table) / BYTES_PER_J


@pytest.fixture(scope="module")
def energy_run():
    """Sixty layers whose joules follow a known law exactly; not a measurement, and never written to the data folder."""
    bundled = load("cpu-1core")
    meta = {**bundled.meta, "run_id": "stand-in-energy", "energy": True}
    chosen = np.linspace(0, len(bundled.table) - 1, 60).round().astype(int)
    table = bundled.table.iloc[chosen].reset_index(drop=True)
    joules = law_j(table)
    kept = {f"{quantity}_{row}" for quantity in ("latency", "throughput") for row in table["row"]}
    samples = {name: taken for name, taken in bundled.samples.items() if name in kept or not name[-1].isdigit()}
    return Run(meta, table.assign(energy_j=joules, energy_gross_j=2 * joules, energy_source="counter"), samples)


@pytest.fixture(scope="module")
def joules(energy_run):
    return calibrate_energy(energy_run, "roofline+t0", draws=5)


@pytest.fixture(scope="module")
def times():
    return fit(load("cpu-1core"), "macs+t0", draws=5)


def test_energy_rows_become_a_calibration_in_joules(energy_run, joules):
    predicted = joules.predict(energy_run.table)["predicted_ms"] / 1e3
    assert predicted.to_numpy() == pytest.approx(law_j(energy_run.table), rel=0.02)
    assert joules.run["quantity"] == "energy"
    assert joules.run["sha256"] == energy_run.sha256
    units = {name: entry["unit"] for name, entry in joules.parameters.items()}
    assert set(units.values()) <= {"mJ", "GB/J", "GMAC/J", ""}
    # the numbers of the law, in its units
    assert joules.values["t0"] == pytest.approx(1e3 * PER_CALL_J, rel=0.05)
    assert joules.values["p"] == pytest.approx(MAC_PER_J / 1e9, rel=0.05)


def test_estimate_gives_joules_beside_times(joules, times):
    model = nn.Sequential(nn.Linear(4000, 3000, bias=False), nn.ReLU()).eval()
    report = estimate(model, (2, 4000), times, energy=joules)
    dense, relu = report.table["energy_j"]
    # 24 million products, 12 million weights and 2·7,000 numbers of 4 bytes
    assert dense == pytest.approx(2e-3 + 24e6 / MAC_PER_J + 4 * (12e6 + 14e3) / BYTES_PER_J, rel=0.05)
    assert relu == pytest.approx(2 * 2 * 3000 * 4 / 1e9 / joules.values["b"], rel=1e-6)
    assert report.total()["energy_j"] == pytest.approx(dense + relu)
    assert "energy_j" in report.to_markdown().splitlines()[0]
    assert not any("no energy" in note for note in report.notes)


def test_without_joules_the_column_is_blank_and_says_why(times):
    report = estimate(nn.Linear(8, 4), (2, 8), times)
    assert report.table["energy_j"].isna().all()
    assert np.isnan(report.total()["energy_j"])
    assert "no energy: nobody measured joules on the machine of cpu-1core" in report.notes
    assert "energy_j" not in report.to_markdown()
    assert json.loads(json.dumps(report.to_json()))["total"]["energy_j"] is None


def test_joules_of_the_same_machine_are_found_by_name(joules, times, tmp_path, monkeypatch):
    assert joules_file("stand-in-energy") == joules_file("stand-in") == "stand-in-joules.json"
    (tmp_path / "calibrations").mkdir()
    assert default_energy(tmp_path / "calibrations", times) is None
    joules.save(tmp_path / "calibrations" / joules_file("cpu-1core"))
    monkeypatch.setattr(estimating, "data_folder", lambda: tmp_path)
    assert estimate(nn.Linear(8, 4), (2, 8), times).table["energy_j"].notna().all()


def test_joules_and_times_are_not_mixed_up(joules, times):
    model = nn.Linear(8, 4)
    with pytest.raises(AlphaflopsError, match="'stand-in-energy' gives joules, not times: pass it as energy"):
        estimate(model, (2, 8), joules)
    with pytest.raises(AlphaflopsError, match="'cpu-1core' gives times, not joules: fit an energy run"):
        estimate(model, (2, 8), times, energy=times)


def test_runs_without_joules_say_why(energy_run):
    with pytest.raises(AlphaflopsError, match=r"run 'cpu-1core' has no joules \(it measured times only\)"):
        calibrate_energy(load("cpu-1core"))
    reason = "none: no energy counter is known for cpu"
    blank = Run(energy_run.meta, energy_run.table.assign(energy_j=np.nan, energy_source=reason))
    with pytest.raises(AlphaflopsError, match="no joules") as refused:
        calibrate_energy(blank)
    assert reason in str(refused.value)


def test_the_command_line_fits_joules_and_uses_them(energy_run, command, refused, tmp_path):
    energy_run.write(tmp_path / "run")
    out = tmp_path / "joules.json"
    fit = ("fit", tmp_path / "run", "--model", "roofline+t0", "--quantity", "energy", "--out", out)
    assert command(*fit, "--json").json["run"]["quantity"] == "energy"
    linear = ("estimate", "torch.nn:Linear", "--kwargs", '{"in_features": 8, "out_features": 4}', "--input", "2,8")
    found = command(*linear, "--calibration", "cpu-1core", "--energy", out, "--json").json
    assert found["total"]["energy_j"] > 0
    assert "gives joules, not times" in refused(*linear, "--calibration", out)
    assert "has no joules" in refused("fit", "cpu-1core", "--quantity", "energy")
