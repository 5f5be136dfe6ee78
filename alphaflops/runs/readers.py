"""Files of others as runs: read without trusting them, with the right meaning of each axis."""

import difflib
import io
import pickle
import pickletools
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from .. import experiments, files
from ..errors import AlphaflopsError
from ..layers import COLUMNS, Dense, Layer, as_table
from ..layers.table import SHORT, numbers
from . import Run, miopen
from .datasets import DataSet, cache_folder
from .derive import derived
from .schema import KNOWN_COLUMNS, checked_table, least_meta, parse_table, slug

PLOT_NAMES: Final = {"increasing_Cin": "incresing_Cin_100-1000"}
"""Plots whose name in the authors' file carries a typo."""


class _ArraysOnly(pickle.Unpickler):
    """Unpickler that can rebuild NumPy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy.core.numeric", "_frombuffer"):
            return getattr(import_module("numpy._core.numeric"), name)
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        wanted = f"{module}.{name}"[:80]
        raise AlphaflopsError(f"the pickle asks for {wanted!r}: only NumPy arrays are allowed")


def _check_opcodes(data: bytes) -> None:
    """Refuse a pickle that has the unpickler reserve more memory than the file is long; `genops` reserves none.

    A number of a memo, for one, makes room for as many entries, whatever the file holds.
    """
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("FRAME", "PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(data):
            raise AlphaflopsError(f"the pickle asks for {opcode.name} {argument} in {len(data)} bytes: it is damaged")


def _read_plots(path: Path) -> dict[str, list[Any]]:
    try:
        data = path.read_bytes()
        _check_opcodes(data)
        content = _ArraysOnly(io.BytesIO(data)).load()
        plots = content["plots"]
        return {plot["name"]: [np.asarray(line, dtype=np.float64) for line in plot["lines"]] for plot in plots}
    except AlphaflopsError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise AlphaflopsError(f"{path} is no data set of the authors: {type(error).__name__}") from error


def read_paper(source: DataSet, path: Path) -> Run:
    """Read the authors' pickle as a run.

    Each point is ``[c0, c1, Cin, Cout, K1, K2, T]``. The file's first two columns mean different things: height and
    width in most plots, width and height in ``increasing_W``, and the batch in ``increasing_batch``. The layers are
    therefore taken from `experiments` and the file must agree with them in every size.

    Raises
    ------
    AlphaflopsError
        If the pickle holds anything but arrays, or layers other than the paper's.
    """
    plots = _read_plots(path)
    times: list[Any] = []
    for experiment in experiments.PAPER:
        plot = plots.get(PLOT_NAMES.get(experiment.name, experiment.name), [])
        if len(plot) != len(experiment.lines):
            raise AlphaflopsError(f"{path}: plot {experiment.name!r} is missing or has another number of lines")
        for line, points in zip(experiment.lines, plot, strict=True):
            wanted = np.array([_file_order(experiment.name, layer) for _, layer in line.points])
            if points.shape != (len(line.points), 7) or not np.array_equal(points[:, :6], wanted):
                told = f"line {line.label!r} of {experiment.name}"
                raise AlphaflopsError(f"{path}: {told} has other layers than the paper")
            times.extend(points[:, 6])
    return Run(_meta(source), experiments.grid("paper").assign(latency_ms=times))


def _file_order(experiment: str, layer: Layer) -> tuple[int, ...]:
    if isinstance(layer, Dense):
        return layer.batch, 1, layer.in_features, layer.out_features, 1, 1
    plane = (layer.width, layer.height) if experiment == "increasing_W" else (layer.height, layer.width)
    return *plane, layer.in_channels, layer.out_channels, *layer.sides


NEUSIGHT: Final = {
    "neusight-conv": {"Input_Size": "height", "Input_Channel": "in_channels", "Output_Channel": "out_channels"}
    | {"B": "batch", "Kernel_Szie": "kernel", "Stride": "stride", "Padding": "padding"},
    "neusight-dense": {"B": "batch", "M": "rows", "N": "out_channels", "K": "in_channels"},
}
"""What the columns of NeuSight's tables are: of 3×3 convolutions, and of dense layers, B times M rows each."""


def read_neusight(source: DataSet, path: Path) -> Run:
    """Read a table of NeuSight's convolutions or dense layers as a run.

    Raises
    ------
    AlphaflopsError
        If columns or values are not what they should be.
    """
    names = NEUSIGHT[source.reader]
    used = ["Latency", *names, *source.where]
    raw = parse_table(files.read_bytes(path), str(path), "NeuSight table", usecols=used)
    for name, value in source.where.items():
        raw = raw[raw[name] == value]
    if raw.empty:
        raise AlphaflopsError(f"{path} holds no row of {', '.join(source.where.values()) or 'any layer'}")
    sizes = pd.DataFrame({"latency_ms": numbers(raw["Latency"], f"{path}: Latency")}, dtype=float)
    for name, ours in names.items():
        least, found = 0 if name == "Padding" else 1, numbers(raw[name], f"{path}: {name}")
        good = found.between(least, 2**31 - 1) & (found % 1 == 0)
        if not good.all():
            value, line = str(raw[name][~good].iloc[0])[:40], raw.index[~good][0] + 2
            raise AlphaflopsError(f"{path}, line {line}: {name} is {value!r}: expected an integer from {least} up")
        sizes[ours] = found.astype("int64")
    if "rows" in sizes:
        sizes["batch"] *= sizes.pop("rows")
    sizes["kind"] = "conv2d" if "kernel" in sizes else "dense"
    table = as_table(sizes, str(path)).assign(experiment=source.reader)
    untimed = ~(np.isfinite(table["latency_ms"]) & (table["latency_ms"] > 0))
    if untimed.any():
        words = {"status": np.where(untimed, "error", "ok"), "message": np.where(untimed, "no time in the table", "")}
        table = table.assign(latency_ms=table["latency_ms"].mask(untimed), **words)
    return Run(_meta(source), table)


def read_miopen(source: DataSet, path: Path, variant: str = "") -> Run:
    """Read one number type and direction of a find-db as a run.

    Parameters
    ----------
    variant : str
        Number type and direction joined by ``:``, such as ``fp16``, ``backward-data`` or ``fp16:backward-weights``;
        what is left out is fp32 and forward.

    Raises
    ------
    AlphaflopsError
        For an unknown variant, or a file that is not of this format.
    """
    kind, direction = "fp32", "forward"
    for part in variant.split(":") if variant else ():
        if part in miopen.TYPES:
            kind = part
        elif part in miopen.DIRECTIONS:
            direction = part
        else:
            known = ", ".join((*miopen.TYPES, *miopen.DIRECTIONS))
            raise AlphaflopsError(f"{source.name} has no variant {part!r}: choose from {known}")
    found = miopen.read(path, source.sha256, cache_folder())
    asked = (found["dtype_bytes"] == miopen.TYPES[kind]) & (found["direction"] == miopen.DIRECTIONS[direction])
    lines = found[asked].assign(kind="conv2d", bias=False, experiment=source.reader)
    kept = lines.loc[lines["rule"] == 0, [*COLUMNS, "experiment", "latency_ms"]]
    if kept.empty:
        raise AlphaflopsError(f"{path} holds no layer of {kind}, {direction}")
    meta = _meta(source, variant)
    dropped = {rule: int((lines["rule"] == i).sum()) for i, rule in enumerate(miopen.RULES) if i}
    meta["source"] |= {"number_type": kind, "direction": direction, "lines": len(lines), "dropped": dropped}
    return Run(meta, kept)


def from_csv(path: Path) -> Run:
    """Read a table with the layer columns (see `as_table`) and ``latency_ms`` as a run.

    Commas, semicolons and tabs separate, a comma may be the decimal sign of the latter two; a byte order mark, any line
    ends, spaces around names and columns of other names do no harm.

    Raises
    ------
    AlphaflopsError
        Naming the column and row at fault and what to do.
    """
    text = files.read_bytes(path).decode("utf-8-sig", "replace")
    if "\0" in text or "\ufffd" in text:
        raise AlphaflopsError(f"{path} is no UTF-8 text: save it again as CSV UTF-8")
    separator = max(",;\t", key=text.lstrip().partition("\n")[0].count)
    decimal = "," if separator != "," and re.search(r"\d,\d", text) else "."
    raw = parse_table(text.encode(), str(path), sep=separator, decimal=decimal, skipinitialspace=True)
    raw.columns = [re.sub(r"\.\d+$", "", str(name).strip()) for name in raw.columns]  # pandas numbers repeated names
    if "latency_ms" not in raw:
        near = difflib.get_close_matches("latency_ms", [*raw.columns], 1)
        hint = f"rename {near[0]!r}" if near else "add the time of each layer in milliseconds"
        raise AlphaflopsError(f"{path}: column 'latency_ms' is missing: {hint}")
    raw = raw.loc[:, raw.columns.isin([*KNOWN_COLUMNS, *SHORT])]
    if (twice := raw.columns[raw.columns.duplicated()]).size:
        raise AlphaflopsError(f"{path}: column {twice[0]!r} occurs twice: remove one of them")
    known = as_table(raw, str(path))
    meta = least_meta(slug(path.stem, "table"), "file", files.one_line(path.name), "unknown", "unknown", "unknown")
    return Run.made(meta, derived(checked_table(known, str(path)), {}, meta, str(path)), {})


def _meta(source: DataSet, variant: str = "") -> dict[str, Any]:
    name = f"{source.name}:{variant}" if variant else source.name
    meta = least_meta(name, "upstream", f"{source.device}, {source.citation}", "cuda", source.device, source.protocol)
    origin = {"url": source.url, "commit": source.commit, "sha256": source.sha256, "licence": source.licence}
    return meta | {"source": origin}


READERS: Final[dict[str, Callable[..., Run]]] = {
    "paper": read_paper,
    "miopen": read_miopen,
    **dict.fromkeys(NEUSIGHT, read_neusight),
}
"""Functions ``(source, path) -> Run`` by the name of a reader; that of a find-db also takes a variant."""
