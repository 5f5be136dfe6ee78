"""What `estimate` says to every mistake a user can make: the whole line, and exit code 2."""

import json

import pytest

from alphaflops.fitting.calibration import calibrations

MODELS = """
import torch
from torch import nn

counter = 3


def net():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2))


def wide(width):
    return nn.Linear(width, width)


def number():
    return 3


ready = nn.Linear(4, 4)


def tells():
    print("building")
    return nn.Linear(4, 4)


def leaves():
    raise SystemExit(7)


def broken():
    raise ValueError("no such width")


class Chooses(nn.Module):
    def __init__(self):
        super().__init__()
        self.few, self.many = nn.Linear(4, 1), nn.Linear(4, 9)

    def forward(self, x):
        return self.many(x) if x.sum() > -1e9 else self.few(x)


class Fails(nn.Module):
    def forward(self, x):
        raise KeyError("table")
"""


@pytest.fixture
def models(tmp_path, monkeypatch):
    (tmp_path / "users_models.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)


IMAGE = ("--input", "1,3,8,8")
HERE = "users_models"
HOW = "give package.module:factory, and its arguments as JSON, such as '{\"depth\": 50}'"


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("args", "line"),
    [
        (
            ("users_models", *IMAGE),
            f"factory 'users_models' failed (TypeError: 'module' object is not callable): {HOW}",
        ),
        (
            ("no_such_package:net", *IMAGE),
            "factory 'no_such_package:net' cannot be imported "
            "(ModuleNotFoundError: No module named 'no_such_package'): give package.module:factory",
        ),
        (
            (f"{HERE}:nothing", *IMAGE),
            "factory 'users_models:nothing' cannot be imported (AttributeError: module 'users_models' has no attribute "
            "'nothing'): give package.module:factory",
        ),
        (
            (f"{HERE}:wide", *IMAGE),
            "factory 'users_models:wide' failed (TypeError: wide() missing 1 required positional argument: 'width'): "
            f"{HOW}",
        ),
        (
            (f"{HERE}:wide", *IMAGE, "--kwargs", '{"depth": 3}'),
            f"factory 'users_models:wide' failed (TypeError: wide() got an unexpected keyword argument 'depth'): {HOW}",
        ),
        ((f"{HERE}:number", *IMAGE), "factory 'users_models:number' returned a int: it must return a torch.nn.Module"),
        (
            (f"{HERE}:counter", *IMAGE),
            f"factory 'users_models:counter' failed (TypeError: 'int' object is not callable): {HOW}",
        ),
        ((f"{HERE}:broken", *IMAGE), f"factory 'users_models:broken' failed (ValueError: no such width): {HOW}"),
        ((f"{HERE}:leaves", *IMAGE), f"factory 'users_models:leaves' failed (SystemExit: 7): {HOW}"),
        (
            (f"{HERE}:ready", *IMAGE, "--kwargs", '{"width": 3}'),
            "factory 'users_models:ready' failed "
            f"(TypeError: Linear.forward() got an unexpected keyword argument 'width'): {HOW}",
        ),
        ((f"{HERE}:ready", "--input", f"{2**62},4"), f"input {2**62},4 cannot be made: RuntimeError: "),
        (("torch.nn:ReLU", "--input", "3", "--csv", "."), ". cannot be written: Is a directory"),
        (
            (f"{HERE}:net", "--input", "1,4,8,8"),
            "layer 0 (Conv2d) was given (1, 4, 8, 8): RuntimeError: ",
        ),
        (
            (f"{HERE}:net", *IMAGE),
            "layer 2 (Linear) was given (1, 288): RuntimeError: ",
        ),
        ((f"{HERE}:Fails", *IMAGE), "layer at the top (Fails) was given (1, 3, 8, 8): KeyError: 'table'"),
        (
            (f"{HERE}:net", "--input", "1,3,x"),
            "input is '1,3,x': give sizes such as 1,3,224,224, or 1,128:int64 with a number type",
        ),
        (
            (f"{HERE}:net", "--input", "1,-3"),
            "input is '1,-3': give sizes such as 1,3,224,224, or 1,128:int64 with a number type",
        ),
        (
            (f"{HERE}:net", "--input", "1,3,8,8:float33"),
            "dtype is 'float33': give one of PyTorch's, such as float32, bfloat16 or int64",
        ),
        ((f"{HERE}:net", *IMAGE, "--kwargs", "[1]"), "arguments '[1]' holds a list: expected a JSON object"),
        (
            (f"{HERE}:net", "--input", "x=1,3,8,8", "--input", "1,3"),
            "some inputs have a name and some do not: name all or none",
        ),
        (
            ("torch.nn:ReLU", "--input", "3", "--csv", "no/folder.csv"),
            "no/folder.csv cannot be written: No such file or directory",
        ),
    ],
)
def test_the_line_for_each_mistake(refused, args, line):
    said = refused("estimate", *args)
    # what PyTorch itself says about shapes differs from version to version
    said = said.partition("RuntimeError: ")[0] + "RuntimeError: " if line.endswith("RuntimeError: ") else said
    assert said == f"error: {line}"


@pytest.mark.usefixtures("models")
def test_a_size_beyond_every_integer(refused):
    assert f"error: input {2**70},4 cannot be made: " in refused("estimate", f"{HERE}:ready", "--input", f"{2**70},4")


@pytest.mark.usefixtures("models")
def test_what_a_factory_prints_is_not_part_of_the_answer(command):
    assert command("estimate", f"{HERE}:tells", "--input", "2,4", "--json").json["total"]["macs"] == 32


@pytest.mark.usefixtures("models")
def test_a_module_that_leaves_while_it_is_imported(refused, tmp_path):
    (tmp_path / "parses_arguments.py").write_text("raise SystemExit(2)\n")
    assert "'parses_arguments:net' cannot be imported (SystemExit: 2)" in refused(
        "estimate", "parses_arguments:net", "--input", "3"
    )


def test_missing_calibration_lists_those_that_are_here(refused):
    line = refused("estimate", "torch.nn:ReLU", "--input", "3", "--calibration", "h9000")
    here = ", ".join(calibrations())
    assert line == f"error: calibration 'h9000' is not here: give a file or one of {here}"
    assert "cpu-1core" in here


@pytest.mark.usefixtures("models")
def test_control_flow_on_data_falls_back_and_says_so(command):
    found = command("estimate", "users_models:Chooses", "--input", "2,4", "--json").json
    # the branch that zeros take: two vectors of 4 to 9
    assert found["total"]["macs"] == 2 * 4 * 9
    assert [note.partition(" (")[0] for note in found["notes"]] == [
        "meta tensors were not enough",
        "fake tensors were not enough",
        "the weights had no data; the network was built anew with them",
        "counted on real values: inputs given as shapes were random numbers, or zeros for integers",
        "no operator used 2 of 4 parameters",
    ]
    assert [note.rpartition("; ")[2] for note in found["notes"][:2]] == ["used fake tensors", "used cpu tensors"]


@pytest.mark.usefixtures("models")
def test_a_calibration_that_is_no_calibration(refused, tmp_path):
    (tmp_path / "other.json").write_text(json.dumps({"kind": "recipe"}))
    line = refused("estimate", "torch.nn:ReLU", "--input", "3", "--calibration", "other.json")
    assert line == "error: other.json is no calibration: its kind is not 'alphaflops-calibration'"
