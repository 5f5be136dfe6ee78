"""Predicted against measured time of the book's networks, and what each difference is made of."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..errors import AlphaflopsError
from ..layers import COLUMNS, from_row
from ..paths import data_folder
from .estimating import find_calibration, report_on
from .operators import FITS, operators_folder, read_operators
from .predict import Predictor
from .timing import distinct_layers
from .zoo import NETWORKS

if TYPE_CHECKING:
    import pandas as pd

    from ..network import Network

MEASURES: Final = {
    "params": "parameters",
    "macs": "MACs",
    "alpha_flops": "α-FLOPs",
    "bytes": "bytes",
    "predicted_ms": "predicted time",
}
"""Columns that are ranked against measured time, and their names in prose."""


def measured_networks() -> list[str]:
    """List the runs for whose machine operators and whole networks were measured too, by run id."""
    operators = {path.stem for path in operators_folder().glob("*.json") if not path.name.endswith(FITS)}
    return sorted(path.stem for path in (data_folder() / "networks").glob("*.csv") if path.stem in operators)


def measured(run: str) -> "pd.DataFrame":
    """Read the times of networks and of their layers on the machine of a run, as `measure_network` gives them.

    Raises
    ------
    AlphaflopsError
        If no networks were measured for that run.
    """
    import pandas as pd

    if run not in measured_networks():
        here = ", ".join(measured_networks()) or f"none; `alphaflops measure --networks {run}` makes them"
        raise AlphaflopsError(f"no networks were measured for run {run!r}: choose from {here}")
    return pd.read_csv(data_folder() / "networks" / f"{run}.csv")


def traced() -> "dict[str, Network]":
    """Trace the forward pass of the networks of the book on the meta device."""
    import torch

    from ..network import trace

    with torch.device("meta"):
        return {name: trace(make().eval(), shape) for name, (make, shape) in NETWORKS.items()}


def comparison(networks: "dict[str, Network]", runs: Sequence[str]) -> "pd.DataFrame":
    """Predict every network that was measured on the machine of a run, and put the measured time beside it.

    Parameters
    ----------
    networks : dict of str to Network
        Traced networks by name.
    runs : sequence of str
        Runs with measured networks.

    Returns
    -------
    DataFrame
        ``run, network``, the totals of a report, ``measured_ms`` (median of the parts) and the parts of `parts`.
    """
    import pandas as pd

    rows = []
    for run in runs:
        calibration, operators = find_calibration(run), read_operators(operators_folder() / f"{run}.json")
        times = measured(run)
        for name, network in networks.items():
            own = times[times["network"] == name].groupby("what")
            if "network" in own.groups:
                time = float(own.get_group("network")["latency_ms"].median())
                totals = report_on(network, calibration, operators).total()
                del totals["unknown"]  # a list is no entry of a table
                predictor = Predictor(calibration, operators)
                split = parts(network, own.get_group("layer"), predictor, totals["predicted_ms"], time)
                rows.append({"run": run, "network": name, **totals, "measured_ms": time, **split})
    return pd.DataFrame(rows)


def parts(
    network: "Network", alone: "pd.DataFrame", predictor: Predictor, predicted_ms: float, measured_ms: float
) -> dict[str, float]:
    """Split the time of a network, predicted and measured, into its layers as they are alone, and the rest.

    Parameters
    ----------
    network : Network
        The traced network.
    alone : DataFrame
        Measured layers: columns of `alphaflops.layers.COLUMNS`, ``uses, latency_ms, turn_ms``.
    predictor : Predictor
        What predicts the layers.
    predicted_ms, measured_ms : float
        Of the whole network (ms).

    Returns
    -------
    dict
        ``layers_ms, turns_ms, alone_ms``: sum of the layers as predicted, as measured in turns, and as measured call
        after call; ``rest_ms, remaining_ms``: what the whole takes beyond the layers, predicted and measured (ms).
    """
    layers = [from_row({str(k): v for k, v in row.items()}) for row in alone[list(COLUMNS)].to_dict("records")]
    times = dict(zip(layers, alone["turn_ms"], strict=True))
    uses = {layer: count for layer, (_, count) in distinct_layers(network).items()}
    guesses = predictor.each(list(uses))
    predicted = sum(count * guess.ms for count, guess in zip(uses.values(), guesses, strict=True))
    found = sum(count * times[layer] for layer, count in uses.items())
    return {
        "layers_ms": predicted,
        "turns_ms": found,
        "alone_ms": float((alone["uses"] * alone["latency_ms"]).sum()),
        "rest_ms": predicted_ms - predicted,
        "remaining_ms": measured_ms - found,
    }


def correlations(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Spearman rank correlation of each measure with measured time, one row per measure and one column per run."""
    import pandas as pd

    columns = {
        run: {label: part[name].corr(part["measured_ms"], method="spearman") for name, label in MEASURES.items()}
        for run, part in frame.groupby("run", sort=False)
    }
    return pd.DataFrame(columns)


def counters() -> "pd.DataFrame":
    """Give the stored comparison of counters: ratio to this library's MACs by network and tool."""
    import pandas as pd

    rows = pd.read_csv(data_folder() / "networks" / "counters.csv")
    rows["tool"] = rows["tool"] + " " + rows["version"].fillna("") + " (" + rows["name"] + ")"
    return rows.pivot_table(index="network", columns="tool", values="ratio_to_macs", sort=False)
