"""The layers that the paper and its 2026 replication measured, as data, and the profiles that a user can run.

Sources: figures of arXiv 2107.11949; the grids of github.com/asperti/alpha_flops_dataset @ eecef84, data.pickle; and
github.com/enriquebarba97/alpha-flops-replication @ 203010e, replication.py.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial

import pandas as pd

from .errors import AlphaflopsError
from .layers import Conv2d, Dense, Layer

PROFILES = ("smoke", "quick", "paper", "fine")
"""smoke: seconds, quick: minutes, paper: all 721 points of the paper, fine: the replication's dense grids."""


@dataclass(frozen=True, eq=False)
class Line:
    """One curve of a figure: a label, and a swept value with its layer at each point."""

    label: str
    xs: Sequence[int]
    layer: Callable[[int], Layer]

    @cached_property
    def points(self) -> tuple[tuple[int, Layer], ...]:
        """Each value of x with its layer, made when it is asked for: there are ten thousand."""
        return tuple((x, self.layer(x)) for x in self.xs)


@dataclass(frozen=True)
class Experiment:
    """One plot of the paper or of the replication.

    Parameters
    ----------
    name : str
        The plot's name in the authors' data set with its typos mended, or ``replication_A`` to ``replication_G``.
    figure : str
        Figures of the paper that show it, or the replication's letter.
    title, x_label : str
        What is swept, in words, and the axis label with its unit.
    lines : tuple of Line
    log : bool
        Whether the paper's axes, or a span of more than ten, ask for logarithms.
    """

    name: str
    figure: str
    title: str
    x_label: str
    lines: tuple[Line, ...]
    log: bool = False


def _family(
    label: str, members: Iterable[int], xs: Sequence[int], layer: Callable[[int, int], Layer]
) -> tuple[Line, ...]:
    """Give one line per member; `layer` takes the member and x, `label` shows the member in place of ``{0}``."""
    return tuple(Line(label.format(n), xs, partial(layer, n)) for n in members)


SIZES = (400, 500, 800, 1100, 1600, 2200, 3200, 4500, 6400, 9000, 12800)
STEPS = (10, *range(20, 641, 20))
KERNELS_OVER_SIZE = (*range(1, 20), 21, 22, 24, 26, 28)

PAPER = (
    Experiment("conv_fixed_progressive", "1, 3",
        "Dense and convolutional layers of equal FLOPs", "width s of the dense layer (neurons)", (
            Line("dense", SIZES, lambda s: Dense(s, s)),
            Line("conv 1×2", SIZES, lambda s: Conv2d(1, 2, s, s // 2)),
            Line("conv 2×2, s → s/4", SIZES, lambda s: Conv2d(2, 2, s, s // 4)),
            Line("conv 2×2, s/2 → s/2", SIZES, lambda s: Conv2d(2, 2, s // 2, s // 2)),
            Line("conv 4×4", SIZES, lambda s: Conv2d(4, 4, s // 4, s // 4)),
        ), log=True),
    Experiment("conv_K_vs_C", "2a, 2c, 4a", "The kernel grows, the channels shrink, FLOPs stay",
        "kernel side K (pixels)",
        _family("C·K = {0}", (1500, 2100, 3000, 4500), range(1, 29), lambda ck, k: Conv2d(10, 10, ck // k, ck // k, k)),
        log=True),
    Experiment("conv_K_vs_S", "2b, 2d, 4b", "The kernel grows, the input shrinks, FLOPs stay",
        "kernel side K (pixels)",
        _family("C = {0}", (50, 70, 100, 150), KERNELS_OVER_SIZE, lambda c, k: Conv2d(300 // k, 300 // k, c, c, k)),
        log=True),
    Experiment("increasing_W", "5", "The input gets wider", "width W (pixels)",
        _family("Cin = {0}", (50, 100, 150), STEPS, lambda c, w: Conv2d(100, w, c, 100, 3))),
    Experiment("increasing_Cout", "5", "More output channels, 3×3 kernel", "output channels (number)",
        _family("Cin = {0}", (50, 100, 150), STEPS, lambda c, n: Conv2d(100, 100, c, n, 3))),
    Experiment("increasing_Cout_with_K1", "5", "More output channels, 1×1 kernel", "output channels (number)",
        _family("input 300×{0}", (100, 200, 300), STEPS, lambda w, n: Conv2d(300, w, 50, n))),
    Experiment("increasing_Cin", "5", "More input channels", "input channels (number)",
        _family("K = {0}", (1, 3, 5), range(100, 1001, 100), lambda k, c: Conv2d(10, 10, c, 1000, k))),
    Experiment("increasing_batch", "6", "Dense layers with a growing batch", "batch (vectors per call)", (
            *_family("{0}×{0}", (6400, 9050, 11085), (1, *range(2, 65, 2)), lambda n, b: Dense(n, n, b)),
            Line("12800×12800", range(1, 64, 2), lambda b: Dense(12800, 12800, b)),
        )),
)  # fmt: skip
"""The paper's plots: 29 lines, 721 points."""

SCALES = tuple(2**i for i in range(9))
biased = partial(Conv2d, bias=True)

REPLICATION = (
    Experiment("replication_A", "A", "Convolutional layers of equal FLOPs", "scale (multiple of 100 channels)", (
            Line("1×2", SCALES, lambda s: biased(1, 2, 100 * s, 50 * s)),
            Line("2×2", SCALES, lambda s: biased(2, 2, 50 * s, 50 * s)),
            Line("4×4", SCALES, lambda s: biased(4, 4, 25 * s, 25 * s)),
        ), log=True),
    Experiment("replication_B", "B", "The kernel grows, the input shrinks", "kernel side K (pixels)",
        _family("C = {0}", (50, 70, 100, 150), range(1, 31),
                lambda c, k: biased(round(300 / k), round(300 / k), c, c, k)),
        log=True),
    Experiment("replication_C", "C", "The kernel grows, the channels shrink", "kernel side K (pixels)",
        _family("C·K = {0}", (1500, 2100, 3000, 4500), range(1, 31),
                lambda ck, k: biased(10, 10, round(ck / k), round(ck / k), k)),
        log=True),
    Experiment("replication_D", "D", "The input gets wider, one column at a time", "width W (pixels)",
        _family("Cin = {0}", (50, 100, 150), range(1, 650), lambda c, w: biased(100, w, c, 100, 3))),
    Experiment("replication_E", "E", "Output channels one by one, 3×3 kernel", "output channels (number)",
        _family("Cin = {0}", (50, 100, 150), range(1, 650), lambda c, n: biased(100, 100, c, n, 3))),
    Experiment("replication_F", "F", "Output channels one by one, 1×1 kernel", "output channels (number)",
        _family("H = {0}", (100, 200, 300), range(1, 650), lambda h, n: biased(h, 100, 50, n))),
    Experiment("replication_G", "G", "Input channels one by one", "input channels (number)",
        _family("K = {0}", (1, 3, 5), range(1, 1000), lambda k, c: biased(10, 10, c, 1000, k))),
)  # fmt: skip
"""The replication's experiments A to G, with the bias that its layers carry: 25 lines, 9105 points."""

BY_NAME = {experiment.name: experiment for experiment in (*PAPER, *REPLICATION)}

TABLE_MACS = 163_840_000
"""Size of the layers in the table of the paper's Figure 1a (MAC): 327.68 million FLOPs."""
QUICK_POINTS, SMOKE_POINTS = 6, 2


@cache
def _thinned(line: Line, profile: str) -> tuple[tuple[int, Layer], ...]:
    points, last = line.points, len(line.points) - 1
    if profile == "smoke":  # the cheapest layers, so that a check of the whole chain takes seconds
        return tuple(sorted(points, key=lambda point: point[1].macs)[:SMOKE_POINTS])
    if profile == "quick":  # evenly spread, both ends kept
        return tuple(points[at] for at in sorted({round(i * last / (QUICK_POINTS - 1)) for i in range(QUICK_POINTS)}))
    return points


def _named(what: str) -> tuple[Experiment, ...]:
    figures = [(e, e.figure.split(", ")) for e in BY_NAME.values()]
    found = tuple(e for e, own in figures if what in (e.name, *own, *(figure.rstrip("abcd") for figure in own)))
    if not found:
        known = ", ".join((*sorted({figure for _, own in figures for figure in own}), *PROFILES))
        raise AlphaflopsError(f"figure or profile {what!r} is unknown: choose one of {known}")
    return found


def grid(what: str = "paper", profile: str | None = None) -> pd.DataFrame:
    """Give the layers of a figure or of a whole profile as a table.

    Parameters
    ----------
    what : str
        A figure of the paper (``"1"`` to ``"6"``, ``"2a"``), a letter of the replication (``"A"`` to ``"G"``), the name
        of an experiment, or one of `PROFILES` for everything that it measures.
    profile : str, optional
        Which points of each line, one of `PROFILES`; by default those of `what` where that is a profile, else all, as
        with ``"paper"`` and ``"fine"``.

    Returns
    -------
    DataFrame
        One row per point: `row, experiment, figure, line, x` and the layer's columns.

    Raises
    ------
    AlphaflopsError
        If there is no such figure, experiment or profile.

    Examples
    --------
    >>> len(grid("2a")), len(grid("2a", "smoke")), len(grid("paper")), len(grid("paper", "smoke"))
    (112, 8, 721, 58)
    """
    if profile not in (None, *PROFILES):
        raise AlphaflopsError(f"profile {profile!r} is unknown: choose one of {', '.join(PROFILES)}")
    whole = {**dict.fromkeys(PROFILES, PAPER), "fine": REPLICATION}
    points = profile or (what if what in whole else "paper")
    rows = [
        {"experiment": e.name, "figure": e.figure, "line": line.label, "x": x} | layer.row()
        for e in whole.get(what) or _named(what)
        for line in e.lines
        for x, layer in _thinned(line, points)
    ]
    found = pd.DataFrame(rows).rename_axis("row").reset_index()
    found.attrs["profile"] = points
    return found


def find(name: str) -> Experiment:
    """Give one experiment of the paper or the replication by name.

    Raises
    ------
    AlphaflopsError
        If there is none of that name.
    """
    if name not in BY_NAME:
        raise AlphaflopsError(f"experiment {name!r} is unknown: choose one of {', '.join(BY_NAME)}")
    return BY_NAME[name]
