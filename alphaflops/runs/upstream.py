"""Files that others published: where they come from, how they get here, and how they become runs.

They are downloaded once, checked by their hash and read without trusting them; never committed.
"""

import io
import json
import os
import pickle
import pickletools
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import experiments
from ..errors import AlphaflopsError
from ..layers import Conv2d, Dense, Layer, to_table
from ..paths import data_folder
from . import FORMAT_VERSION, Run, exact_floats

if TYPE_CHECKING:
    import pandas as pd

AUTHORS = "paper-t2000"
"""The data set of the paper's authors."""

MIRROR = "ALPHAFLOPS_MIRROR"
"""Environment variable: a folder that holds copies of the upstream files."""

PLOT_NAMES = {"increasing_Cin": "incresing_Cin_100-1000"}
"""Plots whose name in the authors' file carries a typo."""


@dataclass(frozen=True)
class Source:
    """Where an upstream file comes from: one entry of ``upstream.json``."""

    name: str
    reader: str
    url: str
    mirror_path: str
    sha256: str
    commit: str
    licence: str
    device: str
    citation: str


def sources() -> dict[str, Source]:
    """Upstream files by the name of their data set."""
    text = (data_folder() / "upstream.json").read_text(encoding="utf-8")
    return {entry["name"]: Source(**entry) for entry in json.loads(text)}


def _pooch() -> Any:
    with warnings.catch_warnings():  # pooch loads tqdm, which in a notebook asks for a widget that nobody uses here
        warnings.filterwarnings("ignore", message="IProgress not found")
        import pooch
    return pooch


def _cache() -> Path:
    return Path(os.environ.get("ALPHAFLOPS_CACHE") or _pooch().os_cache("alphaflops"))


def places(source: Source) -> list[Path]:
    """Where copies of an upstream file may lie on this computer, in the order in which they are looked for."""
    mirror = os.environ.get(MIRROR)
    kept = _cache() / f"{source.sha256[:16]}-{Path(source.mirror_path).name}"
    return [*([Path(mirror) / source.mirror_path] if mirror else []), kept]


def local(source: Source) -> Path | None:
    """Give the first copy of an upstream file that is on this computer, whatever it holds, or None."""
    return next((path for path in places(source) if path.is_file()), None)


def fetch(source: Source) -> Path:
    """Give the path of an upstream file whose sha256 is right: from the mirror, the cache, or the network.

    Raises
    ------
    AlphaflopsError
        If the file has another hash, or cannot be reached.
    """
    pooch, here = _pooch(), local(source)
    if here is not None:
        if (found := pooch.file_hash(str(here))) != source.sha256:
            raise AlphaflopsError(f"{here} has sha256 {found[:12]}…, expected {source.sha256[:12]}…: remove it")
        return here
    target = places(source)[-1]
    try:
        pooch.get_logger().setLevel("WARNING")
        pooch.retrieve(source.url, f"sha256:{source.sha256}", target.name, target.parent)
    except ValueError as error:
        raise AlphaflopsError(f"{source.url} gave a file with another sha256: not used") from error
    except Exception as error:  # requests, urllib3 and OS errors share no base class
        raise AlphaflopsError(
            f"data set {source.name!r} cannot be downloaded ({type(error).__name__}): "
            f"connect to the network or point {MIRROR} at a folder of copies"
        ) from error
    return target


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
        return {
            plot["name"]: [np.asarray(line, dtype=np.float64) for line in plot["lines"]] for plot in content["plots"]
        }
    except AlphaflopsError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise AlphaflopsError(f"{path} is no data set of the authors: {type(error).__name__}") from error


def read_paper(source: Source, path: Path) -> Run:
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
                raise AlphaflopsError(
                    f"{path}: line {line.label!r} of {experiment.name} has other layers than the paper"
                )
            times.extend(points[:, 6])
    table = experiments.grid("paper").assign(latency_ms=times)
    return Run(_meta(source, "mean of 2000 executions, TensorFlow, versions not stated"), table)


def _file_order(experiment: str, layer: Layer) -> tuple[int, ...]:
    if isinstance(layer, Dense):
        return layer.batch, 1, layer.in_features, layer.out_features, 1, 1
    plane = (layer.width, layer.height) if experiment == "increasing_W" else (layer.height, layer.width)
    return *plane, layer.in_channels, layer.out_channels, *layer.sides


NEUSIGHT_PROTOCOL = "mean of the 5 fastest of 25 calls, PyTorch 2.1.0, cudnn.benchmark on, TF32 off"


def read_neusight_conv(source: Source, path: Path) -> Run:
    """Read a table of NeuSight's 3×3 convolutions as a run.

    Raises
    ------
    AlphaflopsError
        If columns or values are not what they should be.
    """
    raw = _read_columns(
        path, ("B", "Input_Channel", "Output_Channel", "Kernel_Szie", "Input_Size", "Stride", "Padding")
    )
    sizes = raw[["Input_Size", "Input_Channel", "Output_Channel", "Kernel_Szie", "B", "Stride", "Padding"]]
    specs = (
        Conv2d(n, n, cin, cout, k, b, stride, pad) for n, cin, cout, k, b, stride, pad in sizes.itertuples(index=False)
    )
    return _neusight(source, raw, specs)


def read_neusight_dense(source: Source, path: Path) -> Run:
    """Read a table of NeuSight's dense layers as a run: M rows, K inputs, N outputs, B times.

    Raises
    ------
    AlphaflopsError
        If columns or values are not what they should be.
    """
    raw = _read_columns(path, ("B", "M", "N", "K"))
    specs = (Dense(k, n, b * m) for k, n, b, m in raw[["K", "N", "B", "M"]].itertuples(index=False))
    return _neusight(source, raw, specs)


def _read_columns(path: Path, columns: tuple[str, ...]) -> "pd.DataFrame":
    import pandas as pd

    try:
        raw: pd.DataFrame = pd.read_csv(path, usecols=["Latency", *columns], **exact_floats())
        numbers: pd.DataFrame = raw.apply(pd.to_numeric, errors="coerce").astype(float)
    except (ValueError, OverflowError, OSError) as error:
        raise AlphaflopsError(f"{path} is no NeuSight table: {' '.join(str(error).split())}") from error
    for name in columns:
        if (bad := ~((numbers[name] >= 0) & (numbers[name] < 2**31) & (numbers[name] % 1 == 0))).any():
            at = int(np.flatnonzero(bad)[0])
            raise AlphaflopsError(f"{path}: {name} is {raw[name].iloc[at]!r} in row {at}: expected a natural number")
    return numbers.astype(dict.fromkeys(columns, "int64"))


def _neusight(source: Source, raw: "pd.DataFrame", specs: Iterable[Layer]) -> Run:
    import pandas as pd

    table = pd.DataFrame(to_table(specs)).assign(latency_ms=raw["Latency"].to_numpy(), experiment=source.reader)
    untimed = ~(np.isfinite(table["latency_ms"]) & (table["latency_ms"] > 0))
    if untimed.any():
        words = {"status": np.where(untimed, "error", "ok"), "message": np.where(untimed, "no time in the table", "")}
        table = table.assign(latency_ms=table["latency_ms"].mask(untimed), **words)
    return Run(_meta(source, NEUSIGHT_PROTOCOL), table)


def _meta(source: Source, protocol: str) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "run_id": source.name,
        "origin": "upstream",
        "title": f"{source.device}, {source.citation}",
        "device": "cuda",
        "machine": {"name": source.device},
        "protocol": {"name": protocol},
        "source": {"url": source.url, "commit": source.commit, "sha256": source.sha256, "licence": source.licence},
    }


_READERS = {
    "paper": read_paper,
    "neusight-conv": read_neusight_conv,
    "neusight-dense": read_neusight_dense,
}


def read(source: Source) -> Run:
    """Fetch an upstream file and read it as a run.

    Raises
    ------
    AlphaflopsError
        If the file cannot be had, or its content is not what it should be.
    """
    return _READERS[source.reader](source, fetch(source))
