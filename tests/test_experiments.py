"""The grids, against what the paper and the replication say of them."""

import pytest

from alphaflops import AlphaflopsError, experiments
from alphaflops.layers import Conv2d, Dense, from_row, macs


def test_number_of_points():
    assert {p: len(experiments.grid(p)) for p in experiments.PROFILES} == {
        "smoke": 58,  # 29 lines · 2
        "quick": 174,  # 29 lines · 6
        "paper": 721,
        # A 3·9 + B 4·30 + C 4·30 + D 3·649 + E 3·649 + F 3·649 + G 3·999
        "fine": 27 + 120 + 120 + 3 * 3 * 649 + 3 * 999,
    }


def test_points_per_plot():
    counts = experiments.grid("paper").groupby("experiment", sort=False).size().to_dict()
    assert counts == {
        "conv_fixed_progressive": 5 * 11,
        "conv_K_vs_C": 4 * 28,
        "conv_K_vs_S": 4 * 24,
        "increasing_W": 3 * 33,
        "increasing_Cout": 3 * 33,
        "increasing_Cout_with_K1": 3 * 33,
        "increasing_Cin": 3 * 10,
        "increasing_batch": 3 * 33 + 32,
    }


def test_figure_1_has_equal_flops_along_its_lines():
    lines = experiments.find("conv_fixed_progressive").lines
    # dense 12800²: 163.84 million MAC; every other line has the same at its last point
    assert {line.points[-1][1].macs for line in lines} == {163_840_000}


def test_some_layers_as_the_paper_gives_them():
    k_vs_s = experiments.find("conv_K_vs_S").lines[3]
    assert k_vs_s.points[-1] == (28, Conv2d(10, 10, 150, 150, 28))  # ⌊300/28⌋ = 10
    k_vs_c = experiments.find("conv_K_vs_C").lines[0]
    assert k_vs_c.points[-1] == (28, Conv2d(10, 10, 53, 53, 28))  # ⌊1500/28⌋ = 53
    assert experiments.find("increasing_W").lines[0].points[-1] == (640, Conv2d(100, 640, 50, 100, 3))
    assert experiments.find("increasing_batch").lines[3].points[-1] == (63, Dense(12800, 12800, 63))


def test_the_replications_layers_carry_a_bias():
    grid = experiments.grid("fine")
    assert grid["bias"].all()
    b = experiments.find("replication_B").lines[0]
    assert b.points[7][1].height == 38  # round(300/8) = round(37.5) = 38
    assert b.points[23][1].height == 12  # round(300/24) = round(12.5) = 12: Python rounds half to even


@pytest.mark.parametrize("profile", ["smoke", "quick"])
def test_short_profiles_are_part_of_the_paper_and_cover_every_line(profile):
    paper, short = experiments.grid("paper"), experiments.grid(profile)
    keys = ["experiment", "line", "x"]
    assert len(short.merge(paper, on=keys)) == len(short)
    assert short.groupby(["experiment", "line"]).ngroups == paper.groupby(["experiment", "line"]).ngroups == 29


def test_quick_keeps_both_ends_of_each_line():
    paper, quick = experiments.grid("paper"), experiments.grid("quick")
    ends = ["min", "max"]
    assert (
        quick.groupby(["experiment", "line"])["x"]
        .agg(ends)
        .equals(paper.groupby(["experiment", "line"])["x"].agg(ends))
    )


def test_rows_rebuild_their_layers():
    grid = experiments.grid("paper")
    rebuilt = [from_row(row) for row in grid.to_dict("records")]
    assert [layer.macs for layer in rebuilt] == macs(grid).tolist()


def test_unknown_names():
    with pytest.raises(AlphaflopsError, match="profile 'slow' is unknown"):
        experiments.grid("slow")
    with pytest.raises(AlphaflopsError, match="experiment 'Fig9' is unknown"):
        experiments.find("Fig9")
