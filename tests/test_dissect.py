"""Dissecting FLOPs: planted exponents are found, what layers cannot show is not told."""

import numpy as np
import pandas as pd
import pytest

from alphaflops import AlphaflopsError
from alphaflops.fitting.dissect import dissect
from alphaflops.layers import Conv2d, as_table, bytes_moved, output_size
from alphaflops.runs import Run, datasets


def layers(n: int = 400, kernels=(1, 3, 5), groups=(1, 1, 2)) -> pd.DataFrame:
    """Random convolutions of every size."""
    rng = np.random.default_rng(0)
    specs = [
        Conv2d(int(h), int(h), int(8 * cin), int(8 * cout), int(k), int(b), groups=int(g))
        for h, cin, cout, k, b, g in zip(
            rng.integers(7, 100, n),
            2 ** rng.integers(1, 7, n),
            2 ** rng.integers(1, 7, n),
            rng.choice(kernels, n),
            2 ** rng.integers(0, 6, n),
            rng.choice(groups, n),
            strict=True,
        )
    ]
    return pd.DataFrame(as_table(specs))


def planted(table: pd.DataFrame, space=0.8, kernel=1.2, cin=0.9, cout=1.1, groups=0.7, noise=0.05) -> np.ndarray:
    """Times of a machine with a call overhead of 10 µs, 200 GB/s, and the given exponents."""
    h, w = output_size(table)
    work = (table["batch"] * h * w) ** space * (table["k1"] * table["k2"]) ** kernel * table["groups"] ** -groups
    work *= table["in_channels"] ** cin * table["out_channels"] ** cout
    exact = 0.01 + bytes_moved(table) / 200e6 + 3e-8 * work
    return exact * np.exp(noise * np.random.default_rng(1).standard_normal(len(table)))


def test_planted_exponents_are_found(meta):
    table = layers()
    found = {e.dimension: e for e in dissect(Run(meta, table.assign(latency_ms=planted(table))))}
    wanted = {"S": 0.8, "K": 1.2, "Cin": 0.9, "Cout": 1.1, "groups": 0.7, "batch": 0.8}
    for name, value in wanted.items():
        assert found[name].value == pytest.approx(value, abs=0.03)
        assert found[name].low < found[name].value < found[name].high < found[name].low + 0.1
    assert sum(found[name].low < value < found[name].high for name, value in wanted.items()) >= 5  # of 90 % intervals


def test_repeated_layers_count_once_in_the_intervals(meta):
    table = layers(80)
    once = dissect(Run(meta, table.assign(latency_ms=planted(table, noise=0.2))))
    often = pd.concat([table.assign(latency_ms=planted(table, noise=0.2))] * 10, ignore_index=True)
    width = [e.high - e.low for e in (once[0], dissect(Run(meta, often))[0])]
    assert width[1] == pytest.approx(width[0], rel=0.5)


def test_what_layers_cannot_show_has_a_reason(meta):
    table = layers(kernels=(3,), groups=(1,))
    table["out_channels"] = table["in_channels"]
    found = {e.dimension: e for e in dissect(Run(meta, table.assign(latency_ms=planted(table))), draws=5)}
    assert found["K"].reason == "one value only: 9"
    assert found["groups"].reason == "one value only: 1"
    assert {found["Cin"].reason, found["Cout"].reason} == {"it moves with the others"}
    assert np.isnan(found["K"].value)
    assert found["S"].reason == ""
    with pytest.raises(AlphaflopsError, match="has 20 different layers: dissecting it needs 50"):
        dissect(Run(meta, table[:20].assign(latency_ms=1.0)))


@pytest.mark.parametrize(
    ("name", "space", "kernel"),
    [
        ("paper-t2000", 0.8, 1.4),
        ("miopen-mi210", 0.9, 1.1),
        ("miopen-rx6800xt", 0.49, 0.6),
        ("cpu-1core", 1.08, 0.99),
        ("h100", 0.81, 1.61),
    ],
)
def test_known_machines(name, space, kernel):
    if not datasets.available(name):
        pytest.skip(f"{name} is neither in a mirror nor downloaded")
    found = dissect(datasets.load(name), draws=20)
    assert [e.value for e in found[:2]] == pytest.approx([space, kernel], abs=0.04)
