"""The pins: exact, inside the ranges, and what runs here."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
}
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = sorted({*PROJECT["dependencies"], *(r for extra in EXTRAS.values() for r in extra)})
INSTALLED = sorted({*PROJECT["dependencies"], *EXTRAS["book"], *EXTRAS["test"]})


@pytest.mark.parametrize("text", REQUIREMENTS)
def test_each_dependency_is_pinned_inside_its_range(text):
    requirement = Requirement(text)
    assert PINS[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("text", INSTALLED)
def test_what_runs_here_is_what_is_pinned(text):
    name = canonicalize_name(Requirement(text).name)
    assert metadata.version(name).split("+")[0] == PINS[name]


def test_pins_have_no_local_version():
    assert not [v for v in PINS.values() if "+" in v]


def test_python_has_no_upper_bound():
    assert PROJECT["requires-python"] == ">=3.11"


def test_conda_users_get_the_same_pins():
    text = (ROOT / "environment.yml").read_text()
    assert '"-c constraints.txt"' in text
    assert '"-e .[book,test]"' in text
