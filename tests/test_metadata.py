"""Citation files, version, licences and the ways in: all from one record, all well-formed."""

import json
import re
import stat
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import alphaflops

ROOT = Path(__file__).parents[1]
CFF = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_one_version_everywhere():
    version = alphaflops.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert CFF["version"] == version
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in PROJECT


def test_one_licence_everywhere():
    assert PROJECT["license"] == CFF["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
    assert "CC-BY-4.0" in (ROOT / "LICENSE-data").read_text()
    assert PROJECT["keywords"] == CFF["keywords"]


def test_the_citation_file_has_what_the_format_requires():
    assert {"cff-version", "message", "title", "authors"} <= set(CFF)
    assert CFF["cff-version"] == "1.2.0"
    for work in (CFF["preferred-citation"], *CFF["references"]):
        assert {"type", "title", "authors"} <= set(work)
        assert all({"family-names", "given-names"} == set(person) for person in work["authors"])
    assert re.fullmatch(r"10\.\d{4,9}/\S+", CFF["preferred-citation"]["doi"])


def breaches(schema, path):
    """What a schema of the format finds in a file; nothing in a valid one."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", path]
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "name", "needed"),
    [("citation-file-format", "CITATION.cff", "authors"), ("github-workflows", ".github/workflows/ci.yml", "jobs")],
)
def test_files_keep_the_schema_of_their_format(tmp_path, schema, name, needed):
    content = (ROOT / name).read_text(encoding="utf-8")
    assert breaches(schema, ROOT / name) == ""
    broken = tmp_path / "broken.yml"
    broken.write_text(re.sub(rf"(?m)^{needed}:", f"{needed}-misspelt:", content), encoding="utf-8")
    assert f"'{needed}' is a required property" in breaches(schema, broken)


@pytest.mark.parametrize("path", [".github/workflows/ci.yml", ".pre-commit-config.yaml", "environment.yml"])
def test_definitions_are_yaml(path):
    assert isinstance(yaml.safe_load((ROOT / path).read_text()), dict)


def test_continuous_integration_covers_the_supported_pythons():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert jobs["tests"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    used = {
        target
        for job in jobs.values()
        for step in job["steps"]
        for target in re.findall(r"make (\w+)", step.get("run", ""))
    }
    assert (
        {"lint", "test", "coverage", "minimum", "pins", "audit", "book", "rerun", "fuzz", "repeat"} <= used <= targets
    )


def test_the_container_installs_as_the_makefile_does():
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^ARG BASE=", text, re.M)
    assert re.search(r"^USER (?!root)", text, re.M)
    assert "-c constraints.txt" in text
    assert '-e ".[book,test]"' in text
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert (ROOT / ".devcontainer" / container["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"


def test_binder_needs_nothing_beyond_the_pins():
    pins = {name.lower() for name in re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.M)}
    lines = (ROOT / "binder/requirements.txt").read_text().splitlines()
    wanted = [line for line in lines if re.match(r"[a-z]", line)]
    assert wanted
    assert set(wanted) <= pins
    assert (ROOT / "binder/postBuild").stat().st_mode & stat.S_IXUSR


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A wheel built from the sources and unpacked as pip would, without the checkout."""
    pytest.importorskip("setuptools", "77", reason="setuptools 77 is needed to build a wheel here")
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    sources.mkdir()
    for name in ("alphaflops", "data", "pyproject.toml", "README.md", "LICENSE", "LICENSE-data"):
        (sources / name).symlink_to(ROOT / name)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, sources]
    done = subprocess.run(build, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(done.stderr)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "target")
    return folder / "target"


def call(installed, *args):
    """Run the installed program in an empty folder that is no checkout."""
    command = [sys.executable, "-c", "import sys, alphaflops.cli as c; sys.exit(c.main(sys.argv[1:]))", *args]
    environment = {"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin", "HOME": str(installed)}
    return subprocess.run(command, capture_output=True, text=True, cwd=installed.parent, env=environment)


def test_the_wheel_holds_package_and_data_only(installed):
    tops = {path.name for path in installed.iterdir()}
    assert tops == {"alphaflops", f"alphaflops-{alphaflops.__version__}.dist-info"}
    assert (installed / "alphaflops/data/datasets.json").is_file()
    for name in alphaflops.load.__globals__["bundled"]():
        assert (installed / "alphaflops/data/runs" / name / "SHA256SUMS").is_file()


def test_an_installed_program_works_without_the_checkout(installed):
    done = call(installed, "layer", "dense", "--batch", "1", "--in", "12800", "--out", "12800", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["flops"] == 2 * 12800 * 12800
    listed = json.loads(call(installed, "runs", "--json").stdout)
    bundled = [entry for entry in listed if entry["origin"] == "measured"]
    assert all(entry["where"].startswith(str(installed)) for entry in bundled)
    done = call(installed, "book")
    assert done.returncode == 2, done.stdout


CHECKLISTS = (ROOT / "book/checklists.md").read_text(encoding="utf-8")
ITEMS = [
    line.strip("| \n").split(" | ") for line in CHECKLISTS.splitlines() if line.startswith("| ") and "---" not in line
]


LINK = r"\]\(([^)#]+)\)"
NAMED = r"`([^`\s<]+/[^`\s<]*|[\w.-]+\.(?:md|cff|json|toml|yml)|LICENSE[\w-]*|SHA256SUMS|Dockerfile)`"
COMMAND = r"`((?:make|alphaflops) [\w-]+)"


def test_every_item_of_a_checklist_has_a_state_and_a_proof():
    items = [item for item in ITEMS if item[0] != "item"]
    assert len(items) > 50
    for item in items:
        assert len(item) == 3, item
        assert item[1] in ("met", "partly", "not met"), item
        assert item[2], item
        assert item[1] == "not met" or re.search(f"{LINK}|{NAMED}|{COMMAND}", item[2]), f"no proof is named: {item}"
    assert {item[1] for item in items} == {"met", "partly", "not met"}


def test_every_proof_that_is_linked_or_named_exists():
    targets, names = re.findall(LINK, CHECKLISTS), re.findall(NAMED, CHECKLISTS)
    assert len(targets) + len(names) > 60
    for target in targets:
        assert (ROOT / "book" / target).is_file(), target
    for name in names:
        assert (ROOT / name).exists() or name in ("paper.md", "SHA256SUMS"), name


def test_the_commands_that_are_named_as_proof_exist():
    from alphaflops.cli import commands

    assert set(re.findall(r"`alphaflops (\w+)", CHECKLISTS)) <= set(commands())
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`make (\w+)`", CHECKLISTS)) <= targets
