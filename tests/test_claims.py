"""Claims are judged by their thresholds: made-up machines that must give every verdict."""

import json

import numpy as np
import pytest

from alphaflops import claims, experiments
from alphaflops.claims import FAILS, HOLDS, IN_PART, NOT_MEASURED
from alphaflops.claims import statistics as evidence
from alphaflops.layers import macs
from alphaflops.runs import Run
from alphaflops.runs.datasets import AUTHORS

GRID = experiments.grid("paper")


def machine(meta, times, *, device="cuda", threads=8, table=GRID, **columns):
    """A made-up run; `times` in ms."""
    about = {"name": f"made-up {device}", "threads": threads}
    return Run({**meta, "device": device, "machine": about}, table.assign(latency_ms=np.asarray(times), **columns))


def errors(**of_model):
    """Held-out errors (%) that a test decides."""
    return lambda run, model: of_model[model]


EVEN = errors(**{"alpha": 20.0, "macs": 20.0, "macs+t0": 20.0, "alpha+t0": 20.0})


def verdict(run, claim, *, authors=None, error_of=EVEN):
    found = {v.claim: v for v in claims.judge(run, authors=authors, error_of=error_of)}
    return found[claim]


def proportional(table=GRID, exponent=0.0):
    """Times proportional to MACs, made dearer with the kernel's side to an exponent."""
    return macs(table) / 1e6 * np.asarray(table["k1"], dtype=float) ** exponent


def test_every_claim_is_judged_once_and_completely(meta):
    found = claims.judge(machine(meta, proportional()), error_of=EVEN)
    assert [v.claim for v in found] == [c.id for c in claims.CLAIMS]
    assert len({c.id for c in claims.CLAIMS}) == len(claims.CLAIMS)
    for v in found:
        assert (v.value is None) == (v.verdict == NOT_MEASURED) == bool(v.reason)


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda c: c.id)
def test_thresholds_are_ordered_and_give_each_verdict(claim):
    limit = claim.threshold
    beyond = 1 if limit.at_least else -1
    assert beyond * limit.holds > beyond * limit.in_part
    assert limit.verdict(limit.holds) == HOLDS
    assert limit.verdict(limit.in_part) == IN_PART
    assert limit.verdict((limit.holds + limit.in_part) / 2) == IN_PART
    assert limit.verdict(limit.in_part - beyond * 0.01 * limit.in_part) == FAILS
    assert limit.verdict(float("nan")) == NOT_MEASURED
    assert f"{limit.holds:.3g}" in claim.rule
    assert limit.reason


def test_thresholds_are_those_that_were_fixed_beforehand():
    # one comparison in ten and one in twenty; twice and half as much again; 1.78 and 1.26 for a kernel ten times as
    # wide, by its side and by its area; a quarter and a twentieth less error; two thirds and three fifths; two lines in
    # three and one in three
    order, spread, flat, flatter = (10, 5, True), (2, 1.5, True), (1.5, 2, False), (0.5, 0.8, False)
    better, slope, under, jumping = (0.75, 0.95, False), (0.25, 0.1, True), (200 / 3, 60, True), (66, 33, True)
    limits = {claim.id: claim.threshold for claim in claims.CLAIMS}
    assert {name: (limit.holds, limit.in_part, limit.at_least) for name, limit in limits.items()} == {
        "flops-do-not-order-times": order,
        "dense-and-conv-differ": spread,
        "table-layers-differ": spread,
        "not-flat-on-gpu": spread,
        "flat-on-cpu": flat,
        "flatter-on-one-core": flatter,
        "space-parallelises-better": slope,
        "space-discounted-kernel-not": (0.125, 0.05, True),
        "alpha-beats-flops": better,
        "alpha-adds-to-t0": better,
        "jumps-on-fine-grids": jumping,
        "alpha-underestimates": under,
    }


@pytest.mark.parametrize(("space", "kernel", "expected"), [(1, 1, FAILS), (0.9, 0.98, IN_PART), (0.8, 1.1, HOLDS)])
def test_exponents_of_a_planted_law_are_found_and_judged(make_run, space, kernel, expected):
    def law(table):
        positions = table["batch"] * table["height"] * table["width"]
        product = positions**space * (table["k1"] * table["k2"]) ** kernel * table["in_channels"] ** 0.95
        return 0.05 + 2e-8 * product * table["out_channels"] ** 1.05

    run = make_run("paper", law, device="cuda", machine={"name": "made-up cuda"})
    found = verdict(run, "space-discounted-kernel-not")
    assert found.value == pytest.approx(kernel - space, abs=0.01)
    assert found.verdict == expected
    assert evidence.exponents(run)["Cout"].value == pytest.approx(1.05, abs=0.01)
    only_1x1 = make_run(GRID[GRID["k1"] == 1], law, device="cuda")
    assert "one value only" in verdict(only_1x1, "space-discounted-kernel-not").reason


def test_flops_order_times_where_time_is_proportional(meta):
    assert verdict(machine(meta, proportional()), "flops-do-not-order-times").verdict == FAILS
    assert verdict(machine(meta, 1 / proportional()), "flops-do-not-order-times").value == 100


def test_misordered_pairs_by_hand(meta):
    # MACs 400², 500², 800² of the dense line; times 2, 1, 3: of three pairs one is the wrong way round
    run = machine(meta, [2.0, 1.0, 3.0], table=GRID[:3])
    assert evidence.misordered(run) == pytest.approx(100 / 3)
    assert verdict(run, "flops-do-not-order-times").verdict == HOLDS
    assert np.isnan(evidence.misordered(machine(meta, [1.0, 1.0, 1.0], table=GRID[:3])))


@pytest.mark.parametrize(("exponent", "expected"), [(0.0, FAILS), (0.22, IN_PART), (1.0, HOLDS)])
def test_lines_that_rise_with_the_kernel_are_not_flat(meta, exponent, expected):
    # 10 % and 90 % quantiles of 1…28 are near 3.7 and 25.3: 6.8 ** 0.22 = 1.5, 6.8 ** 1 = 6.8
    run = machine(meta, proportional(exponent=exponent))
    assert verdict(run, "not-flat-on-gpu").verdict == expected


@pytest.mark.parametrize(("exponent", "expected"), [(0.0, FAILS), (0.2, IN_PART), (-0.2, FAILS), (0.5, HOLDS)])
def test_axes_are_told_apart_by_the_exponent(meta, exponent, expected):
    run = machine(meta, proportional(exponent=exponent))
    found = verdict(run, "space-parallelises-better")
    assert found.value == pytest.approx(exponent, abs=1e-9)
    assert found.verdict == expected


@pytest.mark.parametrize(("exponent", "expected"), [(0.0, HOLDS), (0.3, IN_PART), (1.0, FAILS)])
def test_flat_on_one_core(meta, exponent, expected):
    run = machine(meta, proportional(exponent=exponent), device="cpu", threads=1)
    assert verdict(run, "flat-on-cpu").verdict == expected


@pytest.mark.parametrize(("exponent", "expected"), [(0.0, HOLDS), (0.8, IN_PART), (1.0, FAILS)])
def test_flatter_than_the_authors_gpu(meta, exponent, expected):
    authors = machine(meta, proportional(exponent=1.0))
    run = machine(meta, proportional(exponent=exponent), device="cpu", threads=1)
    assert verdict(run, "flatter-on-one-core", authors=authors).verdict == expected
    assert verdict(run, "flatter-on-one-core").verdict == NOT_MEASURED


@pytest.mark.parametrize(("factor", "expected"), [(1.2, FAILS), (1.7, IN_PART), (3.0, HOLDS)])
def test_dense_against_convolution(meta, factor, expected):
    times = proportional() * np.where(GRID["line"] == "conv 4×4", 1.0, factor)
    assert verdict(machine(meta, times), "dense-and-conv-differ").verdict == expected
    large = proportional() * np.where((macs(GRID) == 12800**2) & (GRID["line"] != "conv 4×4"), factor, 1.0)
    assert verdict(machine(meta, large), "table-layers-differ").verdict == expected
    assert verdict(machine(meta, large), "dense-and-conv-differ").verdict == FAILS


@pytest.mark.parametrize(
    ("alpha", "expected"), [(10.0, HOLDS), (15.0, HOLDS), (16.0, IN_PART), (19.0, IN_PART), (20.0, FAILS)]
)
@pytest.mark.parametrize(
    ("claim", "better", "worse"),
    [
        ("alpha-beats-flops", "alpha", "macs"),
        ("alpha-adds-to-t0", "alpha+t0", "macs+t0"),
    ],
)
def test_better_means_a_quarter_less_error(meta, claim, better, worse, alpha, expected):
    known = errors(**{better: alpha, worse: 20.0, **_rest(better, worse)})
    found = verdict(machine(meta, proportional()), claim, error_of=known)
    assert (found.value, found.verdict) == (alpha / 20, expected)


def _rest(*known):
    return {name: 1.0 for name in ("alpha", "macs", "macs+t0", "alpha+t0") if name not in known}


def test_errors_are_measured_on_held_out_layers_of_the_run(meta):
    run = machine(meta, proportional() + 5.0, table=GRID)
    found = {v.claim: v for v in claims.judge(run, error_of=lambda r, m: len(r.table) * (2.0 if m == "macs" else 1.0))}
    assert found["alpha-beats-flops"].value == 0.5


@pytest.mark.parametrize(("overhead", "expected"), [(0.0, FAILS), (1e4, HOLDS)])
def test_underestimation_is_what_an_overhead_does(meta, overhead, expected):
    noise = np.exp(0.05 * np.random.default_rng(0).standard_normal(len(GRID)))
    run = machine(meta, proportional() * noise + overhead, throughput_ms=proportional())
    assert verdict(run, "alpha-underestimates").verdict == expected


def test_underestimation_in_part(meta):
    pipelined = proportional()
    chosen = np.random.default_rng(0).random(len(GRID)) < 0.63
    run = machine(meta, pipelined * np.where(chosen, 1.2, 0.8), throughput_ms=pipelined)
    assert verdict(run, "alpha-underestimates").verdict == IN_PART


def test_underestimation_of_the_authors_data_judges_the_published_formula(meta):
    from alphaflops.costs.alpha import published_ms

    authors = {**meta, "run_id": AUTHORS}
    assert verdict(machine(authors, 1.01 * published_ms(GRID)), "alpha-underestimates").value == 100
    assert verdict(machine(authors, 0.99 * published_ms(GRID)), "alpha-underestimates").value == 0


FINE = experiments.grid("fine")
FINE_D = FINE[FINE["experiment"] == "replication_D"].reset_index(drop=True)


@pytest.mark.parametrize(("lines", "expected"), [(0, FAILS), (1, IN_PART), (2, HOLDS), (3, HOLDS)])
def test_lines_that_step_every_hundred_columns_jump(meta, lines, expected):
    # a stair of 100 columns: 3 steps of more than 10 % lie above width 50, at 101, 201, 301 (factors 2, 1.5, 1.33)
    stairs = np.ceil(FINE_D["x"] / 100)
    jumping = FINE_D["line"].isin(sorted(set(FINE_D["line"]))[:lines])
    times = np.where(jumping, stairs, FINE_D["x"] / 100) * 1.0
    found = verdict(machine(meta, times, table=FINE_D), "jumps-on-fine-grids")
    assert found.value == pytest.approx(100 * lines / 3)
    assert found.verdict == expected


def test_noise_makes_no_jumps_and_stairs_in_noise_do(meta):
    # a smooth line with noise of 15 % has dozens of changes of medians by a tenth; a third of them are no finding
    noise = np.exp(0.15 * np.random.default_rng(1).standard_normal(len(FINE_D)))
    smooth = machine(meta, FINE_D["x"] / 100 * noise, table=FINE_D)
    for line in evidence.lines(smooth, evidence.FINE):
        found = evidence.jumping(line)
        assert found.count > 10
        assert found.noise.min() <= found.count <= np.quantile(found.noise, 0.95)
    assert verdict(smooth, "jumps-on-fine-grids").value == 0
    small = np.exp(0.01 * np.random.default_rng(1).standard_normal(len(FINE_D)))
    stairs = machine(meta, np.ceil(FINE_D["x"] / 100) * small, table=FINE_D)
    assert verdict(stairs, "jumps-on-fine-grids").value == 100


def test_jumps_are_judged_on_calls_in_a_row_where_every_layer_has_them(meta):
    stairs, flat = np.ceil(FINE_D["x"] / 100) * 1.0, FINE_D["x"] / 100
    run = machine(meta, flat, table=FINE_D)
    both = Run(run.meta, run.table.assign(throughput_ms=stairs))
    some = Run(run.meta, run.table.assign(throughput_ms=stairs.where(FINE_D["x"] > 1)))
    assert [verdict(one, "jumps-on-fine-grids").value for one in (run, both, some)] == [0, 100, 0]


def test_jumps_are_a_question_about_gpus(meta):
    core = machine(meta, FINE_D["x"] * 1.0, device="cpu", table=FINE_D)
    assert verdict(core, "jumps-on-fine-grids").reason == "the claim is about GPUs"


def steps(times, flops=None):
    counted = np.ones(len(times)) if flops is None else np.asarray(flops)
    return evidence.step_factors(counted, np.asarray(times, dtype=float))


@pytest.mark.parametrize("times", [[1] * 20 + [2] * 20, [2] * 20 + [1] * 20])
def test_a_step_up_or_down_is_one_jump(times):
    # medians of three points on each side differ by a factor of 2 before rows 19, 20 and 21, and nowhere else
    factors = steps(times)
    assert factors.tolist() == [2.0 if i in (19, 20, 21) else 1.0 for i in range(40)]
    assert np.flatnonzero(evidence.jump_starts(factors)).tolist() == [19]


def test_a_step_of_flops_is_no_jump_and_a_short_line_says_nothing():
    # FLOPs that grow by 3 % explain a step themselves; at 1 % they do not
    for growth, expected in ((1.03, 1.0), (1.01, 2.0)):
        assert steps([1] * 20 + [2] * 20, [1] * 20 + [growth] * 20)[20] == expected
    # three points are needed on each side: 35 points have 30 steps, 34 have 29
    assert steps([1] * 35) is not None
    assert steps([1] * 34) is None
    assert steps([1] * 2) is None  # as many as the smallest profile has


def test_a_jump_is_more_than_a_tenth():
    assert evidence.jump_starts(np.array([1.0, 1.2, 1.3, 1.0, 1.11, 1.1])).tolist() == [
        False, True, False, False, True, False,
    ]  # fmt: skip


def test_one_missing_pipelined_time_leaves_nothing_to_fit(meta):
    pipelined = proportional()
    pipelined[5] = np.nan
    run = machine(meta, proportional(), throughput_ms=pipelined)
    assert verdict(run, "alpha-underestimates").reason == "the run has no pipelined times, or not of every layer"


def test_single_odd_points_are_no_jumps(meta):
    times = (1 + FINE_D["x"] / 100) * np.where(FINE_D["x"] % 50 == 0, 2.0, 1.0)
    assert verdict(machine(meta, times, table=FINE_D), "jumps-on-fine-grids").value == 0


def test_what_a_run_cannot_tell_is_not_measured_with_the_reason(meta):
    gpu, core = machine(meta, proportional()), machine(meta, proportional(), device="cpu", threads=1)
    assert verdict(gpu, "flat-on-cpu").reason == "the claim is about a single CPU core"
    assert verdict(core, "not-flat-on-gpu").reason == "the claim is about GPUs"
    assert verdict(core, "space-parallelises-better").reason == "the claim is about parallel hardware"
    assert "fine grids" in verdict(gpu, "jumps-on-fine-grids").reason
    assert verdict(gpu, "alpha-underestimates").reason == "the run has no pipelined times, or not of every layer"
    for other in (machine(meta, proportional(), device="cpu"), machine(meta, proportional(), threads=1)):
        assert verdict(other, "flat-on-cpu").reason == "the claim is about a single CPU core"
        assert verdict(other, "space-parallelises-better").verdict == FAILS
    batch = GRID[GRID["experiment"] == "increasing_batch"].reset_index(drop=True)
    assert "Figure 2" in verdict(machine(meta, proportional(batch), table=batch), "not-flat-on-gpu").reason


def test_no_error_is_held_out_on_a_fine_grid(meta):
    found = {v.claim: v for v in claims.judge(machine({**meta, "profile": "fine"}, proportional()), error_of=EVEN)}
    judged = {v.claim: v for v in claims.judge(machine({**meta, "profile": "paper"}, proportional()), error_of=EVEN)}
    for claim in ("alpha-beats-flops", "alpha-adds-to-t0", "space-discounted-kernel-not"):
        assert found[claim].verdict == NOT_MEASURED
        assert "neighbours" in found[claim].reason
        assert judged[claim].verdict != NOT_MEASURED


def test_a_row_tells_verdict_and_claim(meta):
    found = [claims.row(told) for told in claims.judge(machine(meta, proportional()), error_of=EVEN)]
    assert {row["verdict"] for row in found} <= {HOLDS, IN_PART, FAILS, NOT_MEASURED}
    assert all(row["rule"].startswith(("holds from ", "holds up to ")) for row in found)
    assert [row["label"] for row in found] == [claim.label for claim in claims.CLAIMS]


def test_command_judges_a_folder_as_json(command, run, tmp_path, monkeypatch):
    monkeypatch.setitem(claims.judge.__kwdefaults__, "error_of", EVEN)
    found = command("claims", run.write(tmp_path / "run"), "--json")
    assert found.code == 0
    assert {row["claim"] for row in found.json} == {c.id for c in claims.CLAIMS}
    assert all(row["reason"] for row in found.json if row["verdict"] == NOT_MEASURED)
    assert json.dumps(found.json)


def test_command_refuses_an_unknown_run(refused):
    assert "no-such-run" in refused("claims", "no-such-run")
