"""Imports go down only, and importing the package loads nothing heavy."""

import dataclasses
import pkgutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import alphaflops

ROOT = Path(__file__).parents[1]


def test_every_package_is_shipped():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {p.parent.relative_to(ROOT).as_posix().replace("/", ".") for p in ROOT.glob("alphaflops/**/__init__.py")}
    assert folders | {"alphaflops.data"} == set(packages)


def test_imports_go_down_only():
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("alphaflops", {"torch", "matplotlib", "pandas", "numpy", "scipy"}),
        ("alphaflops.chapters.judged, alphaflops.results", {"torch", "transformers", "sklearn"}),  # of every notebook
    ],
)
def test_import_is_light(modules, heavy):
    code = f"import sys, {modules}; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_every_exported_name_is_there():
    for name in alphaflops.__all__:
        assert getattr(alphaflops, name) is not None
    assert set(alphaflops.__all__) <= set(dir(alphaflops))


def test_specs_and_records_are_frozen():
    names = [found.name for found in pkgutil.walk_packages(alphaflops.__path__, "alphaflops.")]
    modules = [import_module(name) for name in names if name != "alphaflops.__main__"]
    kinds = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
    own = {kind for kind in kinds if dataclasses.is_dataclass(kind) and kind.__module__.startswith("alphaflops.")}
    changing = {kind.__name__ for kind in own if not kind.__dataclass_params__.frozen}
    assert changing == {"Watch", "_Sampler"}  # they follow a device from call to call
