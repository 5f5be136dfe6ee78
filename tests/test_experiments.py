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


def ends(name):
    """First and last point of every line: what is swept, and the layer as height, width, channels in and out, side."""
    found = {}
    for line in experiments.find(name).lines:
        points = (line.points[0], line.points[-1])
        found[line.label] = tuple(
            (x, (n.batch, n.in_features, n.out_features))
            if isinstance(n, Dense)
            else (x, (n.height, n.width, n.in_channels, n.out_channels, *set(n.sides)))
            for x, n in points
        )
    return found


def test_lines_of_the_paper_begin_and_end_where_it_says():
    assert ends("conv_fixed_progressive") == {
        "dense": ((400, (1, 400, 400)), (12800, (1, 12800, 12800))),
        "conv 1×2": ((400, (1, 2, 400, 200, 1)), (12800, (1, 2, 12800, 6400, 1))),
        "conv 2×2, s → s/4": ((400, (2, 2, 400, 100, 1)), (12800, (2, 2, 12800, 3200, 1))),
        "conv 2×2, s/2 → s/2": ((400, (2, 2, 200, 200, 1)), (12800, (2, 2, 6400, 6400, 1))),
        "conv 4×4": ((400, (4, 4, 100, 100, 1)), (12800, (4, 4, 3200, 3200, 1))),
    }
    for ck in (1500, 2100, 3000, 4500):
        last = ck // 28
        assert ends("conv_K_vs_C")[f"C·K = {ck}"] == ((1, (10, 10, ck, ck, 1)), (28, (10, 10, last, last, 28)))
    for c in (50, 70, 100, 150):
        assert ends("conv_K_vs_S")[f"C = {c}"] == ((1, (300, 300, c, c, 1)), (28, (10, 10, c, c, 28)))
    for c in (50, 100, 150):
        line = f"Cin = {c}"
        assert ends("increasing_W")[line] == ((10, (100, 10, c, 100, 3)), (640, (100, 640, c, 100, 3)))
        assert ends("increasing_Cout")[line] == ((10, (100, 100, c, 10, 3)), (640, (100, 100, c, 640, 3)))
    for w in (100, 200, 300):
        line = f"input 300×{w}"
        assert ends("increasing_Cout_with_K1")[line] == ((10, (300, w, 50, 10, 1)), (640, (300, w, 50, 640, 1)))
    for k in (1, 3, 5):
        assert ends("increasing_Cin")[f"K = {k}"] == ((100, (10, 10, 100, 1000, k)), (1000, (10, 10, 1000, 1000, k)))
    assert ends("increasing_batch") == {
        **{f"{n}×{n}": ((1, (1, n, n)), (64, (64, n, n))) for n in (6400, 9050, 11085)},
        "12800×12800": ((1, (1, 12800, 12800)), (63, (63, 12800, 12800))),
    }


def test_lines_of_the_replication_begin_and_end_where_its_script_does():
    assert ends("replication_A") == {
        "1×2": ((1, (1, 2, 100, 50, 1)), (256, (1, 2, 25600, 12800, 1))),
        "2×2": ((1, (2, 2, 50, 50, 1)), (256, (2, 2, 12800, 12800, 1))),
        "4×4": ((1, (4, 4, 25, 25, 1)), (256, (4, 4, 6400, 6400, 1))),
    }
    for c in (50, 70, 100, 150):
        assert ends("replication_B")[f"C = {c}"] == ((1, (300, 300, c, c, 1)), (30, (10, 10, c, c, 30)))
    for ck in (1500, 2100, 3000, 4500):
        last = ck // 30
        assert ends("replication_C")[f"C·K = {ck}"] == ((1, (10, 10, ck, ck, 1)), (30, (10, 10, last, last, 30)))
    for c in (50, 100, 150):
        line = f"Cin = {c}"
        assert ends("replication_D")[line] == ((1, (100, 1, c, 100, 3)), (649, (100, 649, c, 100, 3)))
        assert ends("replication_E")[line] == ((1, (100, 100, c, 1, 3)), (649, (100, 100, c, 649, 3)))
    for h in (100, 200, 300):
        assert ends("replication_F")[f"H = {h}"] == ((1, (h, 100, 50, 1, 1)), (649, (h, 100, 50, 649, 1)))
    for k in (1, 3, 5):
        assert ends("replication_G")[f"K = {k}"] == ((1, (10, 10, 1, 1000, k)), (999, (10, 10, 999, 1000, k)))


def test_the_table_of_figure_1_has_one_layer_of_each_line():
    # the paper's table has layers of 327.68 million FLOPs, 163.84 million MAC
    grid = experiments.grid("paper")
    held = grid[(grid["experiment"] == "conv_fixed_progressive") & (macs(grid) == experiments.TABLE_MACS)]
    assert 2 * experiments.TABLE_MACS == 327_680_000
    assert sorted(held["line"]) == sorted(line.label for line in experiments.find("conv_fixed_progressive").lines)


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
        experiments.grid("2a", "slow")
    with pytest.raises(AlphaflopsError, match="figure or profile 'slow' is unknown"):
        experiments.grid("slow")
    with pytest.raises(AlphaflopsError, match="experiment 'Fig9' is unknown"):
        experiments.find("Fig9")


@pytest.mark.parametrize(
    ("figure", "names"),
    [
        ("1", {"conv_fixed_progressive"}),
        ("2", {"conv_K_vs_C", "conv_K_vs_S"}),
        ("2a", {"conv_K_vs_C"}),
        ("4b", {"conv_K_vs_S"}),
        ("5", {"increasing_W", "increasing_Cout", "increasing_Cout_with_K1", "increasing_Cin"}),
        ("6", {"increasing_batch"}),
        ("C", {"replication_C"}),
    ],
)
def test_a_figure_gives_its_layers(figure, names):
    assert set(experiments.grid(figure)["experiment"]) == names


def test_a_profile_thins_a_figure():
    # four lines: all 28 points, six of them, the two cheapest
    assert [len(experiments.grid("2a", profile)) for profile in ("paper", "quick", "smoke")] == [112, 24, 8]
    assert experiments.grid("paper", "smoke").equals(experiments.grid("smoke"))
