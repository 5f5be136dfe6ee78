"""The workflow over several machines, with two CPU "machines" that differ in their threads."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from alphaflops.fitting import read_calibration
from alphaflops.runs import Run

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / "workflow"


def snakemake(folder, *args, profile="local"):
    """Run the workflow with its output in a folder."""
    program = shutil.which("snakemake") or shutil.which("snakemake", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip("snakemake is not installed: pip install 'alphaflops[workflow]'")
    config = {
        "command": f"{sys.executable} -m alphaflops",
        "out": str(folder / "results"),
        "profile": "smoke",
        "experiments": ["conv_fixed_progressive"],
        "timing": "--tolerance 0.2 --row-seconds 0.05",
        "model": "macs+t0",
        "allow_implausible": True,
        "machines": {f"threads-{n}": {"device": "cpu", "threads": n} for n in (1, 2)},
    }
    (folder / "machines.yaml").write_text(yaml.safe_dump(config))
    command = [program, "-s", WORKFLOW / "Snakefile", "--workflow-profile", WORKFLOW / "profiles" / profile]
    # Two threads must not spin while another test has one of the cores.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder), "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        [*command, "--configfile", folder / "machines.yaml", "--directory", folder, *args],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    if f"unknown plugin {profile}" in done.stderr.lower() or f"invalid choice: '{profile}'" in done.stderr:
        pytest.skip(f"snakemake cannot use {profile}: pip install snakemake-executor-plugin-{profile}")
    logs = "".join(path.read_text() for path in sorted((folder / "results/logs").glob("*.log")))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return done.stdout + done.stderr


def test_two_machines_are_measured_gathered_and_fitted(tmp_path):
    snakemake(tmp_path, "gathered")
    runs = [Run.read(tmp_path / "results/runs" / f"threads-{n}") for n in (1, 2)]
    assert [run.meta["machine"]["threads"] for run in runs] == [1, 2]
    assert runs[0].layers.equals(runs[1].layers)
    assert set(runs[0].table["experiment"]) == {"conv_fixed_progressive"}
    for n in (1, 2):
        found = read_calibration(tmp_path / "results/calibrations" / f"threads-{n}.json")
        assert found.model == "macs+t0"
    again = snakemake(tmp_path, "gathered")
    assert "Nothing to be done" in again


@pytest.mark.parametrize("profile", ["local", "slurm"])
def test_the_book_follows_from_the_runs(tmp_path, profile):
    plan = snakemake(tmp_path, "--dry-run", profile=profile)
    told = " ".join(plan.split())
    for rule, jobs in (("measure", 2), ("gather", 2), ("fit", 2), ("book", 1)):
        assert f" {rule} {jobs} " in told, plan


@pytest.mark.parametrize("name", ["local", "slurm"])
def test_profiles_are_sound(name):
    profile = yaml.safe_load((WORKFLOW / "profiles" / name / "config.yaml").read_text())
    assert profile["resources"]["timing"] == (1 if name == "local" else profile["jobs"])
    assert ("executor" in profile) == (name == "slurm")


def test_the_machines_of_the_example_have_safe_names():
    from alphaflops.runs.schema import check_slug

    example = yaml.safe_load((WORKFLOW / "machines.yaml").read_text())
    assert [check_slug(name) for name in example["machines"]] == list(example["machines"])
