"""Where everything on a page comes from: data with their hashes, parameters and code behind each figure and number.

A notebook that has been run carries its record in its metadata, under ``alphaflops: provenance``. It is made from the
files that the kernel opened (`noting`) and from the statements behind each output (`slicing`), so that a figure names
the data that went into it, not everything that its chapter read. No time of day is recorded.
"""

import ast
import hashlib
import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from .. import __version__, paths
from ..errors import AlphaflopsError
from ..runs import TABLE_FILE, upstream
from .noting import Note
from .slicing import Statement, behind, statements

RECORD: Final = "application/papermill.record/text/plain"
"""Kind of output that holds a glued number."""

REGISTRY: Final = "upstream.json"
"""File that every loading of data reads; it is named only where nothing else was read."""


@cache
def code_sha256() -> str:
    """Hash of the library: every source file of the package by name and content."""
    digest = hashlib.sha256()
    for path in sorted(paths.PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(paths.PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def roots(given: Path) -> list[Path]:
    """Folders whose files are data: the bundled ones, those of runs that a reader gave, copies of upstream files."""
    copies = {place.parent for source in upstream.sources().values() for place in upstream.places(source)}
    return [paths.data_folder(), given, *sorted(copies)]


def _data(path: Path, given: Path) -> tuple[str, dict[str, str]] | None:
    """Name a file as a data set: its id, and what is recorded of it; None for files that only describe one."""
    for source in upstream.sources().values():
        if path in upstream.places(source):
            return source.name, {"file": source.url, "sha256": source.sha256}
    for folder, home in ((paths.data_folder(), "data"), (given.parent, "")):
        if not path.is_relative_to(folder):
            continue
        inside = path.relative_to(folder)
        run = inside.parts[1] if inside.parts[0] == "runs" and len(inside.parts) > 2 else None
        if (run and path.name != TABLE_FILE) or not path.is_file():
            return None
        file = inside.as_posix() if not home else f"{home}/{inside.as_posix()}"
        return run or inside.as_posix(), {"file": file, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return None


def record(notebook: Any, notes: Sequence[Note], given: Path) -> dict[str, Any]:
    """Describe how a notebook's outputs were made.

    Parameters
    ----------
    notebook : NotebookNode
        As it was run.
    notes : sequence of Note
        Files that its kernel opened.
    given : Path
        Folder of the runs that the reader gave.

    Returns
    -------
    dict
        ``version`` and ``code`` (sha256) of the library, ``parameters`` by name, ``data`` by id (``file``, ``sha256``),
        and ``made``: one entry per output with ``kind``, ``name``, ``data`` (ids), ``parameters`` (names), and the
        ``text`` of a number.

    Raises
    ------
    AlphaflopsError
        If a cell holds more than plain Python.
    """
    code = dict(enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), 1))
    try:
        told = statements({n: cell.source for n, cell in code.items()})
    except SyntaxError as error:
        raise AlphaflopsError(
            f"a cell holds more than plain Python ({error.msg}): leave out commands of IPython"
        ) from error
    known = {note.path: _data(Path(note.path), given) for note in notes}
    read = [_read(statement, notes, known) for statement in told]
    asked = {
        n for n, cell in code.items() if {"parameters", "injected-parameters"} & set(cell.metadata.get("tags", []))
    }
    made = []
    for entry, targets in _outputs(notebook, told):
        places = behind(told, targets)
        ids = {name for place in places for name in read[place]}
        chosen = {name for place in places if told[place].cell in asked for name in told[place].binds}
        made.append({**entry, "data": sorted(ids - {REGISTRY} or ids), "parameters": sorted(chosen)})
    used = {name for entry in made for name in entry["data"]}
    data = dict(sorted(found for found in known.values() if found and found[0] in used))
    values = [_values(code[n].source) for n in sorted(asked)]
    parameters = {name: value for each in values for name, value in each.items()}
    return {"version": __version__, "code": code_sha256(), "parameters": parameters, "data": data, "made": made}


def _read(statement: Statement, notes: Iterable[Note], known: Mapping[str, Any]) -> set[str]:
    return {
        known[note.path][0]
        for note in notes
        if known[note.path] and note.cell == statement.cell
        if note.line == 0 or statement.first <= note.line <= statement.last
    }


def _values(source: str) -> dict[str, Any]:
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            found[ast.unparse(target)] = ast.literal_eval(node.value)
    return found


def _outputs(notebook: Any, told: Sequence[Statement]) -> Iterator[tuple[dict[str, str], list[int]]]:
    """Give each output's kind and name, and the statements that made it."""
    heading, number, seen = "", 0, set[str]()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            heading = (re.findall(r"^#+ (.+)$", cell.source, re.M) or [heading])[-1]
            continue
        number += 1
        places = [i for i, statement in enumerate(told) if statement.cell == number]
        for output in cell.get("outputs", []):
            for entry in _entries(cell, output):
                targets = places[-1:] if output.output_type == "execute_result" else places
                if entry["kind"] == "number":
                    named = [i for i in places if entry["name"] in (told[i].glues or ())]
                    targets = named or [i for i in places if told[i].glues is None] or places
                name = entry["name"] or f"under “{heading}”"
                name = next(n for n in (name, *(f"{name} ({i})" for i in range(2, len(seen) + 3))) if n not in seen)
                seen.add(name)
                yield {**entry, "name": name}, targets


def _entries(cell: Any, output: Any) -> Iterator[dict[str, str]]:
    content = output.get("data", {})
    if RECORD in content:
        yield {"kind": "number", "name": output.metadata["scrapbook"]["name"], "text": content[RECORD].strip("'\"")}
    elif "image/png" in content:
        yield {"kind": "figure", "name": cell.metadata.get("mystnb", {}).get("figure", {}).get("name", "")}
    elif "text/markdown" in content:
        text = content["text/markdown"]
        labels = re.findall(r"^:name: ([\w-]+)$", text, re.M)
        yield from ({"kind": "table", "name": label} for label in labels)
        if not labels:
            yield {"kind": "table" if text.lstrip().startswith("|") else "text", "name": ""}
    elif content:
        yield {"kind": "text", "name": ""}


def block(told: Mapping[str, Any]) -> str:
    """Write a record as the collapsed block at the end of a page (HTML)."""
    parameters = ", ".join(
        f"<code>{name} = {html.escape(repr(value))}</code>" for name, value in told["parameters"].items()
    )
    made = [
        (
            entry["kind"],
            _shown(entry),
            ", ".join(map(html.escape, entry["data"])) or "none: from formulas alone",
            ", ".join(entry["parameters"]) or "–",
        )
        for entry in told["made"]
    ]
    data = [
        (html.escape(name), f"<code>{html.escape(entry['file'])}</code>", f"<code>{entry['sha256']}</code>")
        for name, entry in told["data"].items()
    ]
    parts = [
        f"<p>alphaflops {told['version']}, sources with sha256 <code>{told['code']}</code>. "
        f"Parameters: {parameters or 'none'}.</p>",
        _table(("kind", "what", "data", "parameters"), made),
        _table(("data", "file", "sha256"), data) if data else "",
    ]
    return f'<details class="provenance"><summary>How this was made</summary>{"".join(parts)}</details>'


def _shown(entry: Mapping[str, Any]) -> str:
    name = html.escape(entry["name"])
    if entry["kind"] in ("figure", "table") and re.fullmatch(r"(fig|tab)-[\w-]+", entry["name"]):
        return f'<a href="#{name}">{name}</a>'
    return f"{name}: {html.escape(entry['text'])}" if "text" in entry else name


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        '<div class="pst-scrollable-table-container"><table class="table">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
