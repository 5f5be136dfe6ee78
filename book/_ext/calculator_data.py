"""Give the calculator's page its numbers: published constants and calibrations, as a script that needs no request."""

import json
from dataclasses import asdict
from pathlib import Path

from alphaflops import paths
from alphaflops.costs import ANALYTIC, OURS
from alphaflops.costs.alpha import PAPER_T2000, REPLICATION_RTX4090
from alphaflops.fitting import read_calibration
from alphaflops.fitting.intervals import SLACK
from alphaflops.runs import datasets
from alphaflops.style import LINES

SHOWN = ("macs+t0", "alpha", OURS.name)
"""Cost models whose formula the calculator knows, in the order in which it shows them."""

TARGET = "calculator-data.js"


def payload(folder: Path) -> dict:
    """Gather what the calculator needs from a folder of calibrations."""
    found = [(path, read_calibration(path)) for path in sorted(folder.glob("*.json"))]
    shown = _told_apart([_plain(path, entry) for path, entry in found if entry.model in SHOWN])
    shown.sort(key=lambda entry: (entry["run"], SHOWN.index(entry["model"])))
    return {
        "published": [
            {"machine": "Quadro T2000", "vendor": "NVIDIA", **asdict(PAPER_T2000)},
            {"machine": "RTX 4090", "vendor": "NVIDIA", **asdict(REPLICATION_RTX4090)},
        ],
        "models": {name: {"title": ANALYTIC[name].title, "colour": LINES[i]} for i, name in enumerate(SHOWN)},
        "calibrations": shown,
    }


def _told_apart(entries: list[dict]) -> list[dict]:
    """Name the run too where two runs timed layers of one kind on one machine: a machine predicts once."""
    first: dict = {}
    for entry in entries:
        kinds = [first.setdefault((entry["machine"], kind), entry["run"]) for kind in entry["region"]["sizes"]]
        if set(kinds) != {entry["run"]}:
            entry["machine"] += f" ({entry['run']})"
    return entries


def _plain(path: Path, entry) -> dict:
    content, known = entry.as_dict(), datasets.entries().get(entry.run["id"])
    return {
        "file": path.name,
        "model": entry.model,
        "run": entry.run["id"],
        "machine": known.device if known else entry.run["machine"],
        "vendor": known.vendor if known else "other",
        "quantity": entry.run["quantity"],
        "values": entry.values,
        "level": entry.level,
        "bands": content["bands"],
        "region": content["region"] | {"slack": SLACK},
        "mape_pct": entry.scores["random"]["mape_pct"],
    }


def script(folder: Path) -> str:
    """Write the payload as a script; a page opened from a folder may not fetch JSON."""
    data = json.dumps(payload(folder), ensure_ascii=False, allow_nan=False, sort_keys=True)
    return f"window.ALPHAFLOPS_DATA = {data};\n"


def write_data(app, exception):
    """Write the script after a successful HTML build."""
    if exception is None and app.builder.format == "html":
        target = Path(app.outdir) / "_static" / TARGET
        target.write_text(script(paths.data_folder() / "calibrations"), encoding="utf-8")


def setup(app):
    """Register with Sphinx."""
    app.connect("build-finished", write_data)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
