"""What the paper and its replication claim: one test, one statistic and two thresholds each.

Thresholds were fixed by reasoning before any result was looked at; each carries its reason. Claims that were added
after the first results were seen say so in their test; they take thresholds that stood before.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..experiments import TABLE_MACS
from ..runs import Run
from . import statistics
from .statistics import ErrorOf

HOLDS, IN_PART, FAILS, NOT_MEASURED = "holds", "holds in part", "fails", "not measured"
PAPER, REPLICATION, BOTH = "paper", "replication", "paper and replication"
AFTER_PAPER = "this project, after the paper"
"""Who asks more of the paper than it claims."""

Reason = Callable[[Run], str | None]


@dataclass(frozen=True)
class Threshold:
    """From where on a claim holds, or holds in part, and why there.

    Parameters
    ----------
    holds, in_part : float
        The claim holds at or beyond `holds`, in part at or beyond `in_part`.
    at_least : bool
        Whether beyond means above.
    reason : str
        One or two sentences.
    """

    holds: float
    in_part: float
    at_least: bool
    reason: str

    def verdict(self, value: float) -> str:
        """Turn a value of the statistic into a verdict."""
        if not math.isfinite(value):
            return NOT_MEASURED
        beyond = operator.ge if self.at_least else operator.le
        return HOLDS if beyond(value, self.holds) else IN_PART if beyond(value, self.in_part) else FAILS


ORDER = Threshold(10, 5, True, "Random order would put half of all pairs the wrong way round. One in ten is too many "
    "for a measure that is used to rank layers; one in twenty is a nuisance.")  # fmt: skip
SPREAD = Threshold(2, 1.5, True, "Twice the time for the same FLOPs is what no user would shrug off, half as much "
    "again is well beyond the few percent by which repeated measurements differ.")  # fmt: skip
FLAT = Threshold(1.5, 2, False, "The two numbers of what is not flat, turned round.")
FLATTER = Threshold(0.5, 0.8, False, "Half the spread is a clear difference, a fifth less a small one.")
SLOPE = Threshold(0.25, 0.1, True, "An exponent of a quarter means that a kernel ten times as wide makes every FLOP "
    "1.8 times as dear; at a tenth it is 1.26 times.")  # fmt: skip
AREA = Threshold(0.125, 0.05, True, "Half the exponents asked of the kernel's side, since area is its square: the same "
    "1.8 and 1.26 times for a kernel ten times as wide.")  # fmt: skip
BETTER = Threshold(0.75, 0.95, False, "α-FLOPs have four more constants than FLOPs. They should earn them by a quarter "
    "less error; a twentieth is about what another draw of folds changes.")  # fmt: skip
UNDER = Threshold(200 / 3, 60, True, "An unbiased formula is too low for half of the layers. Two thirds is twice as "
    "often too low as too high; among several hundred layers chance alone does not reach three fifths.")  # fmt: skip
JUMPING = Threshold(66, 33, True, "Two lines in three make a rule, one in three an occasional effect.")


@dataclass(frozen=True)
class Claim:
    """One claim and its test.

    Parameters
    ----------
    id, label, by, text : str
        Slug, a few words for figures, who claims it, and the claim in one sentence.
    test, statistic, unit : str
        What is computed in words, its short name, and its unit ("" for a pure number).
    threshold : Threshold
        What the statistic is held against.
    value : callable
        ``(run, error_of, authors) -> float``, NaN or the reason where the run cannot tell; ``authors`` may be None.
    needs : tuple of callable
        Each gives the reason why a run cannot tell, or None.
    """

    id: str
    label: str
    by: str
    text: str
    test: str
    statistic: str
    unit: str
    threshold: Threshold
    value: Callable[[Run, ErrorOf, Run | None], float | str]
    needs: tuple[Reason, ...] = ()

    @property
    def rule(self) -> str:
        """Thresholds in words, with the unit."""
        t, unit = self.threshold, self.unit and f" {self.unit}"
        way, up = ("from", " up") if t.at_least else ("up to", "")
        return f"holds {way} {t.holds:.3g}{unit}{up}, in part {way} {t.in_part:.3g}{unit}{up}"


def _gpu(run: Run) -> str | None:
    return None if run.meta["device"] == "cuda" else "the claim is about GPUs"


def _one_core(run: Run) -> str | None:
    single = run.meta["device"] == "cpu" and run.meta["machine"].get("threads") == 1
    return None if single else "the claim is about a single CPU core"


def _parallel(run: Run) -> str | None:
    return "the claim is about parallel hardware" if _one_core(run) is None else None


def _holds(names: tuple[str, ...], what: str) -> Reason:
    return lambda run: None if run.table["experiment"].isin(names).any() else f"the run lacks {what}"


def _folds(run: Run) -> str | None:
    fine = run.meta.get("profile") == "fine"
    return "on a fine grid no fold is held out: neighbours are almost the same" if fine else None


def _flatter(run: Run, _: ErrorOf, authors: Run | None) -> float:
    return statistics.spread(run) / statistics.spread(authors) if authors is not None else math.nan


_FIGURE_1 = _holds(statistics.EQUAL_FLOPS, "the layers of Figure 1")
_FIGURE_2 = _holds((*statistics.CHANNELS_SHRINK, *statistics.INPUT_SHRINKS), "the layers of Figure 2")
_FIGURE_2B = _holds(statistics.INPUT_SHRINKS, "the layers of Figure 2b")
_FINE = _holds(statistics.FINE, "the replication's fine grids (profile fine)")
_SPREAD = "90 % over 10 % quantile of time per FLOP along each line of Figure 2, median over the lines"
_RATIO = "Mean error on five held-out folds, both fitted to the machine in the same way: {} divided by {}"

CLAIMS: Final = (
    Claim("flops-do-not-order-times", "FLOPs misorder layers", BOTH, "FLOPs do not order the times of layers.",
        "Of all pairs of layers that differ clearly in FLOPs and in time, the share where fewer FLOPs take longer",
        "misordered pairs", "%", ORDER, lambda run, *_: statistics.misordered(run)),
    Claim("dense-and-conv-differ", "dense and conv differ", AFTER_PAPER,
        "Dense and convolutional layers of equal FLOPs take different times on a GPU, at most sizes.",
        "Slowest over fastest layer of equal FLOPs in Figure 1, median over the sizes",
        "factor", "", SPREAD, lambda run, *_: statistics.dense_against_conv(run), (_gpu, _FIGURE_1)),
    Claim("table-layers-differ", "layers of Figure 1a differ", PAPER,
        "The layers of 327.68 million FLOPs in Figure 1a take different times on a GPU.",
        "Slowest over fastest of the layers in the table of Figure 1a (added when the median over all sizes was known, "
        "which small layers decide, whose time is a call's overhead)",
        "factor", "", SPREAD, lambda run, *_: statistics.dense_against_conv(run, TABLE_MACS), (_gpu, _FIGURE_1)),
    Claim("not-flat-on-gpu", "equal FLOPs not flat, GPU", PAPER, "Lines of equal FLOPs are not flat on a GPU.",
        _SPREAD, "spread", "", SPREAD, lambda run, *_: statistics.spread(run), (_gpu, _FIGURE_2)),
    Claim("flat-on-cpu", "equal FLOPs flat, one core", PAPER, "Lines of equal FLOPs are flat on a single CPU core.",
        _SPREAD, "spread", "", FLAT, lambda run, *_: statistics.spread(run), (_one_core, _FIGURE_2)),
    Claim("flatter-on-one-core", "flatter on one core", PAPER,
        "Lines of equal FLOPs are flatter on a single CPU core than on the authors' GPU.",
        "Spread of the lines of Figure 2 on this machine divided by their spread in the authors' data",
        "ratio of spreads", "", FLATTER, _flatter, (_one_core, _FIGURE_2)),
    Claim("space-parallelises-better", "space cheaper than kernel", BOTH,
        "Spatial axes parallelise better than kernel axes.",
        "Exponent with which time per FLOP grows with the kernel's side as positions shrink (Figure 2b, side above 1)",
        "exponent", "", SLOPE, lambda run, *_: statistics.kernel_slope(run), (_parallel, _FIGURE_2B)),
    Claim("space-discounted-kernel-not", "space discounted, kernel not", AFTER_PAPER,
        "On any layers, time grows more slowly with positions than with the kernel's area.",
        "Exponent of the kernel's area minus exponent of positions in t = t₀ + bytes/b + c·S^s·K^k·Cin^i·Cout^o (added "
        "when the exponents of some machines were known)",
        "difference of exponents", "", AREA, lambda run, *_: statistics.kernel_minus_space(run),
        (_parallel, _folds)),
    Claim("alpha-beats-flops", "α-FLOPs beat FLOPs", PAPER, "α-FLOPs predict time better than FLOPs.",
        _RATIO.format("α-FLOPs", "FLOPs"), "ratio of errors", "", BETTER,
        lambda run, error, _: error(run, "alpha") / error(run, "macs"), (_folds,)),
    Claim("alpha-adds-to-t0", "α-FLOPs beat FLOPs, with t₀", AFTER_PAPER,
        "With a constant call overhead on both sides, α-FLOPs still predict better than FLOPs.",
        _RATIO.format("α-FLOPs with a constant", "FLOPs with a constant"), "ratio of errors", "", BETTER,
        lambda run, error, _: error(run, "alpha+t0") / error(run, "macs+t0"), (_folds,)),
    Claim("jumps-on-fine-grids", "jumps on fine grids, GPU", REPLICATION,
        "On fine grids, time jumps on a GPU where FLOPs hardly change.",
        "Share of the lines of experiments D to G with at least three lasting jumps of time, and more than in 19 of 20 "
        "series that have the line's noise and no jump; by calls in a row where they were timed (since single calls of "
        "the first GPU turned out to be too noisy)",
        "lines that jump", "%", JUMPING, lambda run, *_: statistics.jumping_lines(run), (_gpu, _FINE)),
    Claim("alpha-underestimates", "α-FLOPs underestimate", REPLICATION, "α-FLOPs generally underestimate.",
        "Share of layers slower than predicted: by the published formula on the authors' data, elsewhere by α-FLOPs "
        "fitted to pipelined times and judged on single calls",
        "layers slower than predicted", "%", UNDER, lambda run, *_: statistics.underestimated(run)),
)  # fmt: skip
"""The claims, in the order of the page."""
