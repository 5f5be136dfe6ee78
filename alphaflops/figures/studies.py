"""Tables of the study chapters as MyST text: calibrations, scores, forms, limits, claims."""

from typing import TYPE_CHECKING, Any

from ..costs import ANALYTIC, BEST, BOOSTING, FORMS
from ..study.conclusions import signed
from ..study.findings import number
from ..study.limits import PEAKS
from .scores import MODEL_LABELS, set_label
from .tables import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

SHOWN_FIRST = 8
"""Rows of a long list that a page shows."""


def parameters_table(frame: "pd.DataFrame", machines: "Mapping[str, str]") -> str:
    """Write fitted numbers with their 90 % intervals, a column per machine.

    Parameters
    ----------
    frame : DataFrame
        ``run, parameter, value, low, high, unit, meaning``, as given by `alphaflops.study.scores.of`.
    machines : mapping
        Name of each run's machine.
    """
    import pandas as pd

    rows = []
    for name, part in frame.groupby("parameter", sort=False):
        unit = part["unit"].iloc[0]
        row = {"number": f"{name} ({unit})" if unit else str(name), "meaning": part["meaning"].iloc[0]}
        for entry in part.to_dict("records"):
            interval = f"[{number(entry['low'])}, {number(entry['high'])}]"
            row[machines[entry["run"]]] = f"{number(entry['value'])} {interval}"
        rows.append(row)
    caption = (
        "Fitted numbers with 90 % bootstrap intervals. An interval as wide as the bounds means that these layers do "
        "not determine the number."
    )
    return table(pd.DataFrame(rows), caption, "tab-parameters", wide=True)


VALIDATIONS = {"in sample": "in sample", "random": "five random folds", "figure": "leaving one figure out"}
"""Ways of validation with the words for them."""
MEASURES = {
    "mape_pct": "mean error (%)",
    "median_ape_pct": "median error (%)",
    "within_10_pct": "within 10 % (%)",
    "within_20_pct": "within 20 % (%)",
    "spearman": "rank correlation",
}
"""Measures of a score with their names and units."""
BESIDE = ("macs", "macs+t0", "roofline+t0", "alpha", BEST.name, BOOSTING)
"""Models whose other measures are shown: the project's own, its references, α-FLOPs and the ceiling."""


def scores_table(scores: "pd.DataFrame", runs: "Sequence[str]", models: "Sequence[str]", name: str) -> str:
    """Write mean errors (%) of some models and data sets, for each way of validation that these data sets have.

    Parameters
    ----------
    scores : DataFrame
        As given by `calibrate.scorecard`.
    runs, models : sequence of str
        Columns and rows.
    name : str
        Label for cross-references.
    """
    import pandas as pd

    ways = [cv for cv in VALIDATIONS if ((scores["cv"] == cv) & scores["run"].isin(runs)).any()]
    rows = []
    for model in models:
        row: dict[str, str] = {"model": MODEL_LABELS.get(model, model)}
        for run in runs:
            own = scores[(scores["run"] == run) & (scores["model"] == model)].set_index("cv")["mape_pct"]
            row[_in_a_line(run)] = " / ".join(_percent(own.get(cv)) for cv in ways)
        rows.append(row)
    caption = f"Mean error (%): {' / '.join(VALIDATIONS[cv] for cv in ways)}."
    return table(pd.DataFrame(rows), caption, name)


def measures_table(scores: "pd.DataFrame") -> str:
    """Write every measure of the models `BESIDE` on held-out layers; `scores` as given by `calibrate.scorecard`."""
    part = scores[(scores["cv"] == "random") & scores["model"].isin(BESIDE)]
    shown = part[["run"]].assign(
        data=part["run"].map(_in_a_line), model=part["model"].map(lambda model: MODEL_LABELS.get(model, model))
    )
    shown = shown.assign(**{words: part[name].map(_percent) for name, words in MEASURES.items()})
    caption = "Measures of held-out predictions: errors, shares of layers predicted within 10 and 20 %, order."
    return table(shown[["data", "model", *MEASURES.values()]], caption, "tab-measures", wide=True)


def _percent(value: Any) -> str:
    return "–" if value is None or value != value else number(float(value), 3)


def forms_table(tried: "pd.DataFrame") -> str:
    """Write every form of the project's formula that was tried, with its fitted numbers and mean errors (%).

    Parameters
    ----------
    tried : DataFrame
        As given by `alphaflops.study.choosing.form_errors`.
    """
    import pandas as pd

    wide = tried.pivot_table("mape_pct", "model", "run", sort=False).astype(float)
    change = (wide - wide.loc[BEST.name]).mean(axis=1)
    rows = []
    for form in sorted(FORMS, key=lambda form: float(change[form.name])):
        title = f"**{form.title}** (chosen)" if form.name == BEST.name else form.title
        about = {"form": title, "numbers": str(len(form.parameters)), "change": signed(float(change[form.name]))}
        rows.append(about | {_in_a_line(run): _percent(wide.loc[form.name, run]) for run in wide.columns})
    caption = (
        "Forms tried: fitted numbers, change of the mean error against the chosen form (percentage points), and mean "
        "error (%) on the layers that the choice looked at."
    )
    return table(pd.DataFrame(rows), caption, "tab-forms", wide=True)


def _in_a_line(run: str) -> str:
    return set_label(run).replace("\n", " ")


def models_table() -> str:
    """Write every formula with its fitted numbers; the project's own is too long for a cell."""
    import pandas as pd

    rows = [
        {
            "name": f"`{m.name}`",
            "formula": "in the next section" if m is BEST else f"${m.equation}$",
            "on figures": MODEL_LABELS.get(m.name, m.name),
            "fitted": ", ".join(p.name for p in m.parameters) or "none",
        }
        for m in ANALYTIC.values()
    ]
    return table(pd.DataFrame(rows), "Formulas of the contest.", "tab-models", wide=True)


def coverage_table(coverage: "pd.DataFrame", machines: "Mapping[str, str]") -> str:
    """Write how many layers of a held-out half the prediction intervals hold."""
    import pandas as pd

    rows = []
    for run, part in coverage.groupby("run", sort=False):
        inside = part["inside_pct"]
        rows.append(
            {
                "data": machines[str(run)],
                "asked (%)": number(part["level_pct"].iloc[0]),
                "held, mean of the splits (%)": number(inside.mean(), 3),
                "each split (%)": ", ".join(number(value, 3) for value in inside),
            }
        )
    return table(pd.DataFrame(rows), "Layers of a held-out half inside their prediction interval.", "tab-coverage")


def beyond_table(found: "pd.DataFrame") -> str:
    """Write the layers that exceed their hardware the most; `found` as given by `limits.beyond`."""
    import pandas as pd

    first = found.head(SHOWN_FIRST)
    rows = [
        {
            "layer": f"{r['height']}×{r['width']}, {r['in_channels']} → {r['out_channels']}, {r['k1']}×{r['k2']}",
            "time (ms)": number(r["time_ms"], 3),
            "TFLOP/s": number(r["tflops"], 3),
            "times the peak": number(r["of_peak"]),
            "GB/s": number(r["gbs"], 3),
            "times the bandwidth": number(r["of_bandwidth"]),
        }
        for r in first.to_dict("records")
    ]
    caption = f"Layers (height × width, channels, kernel) faster than their hardware, {len(first)} of {len(found)}."
    return table(pd.DataFrame(rows), caption, "tab-beyond")


def peaks_table() -> str:
    """Write the data-sheet peaks of the known devices with their source."""
    import pandas as pd

    rows = [
        {"device": name, "TFLOP/s": number(p.tflops, 3), "GB/s": number(p.gbs, 4), "source": p.source}
        for name, p in PEAKS.items()
    ]
    return table(
        pd.DataFrame(rows), "Peaks of the devices: single precision without tensor cores, and memory.", "tab-peaks"
    )


def repeated_table(found: "pd.DataFrame", machine: str) -> str:
    """Write the layers that a run holds more than once; `found` as given by `limits.repeated`."""
    import pandas as pd

    rows = [
        {
            "layer": r["layer"],
            "experiments": r["experiments"].replace("_", " "),
            "times measured": str(r["n"]),
            "fastest (ms)": number(r["fastest_ms"], 3),
            "slowest (ms)": number(r["slowest_ms"], 3),
            "apart (%)": number(r["spread_pct"]),
        }
        for r in found.to_dict("records")
    ]
    caption = f"Layers (height × width, channels, kernel) measured more than once, {machine}."
    return table(pd.DataFrame(rows), caption, "tab-repeated", wide=True)


def constants_table(frame: "pd.DataFrame") -> str:
    """Write errors of constants per machine; `frame` as given by `replication.constants_compared`."""
    shown = frame.assign(median_ape_pct=frame["median_ape_pct"].map(number), factor=frame["factor"].map(number))
    columns = {"machine": "machine", "constants": "constants", "median_ape_pct": "median error (%)", "factor": "factor"}
    caption = "Error of published constants after one factor per machine; the factor is measured over predicted time."
    return table(shown[list(columns)].rename(columns=columns), caption, "tab-constants")


def claims_table(frame: "pd.DataFrame") -> str:
    """Write the claims with their tests and thresholds; `frame` as given by `claims.table`."""
    first = frame.drop_duplicates("claim")
    columns = {"text": "claim", "test": "test", "rule": "thresholds", "by": "claimed by"}
    return table(first[list(columns)].rename(columns=columns), "Claims, tests and thresholds.", "tab-claims", wide=True)


def verdicts_table(frame: "pd.DataFrame") -> str:
    """Write the verdict and the value of every claim on every run; `frame` as given by `claims.table`."""
    shown = frame.assign(outcome=[_outcome(entry) for entry in frame.to_dict("records")])
    wide = shown.pivot_table("outcome", "text", "run", aggfunc="first", sort=False)
    wide = wide.loc[list(dict.fromkeys(frame["text"])), list(dict.fromkeys(frame["run"]))].rename(columns=_in_a_line)
    return table(
        wide.rename_axis("claim").reset_index(),
        "Verdicts, with the value of each statistic. A dash: not measured.",
        "tab-verdicts",
        wide=True,
    )


def _outcome(entry: "Mapping[Any, Any]") -> str:
    if entry["verdict"] == "not measured":
        return "–"
    return f"**{entry['verdict']}** ({number(entry['value'])}{' %' if entry['unit'] == '%' else ''})"
