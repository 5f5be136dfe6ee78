"""Times of operators and networks that came along with a stranger's run, checked by what the book does with them."""

import functools
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import AlphaflopsError
from ..fitting import Calibration, calibrate
from ..network import Network
from ..runs import exact_floats
from ..runs.schema import checked_table
from .api import report_on
from .comparison import parts, traced
from .measuring import distinct_layers
from .operators import OperatorTable, read_operators
from .predict import Predictor

if TYPE_CHECKING:
    import pandas as pd

    from ..runs import Run

COLUMNS: Final = (
    *("network", "part", "what", "module", "layer", "uses"),
    *("latency_ms", "latency_low_ms", "latency_high_ms", "latency_n", "status", "turn_ms"),
)
"""Columns of a table of networks, as ``alphaflops measure-networks`` writes it."""

WHAT: Final = {"network", "layer", "training"}

LAYERS: Final = 1024
"""Most random layers of an operator table: the correction compares each with each."""

TIMES_MS: Final = (1e-4, 3.6e6)
"""Shortest and longest believable call: 100 ns and one hour (ms)."""

RATIO: Final = 10.0
"""How far a whole network may be from its prediction, as a factor, either way."""


@functools.cache
def book() -> dict[str, Network]:
    """Give the traced networks of the book, traced once."""
    return traced()


def check(run: "Run", operators: bytes, networks: bytes, most_flops: float) -> None:
    """Refuse times of operators and networks that the book could not show or that cannot be.

    Parameters
    ----------
    run : Run
        The run that they came with.
    operators, networks : bytes
        As `alphaflops measure-networks` writes them: JSON and CSV.
    most_flops : float
        Floating-point operations per second that the machine cannot exceed.

    Raises
    ------
    AlphaflopsError
        If one of them is damaged, belongs to another run, lacks a layer of a network, or is beyond a physical limit.
    """
    try:
        with np.errstate(all="ignore"):
            table, rows = _table(run, operators), _rows(networks)
            calibration = calibrate(run, "best", draws=2)
            for name, own in rows.groupby("network", sort=False):
                _compare(str(name), own, calibration, table, most_flops)
    except AlphaflopsError:
        raise
    except Exception as error:  # what is damaged can fail at any step
        raise AlphaflopsError(f"times of networks of {run.id!r} cannot be read: {type(error).__name__}") from error


def _table(run: "Run", data: bytes) -> OperatorTable:
    import pandas as pd

    with tempfile.TemporaryDirectory(prefix="alphaflops-") as scratch:
        path = Path(scratch) / "operators.json"
        path.write_bytes(data)
        try:
            table = read_operators(path)
        except AlphaflopsError as error:
            raise AlphaflopsError(str(error).replace(f"{scratch}/", "")) from error
    if table.run["rho_from"]["run_sha256"] != run.sha256:
        raise AlphaflopsError(f"operators.json belongs to another run than {run.id!r}: measure networks for this one")
    if not 0 <= table.run["rho"] <= 1 or len(table.layers["ms"]) > LAYERS:
        raise AlphaflopsError(f"operators.json has a rho beyond 0 to 1, or more than {LAYERS} layers")
    checked_table(pd.DataFrame(table.layers).rename(columns={"ms": "latency_ms"}), "operators.json, layers")
    return table


def _rows(data: bytes) -> "pd.DataFrame":
    import pandas as pd

    rows: pd.DataFrame = pd.read_csv(io.BytesIO(data), **exact_floats())
    if tuple(rows.columns) != COLUMNS or rows.empty:
        raise AlphaflopsError(f"networks.csv has columns {list(rows.columns)[:20]}: expected {', '.join(COLUMNS)}")
    for name in rows["network"].unique():
        if name not in book():
            raise AlphaflopsError(f"networks.csv: network {str(name)[:80]!r} is unknown: expected {', '.join(book())}")
    alone = rows["what"] == "layer"
    times: Any = np.concatenate([rows["latency_ms"], rows["turn_ms"][alone]]).astype(np.float64)
    if not set(rows["what"]) <= WHAT or not ((times >= TIMES_MS[0]) & (times <= TIMES_MS[1])).all():
        raise AlphaflopsError(f"networks.csv: a row is no {', '.join(sorted(WHAT))}, or its time not in {TIMES_MS} ms")
    return rows


def _compare(name: str, own: "pd.DataFrame", calibration: Calibration, table: OperatorTable, most_flops: float) -> None:
    network = book()[name]
    whole = own.loc[own["what"] == "network", "latency_ms"]
    if whole.empty:
        raise AlphaflopsError(f"networks.csv: {name} has no row of the whole network")
    alone = own[own["what"] == "layer"]
    fastest = alone.groupby("layer")[["latency_ms", "turn_ms"]].min().min(axis=1)
    for layer in distinct_layers(network):
        if 2 * layer.valid_macs > most_flops * fastest[repr(layer)] / 1e3:
            raise AlphaflopsError(f"networks.csv: {name}, {layer!r} in {fastest[repr(layer)]:g} ms is impossible")
    totals, time = report_on(network, calibration, table).total(), float(whole.median())
    found = parts(network, alone, Predictor(calibration, table), totals["predicted_ms"], time)
    ratio = totals["predicted_ms"] / time
    if not all(np.isfinite(value) for value in found.values() if isinstance(value, float)):
        raise AlphaflopsError(f"networks.csv: the times of {name} give no finite comparison")
    if not 1 / RATIO <= ratio <= RATIO or 2 * totals["macs"] > most_flops * whole.min() / 1e3:
        raise AlphaflopsError(f"networks.csv: {name} in {time:g} ms is {ratio:.3g} times predicted, or impossible")
