"""Tables of the book as MyST text: numbered, captioned, numbers rounded."""

import re
from typing import TYPE_CHECKING, Any

from ..runs import datasets, upstream
from ..study import findings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from ..runs import Run


def table(frame: "pd.DataFrame", caption: str, name: str, *, wide: bool = False) -> str:
    """Write a table as a numbered MyST ``{table}``; cells are written as they are.

    Parameters
    ----------
    frame : DataFrame
        Columns in order; the index is not shown.
    caption : str
        What the table shows, with units.
    name : str
        Label for cross-references, ``tab-…``.
    wide : bool
        Whether it has too many columns, or too long ones, for a phone: its first column then stays in sight.
    """
    body = findings.tied(frame.to_markdown(index=False, disable_numparse=True))
    return captioned(body, caption, name, wide=wide)


def captioned(body: str, caption: str, name: str, *, wide: bool = False) -> str:
    """Write a Markdown table with number, caption and label; `body` is the table's text, `wide` as for `table`."""
    kind = ":class: wide\n" if wide else ""
    return f"```{{table}} {caption}\n:name: {name}\n{kind}\n{body}\n```"


def equal_flops_table(frame: "pd.DataFrame") -> str:
    """Write the paper's Figure 1a, its table at 327.68 million FLOPs, with a column of times per machine.

    Parameters
    ----------
    frame : DataFrame
        As given by `frames.equal_flops`.
    """
    times = frame.pivot_table(index="line", columns="machine", values="time_ms")
    times = times.loc[list(dict.fromkeys(frame["line"])), list(dict.fromkeys(frame["machine"]))]
    traffic = frame.groupby("line")["bytes"].first() / 1e6
    shown = times.map(lambda value: findings.number(value, 3))
    shown.insert(0, "traffic (MB)", [findings.number(traffic[line], 3) for line in shown.index])
    flops = findings.number(2e-6 * frame["macs"].iloc[0], 5)
    caption = f"Time (ms) of layers of {flops} million FLOPs each (the table in Figure 1 of the paper)."
    return table(shown.rename_axis("layer").reset_index(), caption, "tab-equal-flops")


def status_table(runs: "Sequence[Run]") -> str:
    """Write which runs the book at hand shows: machine, protocol, layers."""
    import pandas as pd

    rows = [
        {
            "run": f"`{run.id}`",
            "machine": run.machine,
            "layers": f"{len(run.table):,}",
            "software": _software(run),
            "measured by": _measurer(run),
        }
        for run in runs
    ]
    return table(pd.DataFrame(rows), "Measurements shown in this book.", "tab-status", wide=True)


def _measurer(run: "Run") -> str:
    if run.id in upstream.sources():
        return upstream.sources()[run.id].citation
    return "this project" if run.id in datasets.bundled() else "you"


def _software(run: "Run") -> str:
    if version := (run.meta.get("software") or {}).get("torch"):
        return f"PyTorch {version}"
    told = re.search(r"PyTorch [\d.]+|TensorFlow", str(run.meta["protocol"].get("name")))
    return "not stated" if told is None else f"{told[0]}, version not stated" if told[0] == "TensorFlow" else told[0]


def sources_table() -> str:
    """Write the registry of upstream files: data set, device, licence, commit, checksum."""
    import pandas as pd

    rows = [
        {
            "name": f"`{source.name}`",
            "device": source.device,
            "from": f"[{source.citation}]({source.url})",
            "licence": source.licence,
            "commit": f"`{source.commit[:7]}`",
            "sha256": f"`{source.sha256[:12]}…`",
        }
        for source in upstream.sources().values()
    ]
    return table(pd.DataFrame(rows), "Upstream data sets, by URL, commit and checksum.", "tab-sources", wide=True)


def runs_table(runs: "Sequence[Run]") -> str:
    """Write how our runs were measured, one column per run; a note where there are none."""
    import pandas as pd

    measured = [run for run in runs if run.meta["origin"] == "measured"]
    if not measured:
        return "No run of ours is bundled or named."
    facts = pd.DataFrame({f"`{run.id}`": pd.Series(_facts(run)) for run in measured})
    return table(facts.rename_axis("").reset_index(), "Our measurements, as recorded with them.", "tab-runs", wide=True)


def _facts(run: "Run") -> dict[str, str]:
    meta, converged = run.meta, run.table.get("converged")
    flags = run.table["flags"].ne("").sum() if "flags" in run.table else 0
    settled = None if converged is None else f"{int(converged.astype(bool).sum())} of {len(run.table)}"
    facts = {
        "machine": run.machine,
        "profile": meta.get("profile"),
        "layers": f"{len(run.table):,}",
        "rows that converged": settled,
        "rows with a flag": flags,
        "protocol": meta["protocol"].get("name"),
        "tolerance": meta["protocol"].get("tolerance"),
        "seed": meta.get("seed"),
        "started": meta.get("started"),
        "sentinel layer": _sentinel(vars(run.sentinel) if meta.get("sentinel") else {}),
        **{name: (meta.get("software") or {}).get(key) for name, key in _VERSIONS.items()},
        "sha256 of the table": f"{run.sha256[:12]}…",
    }
    return {name: "not recorded" if value is None else str(value) for name, value in facts.items()}


_VERSIONS = {"Python": "python", "PyTorch": "torch", "NumPy": "numpy", "system": "system"}


def _sentinel(found: "Mapping[str, Any]") -> str | None:
    if found.get("moved") is None or found.get("spread") is None:
        return found.get("verdict")
    moved, wide = findings.number(100 * found["moved"]), findings.number(100 * found["spread"])
    return f"{found['verdict']}: moved by {moved} %, spread {wide} %"
