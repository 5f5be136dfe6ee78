"""Notes on pages: when it was last run, under every title; how to take a chapter along and run it, at its end."""

import json
from pathlib import Path

from docutils import nodes

from alphaflops import __version__
from alphaflops.runs import RUN_FILE, datasets, read_json, upstream

NOTEBOOKS = "../_sources/notebooks/"
"""Where the built book keeps the notebooks that its chapters were made of."""
LONG = 60
"""Characters of a command that fit into a line."""
NO_DEVICE = "It measures nothing, so a GPU changes nothing."


def measured(run_ids, given):
    """Date on which each measured run among the ids was finished, by id; published data have none."""
    folders = {name: given / name if (given / name).is_dir() else datasets.runs_folder() / name for name in run_ids}
    told = {name: read_json(folder / RUN_FILE) for name, folder in folders.items() if folder.is_dir()}
    return {name: str(meta["finished"])[:10] for name, meta in told.items() if meta.get("finished")}


def last_run(record, given):
    """Say which code and data a page shows, from a chapter's record or, where there is none, from all bundled runs."""
    ids = record["data"] if record else datasets.bundled()
    dates = measured(ids, given)
    version = record["version"] if record else __version__
    published = [name for name in ids if name in upstream.sources()]
    what = [f"measurements of {', '.join(sorted(set(dates.values())))}"] if dates else []
    what += ["published data"] if published else []
    what += ["recorded data"] if ids and not what else []
    return f"Last run: alphaflops {version}, {' and '.join(what) if what else 'no measurements'}"


def _metadata(path):
    if path.suffix != ".ipynb":
        return {}
    return json.loads(path.read_text(encoding="utf-8"))["metadata"].get("alphaflops", {})


def add_notes(app, doctree):
    """Put the line under the title, and the note of a chapter at its end."""
    path = Path(app.env.doc2path(app.env.docname))
    told = _metadata(path)
    first = next(iter(doctree.findall(nodes.section)), None)
    if first is None:
        return
    line = last_run(told.get("provenance"), Path(app.srcdir) / "runs")
    first.insert(1, nodes.paragraph("", line, classes=["last-run"]))
    if path.suffix == ".ipynb" and "gpu" in told:
        last = doctree.children[-1]
        (last if isinstance(last, nodes.section) else first).extend(_take_along(path.name, told["gpu"]))


def _take_along(name, commands):
    download = nodes.raw("", f'<a href="{NOTEBOOKS}{name}" download>Download this notebook</a>', format="html")
    words = "Run this chapter on your GPU:" if commands else NO_DEVICE
    box = nodes.container(classes=["take-along"])
    box += nodes.paragraph("", "", download, classes=["download"])
    box += nodes.paragraph("", words)
    if commands:
        text = "\n".join(map(_wrapped, commands))
        box += nodes.literal_block(text, text, language="sh")
    return [box]


def _wrapped(command):
    """Put each option of a long command on a line of its own."""
    return command.replace(" --", " \\\n  --") if len(command) > LONG else command


def setup(app):
    """Register with Sphinx, before the block of provenance is put last."""
    app.connect("doctree-read", add_notes, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
