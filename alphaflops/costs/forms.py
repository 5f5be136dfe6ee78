"""The project's own formula, and the forms that were tried on the way: what each of its parts is worth."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from .best import Structure, make
from .features import Features
from .model import Array, CostModel, Parameter

FIXED: Final = {
    "c": 1.0, "ck": 4.0, "k0": 20.0, "kc": 8.0, "v": 0.3, "w": 0.35, "s": 20.0, "m": 64.0, "u": 9000.0, "l": 500.0,
}  # fmt: skip
"""Constants of every machine, with the shapes of tiles in `Structure` all that is fixed."""
CHOSEN: Final = Structure(FIXED)
BEST: Final[CostModel] = make("best", "tiles, bytes and a call overhead", CHOSEN)


def _smooth_ms(f: Features, values: Sequence[float]) -> Array:
    t0, b, p, a, g, c = values
    return t0 + f.bytes_moved / b / 1e6 + f.macs / p / 1e6 * (1 + (a / f.rows) ** g) * (1 + c / f.columns)


SMOOTH: Final = CostModel(
    "smooth",
    "a roofline that slows down for few rows and few columns",
    r"t = t_0 + \mathrm{bytes}/b + \frac{\mathrm{MACs}}{p}\left(1 + (a/M)^g\right)\left(1 + c/N\right)",
    (
        Parameter("t0", "ms", 1e-5, 10.0, 0.05, "time of a call that does nothing"),
        Parameter("b", "GB/s", 0.5, 2e4, 100.0, "bandwidth"),
        Parameter("p", "GMAC/s", 1.0, 1e6, 1e3, "multiply-accumulates per second"),
        Parameter("a", "", 0.01, 1e5, 100.0, "rows at which speed halves"),
        Parameter("g", "", 0.1, 1.5, 1.0, "how steeply few rows slow down"),
        Parameter("c", "", 0.01, 1e4, 10.0, "columns at which speed halves"),
    ),
    _smooth_ms,
)


def _with(name: str, title: str, structure: Structure = CHOSEN, **fixed: float) -> CostModel:
    return make(f"best/{name}", title, replace(structure, fixed={**structure.fixed, **fixed}))


FORMS: Final[tuple[CostModel, ...]] = (
    SMOOTH,
    BEST,
    _with("no-winograd", "3×3 kernels always direct", replace(CHOSEN, winograd=False, fused=False)),
    _with("no-fused", "no fused Winograd kernel", replace(CHOSEN, fused=False)),
    _with("only-fused", "no Winograd kernel with separate transforms", replace(CHOSEN, winograd=False)),
    _with("slow-winograd", "Winograd at half the chosen speed", w=0.175),
    _with("fast-winograd", "Winograd at twice the chosen speed", w=0.7),
    _with("hidden-transforms", "Winograd's traffic all beside its products", replace(CHOSEN, transforms=0.0)),
    _with("added-transforms", "Winograd's traffic all added to its products", replace(CHOSEN, transforms=1.0)),
    _with("no-relayout", "weights of larger kernels cost their reading alone", bw=2e4),
    _with("even-relayout", "weights laid out anew at one rate", replace(CHOSEN, relayout=False)),
    _with("no-new-buffers", "large buffers cost no more than small ones", f=2e4),
    _with("early-buffers", "buffers of 32 MB are half new", m=32.0),
    _with("late-buffers", "buffers of 128 MB are half new", m=128.0),
    _with("steady", "long layers as fast as short ones", l=1e12),
    _with("early-clock", "a clock that falls after half the chosen time", l=250.0),
    _with("late-clock", "a clock that falls after twice the chosen time", l=1000.0),
    _with("added-overhead", "call overhead always added", q=1.0),
    _with("no-skipping", "padding's products all computed", v=0.0),
    _with("full-skipping", "padding's products all skipped", v=1.0),
    _with("one-speed", "larger kernels as fast as 1×1", d=1.0),
    _with("always-full", "few tiles cost no more than their share", P=0.0),
    _with("no-edges", "tiles without edge cost", c=0.0, ck=0.0),
    _with("no-start", "tiles without start", k0=0.0, kc=0.0),
    _with("added-start", "a tile's start added to its depth", replace(CHOSEN, start=1.0), k0=40.0, kc=20.0),
    _with("no-cache", "small layers fetch all their bytes", s=0.0),
    _with("traffic-added", "activation traffic added to arithmetic", replace(CHOSEN, overlap=1.0)),
    _with("one-tile", "one tile shape, 128 × 128", replace(CHOSEN, large_heights=(128,), widths=(128,))),
    _with("narrow-tiles", "tiles of 16 columns too", replace(CHOSEN, widths=(16, 32, 64, 128))),
    _with("padded-vectors", "dense layers in tiles of 32 rows at least", replace(CHOSEN, dense_heights=(32, 64, 128))),
    make("best/all-free", "every number fitted, beyond the limit of eight", replace(CHOSEN, fixed={})),
)
"""The chosen form, what it replaced, and one change at a time; scored together in the study of forms."""
