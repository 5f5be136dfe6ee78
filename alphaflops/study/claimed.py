"""What the paper and its replication claim, as tests with thresholds.

Every claim has one statistic (see `alphaflops.study.evidence`), a direction, and two thresholds that were fixed by
reasoning before any result was looked at:

- *Order.* Random order would put half of all pairs the wrong way round. One wrong comparison in ten is too many for a
  measure that is used to rank layers; one in twenty is a nuisance.
- *Flatness.* Twice the time for the same FLOPs is what no user would shrug off, half as much again is well beyond the
  few percent by which repeated measurements differ. The same two numbers, turned round, define flat.
- *Axes.* An exponent of a quarter means that a kernel ten times as wide makes every FLOP 1.8 times as dear; at a tenth
  it is 1.26 times.
- *Better model.* α-FLOPs have four more constants than FLOPs. They should earn them by a quarter less error; a
  twentieth is about what another draw of folds changes.
- *Bias.* An unbiased formula is too low for half of the layers. Two thirds is twice as often too low as too high; among
  several hundred layers chance alone does not reach three fifths.
- *Jumps.* Two lines in three make a rule, one in three an occasional effect.

One claim was added after the first results were seen, ``table-layers-differ``: the test over all sizes
of Figure 1 is decided by small layers, whose time is a call's overhead, while the paper's table is about one large
size. The first test stays as it was, and the new one has its thresholds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..experiments import TABLE_MACS
from ..fitting import has_folds
from ..runs.upstream import AUTHORS
from . import evidence
from .evidence import ErrorOf

if TYPE_CHECKING:
    from ..runs import Run

MISORDERED_HOLDS, MISORDERED_PART = 10.0, 5.0
SPREAD_HOLDS, SPREAD_PART = 2.0, 1.5
FLAT_HOLDS, FLAT_PART = 1.5, 2.0
FLATTER_HOLDS, FLATTER_PART = 0.5, 0.8
SLOPE_HOLDS, SLOPE_PART = 0.25, 0.1
BETTER_HOLDS, BETTER_PART = 0.75, 0.95
UNDER_HOLDS, UNDER_PART = 200 / 3, 60.0
JUMPING_HOLDS, JUMPING_PART = 66.0, 33.0

HOLDS, IN_PART, FAILS, NOT_MEASURED = "holds", "holds in part", "fails", "not measured"
PAPER, REPLICATION, BOTH = "paper", "replication", "paper and replication"
AFTER_PAPER = "this project, after the paper"
"""Who asks more of the paper than it claims."""

Reason = Callable[["Run"], str | None]


@dataclass(frozen=True)
class Claim:
    """One claim and its test.

    Parameters
    ----------
    id, by, text : str
        Slug, who claims it, and the claim in one sentence.
    test, statistic, unit : str
        What is computed in words, its short name, and its unit ("" for a pure number).
    holds, in_part : float
        Thresholds; the claim holds at or beyond `holds`, in part at or beyond `in_part`.
    at_least : bool
        Whether beyond means above.
    value : callable
        ``(run, error_of, authors) -> float``, NaN where the run cannot tell; ``authors`` is the authors' run or None.
    needs : tuple of callable
        Each gives the reason why a run cannot tell, or None.
    """

    id: str
    by: str
    text: str
    test: str
    statistic: str
    unit: str
    holds: float
    in_part: float
    at_least: bool
    value: Callable[["Run", ErrorOf, "Run | None"], float]
    needs: tuple[Reason, ...] = ()

    def verdict(self, value: float) -> str:
        """Turn a value of the statistic into a verdict."""
        if not math.isfinite(value):
            return NOT_MEASURED
        sign = 1 if self.at_least else -1
        if sign * value >= sign * self.holds:
            return HOLDS
        return IN_PART if sign * value >= sign * self.in_part else FAILS

    @property
    def rule(self) -> str:
        """Thresholds in words, with the unit."""
        unit = f" {self.unit}" if self.unit else ""
        if self.at_least:
            return f"holds from {self.holds:.3g}{unit} up, in part from {self.in_part:.3g}{unit} up"
        return f"holds up to {self.holds:.3g}{unit}, in part up to {self.in_part:.3g}{unit}"


def _gpu(run: "Run") -> str | None:
    return None if run.meta["device"] == "cuda" else "the claim is about GPUs"


def _one_core(run: "Run") -> str | None:
    single = run.meta["device"] == "cpu" and run.meta["machine"].get("threads") == 1
    return None if single else "the claim is about a single CPU core"


def _parallel(run: "Run") -> str | None:
    return "the claim is about parallel hardware" if _one_core(run) is None else None


def _holds(names: tuple[str, ...], what: str) -> Reason:
    def reason(run: "Run") -> str | None:
        return None if run.table["experiment"].isin(names).any() else f"the run lacks {what}"

    return reason


def _both_times(run: "Run") -> str | None:
    known = run.id == AUTHORS or evidence.pipelined_ms(run) is not None
    return None if known else "the run has no pipelined times, or not of every layer"


def _folds(run: "Run") -> str | None:
    return None if has_folds(run) else "on a fine grid no fold is held out: neighbours are almost the same"


def _flatter(run: "Run", _: ErrorOf, authors: "Run | None") -> float:
    return evidence.spread(run) / evidence.spread(authors) if authors is not None else math.nan


_FIGURE_1 = _holds(evidence.EQUAL_FLOPS, "the layers of Figure 1")
_FIGURE_2 = _holds((*evidence.CHANNELS_SHRINK, *evidence.INPUT_SHRINKS), "the layers of Figure 2")
_FIGURE_2B = _holds(evidence.INPUT_SHRINKS, "the layers of Figure 2b")
_FINE = _holds(evidence.FINE, "the replication's fine grids (profile fine)")
_SPREAD = "90 % over 10 % quantile of time per FLOP along each line of Figure 2, median over the lines"
_RATIO = "Mean error on five held-out folds, both fitted to the machine in the same way: {} divided by {}"

CLAIMS: Final = (
    Claim(
        "flops-do-not-order-times",
        BOTH,
        "FLOPs do not order the times of layers.",
        "Of all pairs of layers that differ clearly in FLOPs and in time, the share where fewer FLOPs take longer",
        "misordered pairs",
        "%",
        MISORDERED_HOLDS,
        MISORDERED_PART,
        True,
        lambda run, _, __: evidence.misordered(run),
    ),
    Claim(
        "dense-and-conv-differ",
        AFTER_PAPER,
        "Dense and convolutional layers of equal FLOPs take different times on a GPU, at most sizes.",
        "Slowest over fastest layer of equal FLOPs in Figure 1, median over the sizes",
        "factor",
        "",
        SPREAD_HOLDS,
        SPREAD_PART,
        True,
        lambda run, _, __: evidence.dense_against_conv(run),
        (_gpu, _FIGURE_1),
    ),
    Claim(
        "table-layers-differ",
        PAPER,
        "The layers of 327.68 million FLOPs in Figure 1a take different times on a GPU.",
        "Slowest over fastest of the layers in the table of Figure 1a",
        "factor",
        "",
        SPREAD_HOLDS,
        SPREAD_PART,
        True,
        lambda run, _, __: evidence.dense_against_conv(run, TABLE_MACS),
        (_gpu, _FIGURE_1),
    ),
    Claim(
        "not-flat-on-gpu",
        PAPER,
        "Lines of equal FLOPs are not flat on a GPU.",
        _SPREAD,
        "spread",
        "",
        SPREAD_HOLDS,
        SPREAD_PART,
        True,
        lambda run, _, __: evidence.spread(run),
        (_gpu, _FIGURE_2),
    ),
    Claim(
        "flat-on-cpu",
        PAPER,
        "Lines of equal FLOPs are flat on a single CPU core.",
        _SPREAD,
        "spread",
        "",
        FLAT_HOLDS,
        FLAT_PART,
        False,
        lambda run, _, __: evidence.spread(run),
        (_one_core, _FIGURE_2),
    ),
    Claim(
        "flatter-on-one-core",
        PAPER,
        "Lines of equal FLOPs are flatter on a single CPU core than on the authors' GPU.",
        "Spread of the lines of Figure 2 on this machine divided by their spread in the authors' data",
        "ratio of spreads",
        "",
        FLATTER_HOLDS,
        FLATTER_PART,
        False,
        _flatter,
        (_one_core, _FIGURE_2),
    ),
    Claim(
        "space-parallelises-better",
        BOTH,
        "Spatial axes parallelise better than kernel axes.",
        "Exponent with which time per FLOP grows with the kernel's side as positions shrink (Figure 2b, side above 1)",
        "exponent",
        "",
        SLOPE_HOLDS,
        SLOPE_PART,
        True,
        lambda run, _, __: evidence.kernel_slope(run),
        (_parallel, _FIGURE_2B),
    ),
    Claim(
        "alpha-beats-flops",
        PAPER,
        "α-FLOPs predict time better than FLOPs.",
        _RATIO.format("α-FLOPs", "FLOPs"),
        "ratio of errors",
        "",
        BETTER_HOLDS,
        BETTER_PART,
        False,
        lambda run, error, _: evidence.error_ratio(run, error, "alpha", "macs"),
        (_folds,),
    ),
    Claim(
        "alpha-beats-flops-and-t0",
        AFTER_PAPER,
        "α-FLOPs predict time better than FLOPs and a constant call overhead.",
        _RATIO.format("α-FLOPs", "FLOPs with a constant"),
        "ratio of errors",
        "",
        BETTER_HOLDS,
        BETTER_PART,
        False,
        lambda run, error, _: evidence.error_ratio(run, error, "alpha", "macs+t0"),
        (_folds,),
    ),
    Claim(
        "alpha-adds-to-t0",
        AFTER_PAPER,
        "With a constant call overhead on both sides, α-FLOPs still predict better than FLOPs.",
        _RATIO.format("α-FLOPs with a constant", "FLOPs with a constant"),
        "ratio of errors",
        "",
        BETTER_HOLDS,
        BETTER_PART,
        False,
        lambda run, error, _: evidence.error_ratio(run, error, "alpha+t0", "macs+t0"),
        (_folds,),
    ),
    Claim(
        "jumps-on-fine-grids",
        REPLICATION,
        "On fine grids, time jumps where FLOPs hardly change.",
        "Share of the lines of experiments D to G with at least three lasting jumps of time",
        "lines that jump",
        "%",
        JUMPING_HOLDS,
        JUMPING_PART,
        True,
        lambda run, _, __: evidence.jumping_lines(run),
        (_FINE,),
    ),
    Claim(
        "alpha-underestimates",
        REPLICATION,
        "α-FLOPs generally underestimate.",
        "Share of layers slower than predicted: by the published formula on the authors' data, elsewhere by α-FLOPs "
        "fitted to pipelined times and judged on single calls",
        "layers slower than predicted",
        "%",
        UNDER_HOLDS,
        UNDER_PART,
        True,
        lambda run, _, __: evidence.underestimated(run),
        (_both_times,),
    ),
)
"""The claims, in the order of the page."""
