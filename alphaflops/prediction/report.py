"""The report on one network: a table per operator, totals, and what a reader must know, in several forms."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .. import style
from ..files import export_csv, mathtext, write_atomic
from ..fitting import Calibration
from ..network import COUNTED, Network, unknown_warning
from ..numbers import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


SHOWN = ("module", "operator", "macs", "flops", "alpha_flops", "bytes", "predicted_ms", "low_ms", "high_ms", "source")


@dataclass(frozen=True)
class Report:
    """What one call of a network costs.

    Parameters
    ----------
    network : Network
        Operators in order.
    table : DataFrame
        One row per operator: ``module, module_type, call, operator, family, phase, macs, flops, bytes, output_shape,
        alpha_flops, predicted_ms, low_ms, high_ms, source, outside, share``; times are NaN without a calibration.
    calibration : str
        Run and model behind the predictions, "" without one.
    notes : tuple of str
        Warnings, the loudest first.
    """

    network: Network
    table: pd.DataFrame
    calibration: str = ""
    notes: tuple[str, ...] = ()

    def total(self) -> dict[str, Any]:
        """Give sums over the network.

        ``params, macs, flops, alpha_flops, bytes, predicted_ms, low_ms, high_ms, uncovered_ms`` (the part that rests on
        bandwidth rather than on the calibrated formula), ``outside_share`` (share of the predicted time in layers
        outside the calibrated region) and ``operators, unknown``. Errors of a formula have most in common, so ends of
        intervals add up like times: the widest interval.
        """
        table, network = self.table, self.network
        times: dict[Any, float] = table[["predicted_ms", "low_ms", "high_ms"]].sum(min_count=1).to_dict()
        times["uncovered_ms"] = float(table.loc[table["family"] != COUNTED, "predicted_ms"].sum())
        times["outside_share"] = float(table.loc[table["outside"], "share"].sum())
        return {
            **{name: getattr(network, name) for name in ("params", "macs", "flops")},
            "alpha_flops": float(table["alpha_flops"].sum()),
            "bytes": int(table["bytes"].sum()),
            **(dict.fromkeys(times, math.nan) if table["predicted_ms"].isna().all() else times),
            "operators": len(table),
            "unknown": list(network.unknown),
        }

    @property
    def total_ms(self) -> float:
        """Predicted time of the whole (ms); NaN without a calibration."""
        return float(self.total()["predicted_ms"])

    def to_pandas(self) -> pd.DataFrame:
        """One row per operator, a copy of `table`."""
        return self.table.copy()

    def by_module(self) -> pd.DataFrame:
        """Sum of MACs, FLOPs, bytes and predicted time per module, in the order of first use."""
        sums = ["macs", "flops", "alpha_flops", "bytes", "predicted_ms"]
        return self.table.groupby(["module", "module_type"], sort=False)[sums].sum(min_count=1).reset_index()

    def to_csv(self, path: Path | str) -> None:
        """Write the table as CSV.

        Raises
        ------
        AlphaflopsError
            If the file cannot be written.
        """
        write_atomic(Path(path), export_csv(self.table))

    def to_json(self) -> dict[str, Any]:
        """Totals, notes and rows as plain values; missing numbers are None."""
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        totals = {k: None if v != v else v for k, v in self.total().items()}
        return {"network": self.network.name, "calibration": self.calibration, "total": totals,
                "notes": list(self.notes), "operators": rows}  # fmt: skip

    def _repr_html_(self) -> str:
        from html import escape

        total = self.total() | {"module": "total"}
        shown = {name: [_text(name, v) for v in [*self.table[name], total.get(name, "")]] for name in SHOWN}
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return pd.DataFrame(shown).to_html(index=False, border=0) + notes

    def __str__(self) -> str:
        """Say the totals in one line."""
        t = self.total()
        known = t["predicted_ms"] == t["predicted_ms"]
        time = f", {t['predicted_ms']:.3g} ms ({t['low_ms']:.3g} to {t['high_ms']:.3g})" if known else ""
        return f"{self.network.name}: {t['macs']:,} MAC, {t['flops']:,} FLOP, {t['params']:,} parameters{time}"

    def __repr__(self) -> str:
        """Say the totals and the notes, a line each."""
        return "\n".join((str(self), *self.notes))

    @style.styled
    def plot(self, largest: int = 15) -> "Figure":
        """Draw where the time goes: predicted ms per module, largest first; MACs where nothing is predicted."""
        import seaborn as sns
        from matplotlib.figure import Figure

        timed = ("predicted_ms", "predicted time (ms)", "ms")
        column, label, unit = timed if self.calibration else ("macs", "MACs", "MACs")
        sums = self.by_module().set_index("module")[column].sort_values(ascending=False)
        shown = sums.head(largest)
        if rest := max(len(sums) - largest, 0):
            shown[f"{rest} others"] = sums.iloc[largest:].sum()
        figure = Figure(figsize=(style.WIDTH_IN, 1.2 + 0.24 * len(shown)), layout="constrained")
        axes = figure.subplots()
        colours = [style.BLUE] * (len(shown) - bool(rest)) + [style.GREY] * bool(rest)
        if len(shown):
            keys = list(shown.index)
            sns.barplot(x=list(shown), y=keys, hue=keys, palette=colours, saturation=1, legend=False, ax=axes)
            labels = [_end(mathtext(key) or "(network)") for key in keys]
            axes.set_yticks(range(len(keys)), labels, fontsize=style.SMALL_PT)
        axes.set(xlabel=label, ylabel="")
        axes.set_title(f"{self.network.name}: {number(sums.sum(), 3)} {unit}", loc="right")
        return figure


def notes_of(report: Report, calibration: Calibration | None) -> tuple[str, ...]:
    """Say what a reader must know about a report, the loudest first."""
    network, table, total = report.network, report.table, report.total()
    warning = unknown_warning(network)
    notes = [f"WARNING: {warning}"] if warning else []
    notes += network.notes
    if calibration is None:
        return tuple(notes)
    untimed = table.loc[table["predicted_ms"].isna() & (table["family"] != "unknown"), "operator"]
    if named := ", ".join(sorted(set(untimed))):
        notes.append(f"the total is a lower bound: no formula of this calibration times {named}")
    if total["outside_share"] > 0:
        notes.append(f"{total['outside_share']:.0%} of the predicted time is in layers outside the calibrated region")
    if total["uncovered_ms"] > 0:
        bound = total["uncovered_ms"] / total["predicted_ms"]
        notes.append(f"{bound:.0%} of the predicted time is a bandwidth-bound estimate")
    used = {one.layer.dtype_bytes for o in network.operations for one in o.layers}
    if strange := sorted(used - set(calibration.region.habits["dtype_bytes"])):
        bits = ", ".join(f"{8 * size}-bit" for size in strange)
        notes.append(f"the calibration has seen no layers of {bits} numbers: their times are a guess")
    return tuple(notes)


def _end(name: str, most: int = 34) -> str:
    """Keep the end of a long name: what comes first is the same for many modules."""
    return name if len(name) <= most else "…" + name[1 - most :].lstrip(".")


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if value != value:
        return "–"
    return f"{value:.3g}" if name.endswith("_ms") else f"{value:,.0f}"
