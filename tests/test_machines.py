"""One more machine: operators, networks, calibration and shared error in one go, and nothing of it half-way."""

import numpy as np
import pandas as pd
import pytest
from torch import nn

from alphaflops import Run
from alphaflops.costs import OURS
from alphaflops.errors import AlphaflopsError
from alphaflops.fitting import read_calibration
from alphaflops.fitting.intervals import CLASSES
from alphaflops.host import describe
from alphaflops.network import trace
from alphaflops.network.inputs import Shape
from alphaflops.paths import data_folder
from alphaflops.prediction import estimate, machine, operators, read_operators, timing
from alphaflops.prediction.curves import PARTS
from alphaflops.prediction.timing import in_turns
from alphaflops.runs.datasets import load

TINY = {
    "Tiny": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4)),
        Shape((1, 3, 8, 8)),
    )
}


@pytest.fixture(scope="module")
def own_run():
    """Sixty layers of a bundled run under the name of this machine: what was fitted does not matter here."""
    bundled = load("cpu-1core")
    meta = {**bundled.meta, "run_id": "mine", "machine": describe("cpu", 1)}
    chosen = np.linspace(0, len(bundled.table) - 1, 60).round().astype(int)
    return Run(meta, bundled.table.iloc[chosen].reset_index(drop=True))


@pytest.fixture(scope="module")
def written(own_run, tmp_path_factory):
    folder, said = tmp_path_factory.mktemp("data"), []
    paths = machine.measure_machine(own_run, TINY, profile="smoke", into=folder, say=said.append)
    return folder, paths, said


def test_one_command_writes_what_estimates_need(written):
    folder, paths, said = written
    assert [str(path.relative_to(folder)) for path in paths] == [
        "operators/mine.json",
        "networks/mine.csv",
        "calibrations/mine.json",
    ]
    assert said[0] == "operators and layers"
    assert f"Tiny, {PARTS} of {PARTS}" in said
    table = read_operators(paths[0])
    assert table.run["sha256"]
    assert table.reference == read_calibration(paths[2])
    assert table.run["versions"].keys() == {"alphaflops", "torch", "transformers"}
    assert min(table.layers["ms"]) > 0
    report = estimate(TINY["Tiny"][0]().eval(), (1, 3, 8, 8), paths[2], operators=paths[0])
    assert report.table["predicted_ms"].notna().all()
    assert read_calibration(paths[2]).run["id"] == "mine"


def test_measured_rows_are_whole_networks_and_layers(written):
    rows = pd.read_csv(written[1][1])
    assert list(rows["what"]) == ["network", "layer", "layer", *["network"] * (PARTS - 1)]
    assert list(rows["part"]) == [1, 1, 1, *range(2, PARTS + 1)]
    assert (rows["latency_ms"] > 0).all()
    assert (rows.loc[rows["what"] == "layer", "turn_ms"] > 0).all()
    assert set(rows["status"]) == {"ok"}


def test_chapter_shows_the_new_machine_by_itself(written, monkeypatch):
    for module in (machine, operators):
        monkeypatch.setattr(module, "data_folder", lambda: written[0])
    assert machine.measured_networks() == ["mine"]
    networks = {"Tiny": trace(TINY["Tiny"][0]().eval(), (1, 3, 8, 8)), "Absent": None}
    (row,) = machine.comparison(networks, "mine").to_dict("records")
    assert row["network"] == "Tiny"
    # the parts add up to the whole, on both sides
    assert row["layers_ms"] + row["rest_ms"] == pytest.approx(row["predicted_ms"])
    assert row["turns_ms"] + row["remaining_ms"] == pytest.approx(row["measured_ms"])
    rows = machine.measured("mine")
    assert row["measured_ms"] == rows.loc[rows["what"] == "network", "latency_ms"].median()


def test_another_machine_is_refused_before_anything_is_measured(own_run, tmp_path):
    other = Run({**own_run.meta, "machine": {**own_run.meta["machine"], "name": "Other CPU, 1 thread"}}, own_run.table)
    with pytest.raises(AlphaflopsError) as refused:
        machine.measure_machine(other, TINY, profile="quick", into=tmp_path, say=print)
    here = describe("cpu", 1)["name"]
    assert (
        str(refused.value) == f"run 'mine' was measured on Other CPU, 1 thread, this is {here}: measure networks there"
    )
    assert list(tmp_path.iterdir()) == []


def test_unknown_networks_are_one_line():
    with pytest.raises(AlphaflopsError, match="network 'Nothing' is unknown: choose from ResNet-18,"):
        machine.choose_networks(("Nothing",))
    assert list(machine.choose_networks(("VGG-16",))) == ["VGG-16"]


def test_a_table_corrects_the_calibration_that_lies_beside_it(written, tmp_path):
    for path in written[1]:
        (tmp_path / path.parent.name).mkdir()
        (tmp_path / path.parent.name / path.name).write_bytes(path.read_bytes())
    calibration = tmp_path / "calibrations" / "mine.json"
    calibration.write_text(calibration.read_text().replace(read_calibration(calibration).run["sha256"], "0" * 64))
    assert read_operators(tmp_path / "operators" / "mine.json").reference is None  # of another run
    calibration.unlink()
    assert read_operators(tmp_path / "operators" / "mine.json").reference is None


@pytest.mark.parametrize("run", machine.measured_networks())
def test_bundled_tables_belong_to_the_bundled_run_and_its_calibration(run):
    table = read_operators(data_folder() / "operators" / f"{run}.json")
    assert table.run["sha256"] == load(run).sha256
    assert (machine.measured(run)["run_sha256"] == table.run["sha256"]).all()
    assert table.reference == read_calibration(data_folder() / "calibrations" / f"{run}.json")
    assert table.reference.model == OURS.name
    assert set(table.factors) == set(CLASSES)


class Counting:
    """A device on which the n-th timed call takes n ms."""

    def __init__(self):
        self.calls = []

    def calls_ns(self, call, n):
        assert n == 1
        self.calls.append(call())
        return [len(self.calls) * 10**6]


def test_turns_take_every_layer_in_every_round_after_its_inputs_are_written(monkeypatch):
    class Input:
        def __init__(self):
            self.written = 0

        def neg_(self):
            self.written += 1

    inputs = [Input() for _ in range(4)]
    monkeypatch.setattr(timing, "layer_call", lambda layer, make: (lambda: layer, inputs[layer]))
    device = Counting()
    times = in_turns(device, range(4), rounds=3, seed=1)
    assert times.shape == (4,)
    rounds = [device.calls[i : i + 4] for i in range(0, 16, 4)]
    assert [sorted(taken) for taken in rounds] == [[0, 1, 2, 3]] * 4
    assert len({tuple(taken) for taken in rounds}) > 1
    assert [one.written for one in inputs] == [4] * 4
    # the first round warms up: the median is over the other three
    at = [[4 * r + taken.index(i) + 1 for r, taken in enumerate(rounds)][1:] for i in range(4)]
    assert list(times) == [sorted(ms)[1] for ms in at]


def test_the_command_measures_what_was_asked_for(own_run, command, refused, monkeypatch, tmp_path):
    asked = []

    def measure(run, networks, **options):
        asked.append((run.id, list(networks), options["profile"], options["into"]))
        options["say"]("layers")
        return [tmp_path / "operators" / "mine.json"]

    monkeypatch.setattr(machine, "measure_machine", measure)
    chosen = ("--network", "VGG-16", "--profile", "smoke", "--into", tmp_path)
    outcome = command("measure", "--networks", "cpu-1core", *chosen)
    assert outcome.code == 0
    assert asked == [("cpu-1core", ["VGG-16"], "smoke", tmp_path)]
    assert outcome.out == f"{tmp_path}/operators/mine.json\n"
    assert outcome.err == "layers\n"
    assert "run 'nobody' is unknown" in refused("measure", "--networks", "nobody")
    assert "network 'Nothing' is unknown" in refused("measure", "--networks", "cpu-1core", "--network", "Nothing")
