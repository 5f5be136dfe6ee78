"""Whatever describes layers becomes the same table."""

import pandas as pd
import pytest
from torch import nn

import alphaflops
from alphaflops import AlphaflopsError, Conv2d, Dense
from alphaflops.layers import COLUMNS, as_table, macs, valid_macs

CONV, DENSE = Conv2d(10, 10, 100, 50, kernel=3), Dense(400, 200, batch=8)


def test_a_spec_a_list_and_a_table_are_alike():
    listed = as_table([CONV, DENSE])
    assert tuple(listed.columns) == COLUMNS
    assert macs(listed).tolist() == [CONV.macs, DENSE.macs]
    pd.testing.assert_frame_equal(as_table(CONV), listed.iloc[:1])
    pd.testing.assert_frame_equal(as_table(listed), listed)
    pd.testing.assert_frame_equal(as_table(layer for layer in (CONV, DENSE)), listed)


def test_short_columns_stand_for_the_others():
    short = pd.DataFrame({"kind": "conv2d", "in_channels": [100], "out_channels": [50], "height": [10], "kernel": [3]})
    pd.testing.assert_frame_equal(as_table(short), as_table(CONV), check_dtype=False)
    features = {"kind": "dense", "in_features": 400, "out_features": 200, "batch": 8}
    pd.testing.assert_frame_equal(as_table(features), as_table(DENSE), check_dtype=False)


def test_padding_left_out_keeps_the_size():
    even = as_table({"kind": "conv2d", "in_channels": 3, "out_channels": 4, "height": 12, "kernel": 4})
    assert valid_macs(even).tolist() == [Conv2d(12, 12, 3, 4, kernel=4).valid_macs]
    none = as_table({"kind": "conv2d", "in_channels": 3, "out_channels": 4, "height": 12, "kernel": 4, "padding": 0})
    assert macs(none).tolist() == [9 * 9 * 12 * 16]  # (12 − 4 + 1)² positions, 3·4 channel pairs, 16 taps


def test_other_columns_and_the_index_stay():
    table = as_table([CONV, DENSE]).assign(latency_ms=[1.0, 2.0])
    table.index = pd.Index([7, 9])
    assert as_table(table)["latency_ms"].to_dict() == {7: 1.0, 9: 2.0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "table is a int: give a Conv2d"),
        ("conv", "table is a str: give a Conv2d"),
        ([], "table holds no layers"),
        ([CONV, "x"], "entry 1 is 'x'"),
        ({"kind": "dense", "in_channels": 3}, "column 'out_channels' is missing"),
        ({"kind": "pool", "in_channels": 3, "out_channels": 4}, "kind is 'pool' in row 0"),
        ({"kind": "dense", "in_channels": [3, -1], "out_channels": [4, 4]}, "in_channels is -1 in row 1"),
        (
            {"kind": "dense", "in_channels": pd.array([3, None], "Int64"), "out_channels": 4},
            "in_channels is <NA> in row 1",
        ),
        ({"kind": "dense", "in_channels": 10**400, "out_channels": 4}, "in_channels"),
        ({"kind": "dense", "in_channels": [1, 2, 3], "out_channels": [1, 2]}, "columns differ in length"),
        ({"kind": "conv2d", "in_channels": 3, "out_channels": 4, "groups": 2}, "channels in row 0 are not divisible"),
        ({"kind": "conv2d", "in_channels": 3, "out_channels": 4, "stride": 2}, "row 0 has a stride but no pad_top"),
        ({"kind": "conv2d", "in_channels": 3, "out_channels": 4, "kernel": 3, "padding": 0}, "kernel in row 0 exceeds"),
    ],
)
def test_what_is_no_layer_is_refused_in_one_line(given, message):
    with pytest.raises(AlphaflopsError, match=message) as caught:
        as_table(given)
    assert "\n" not in str(caught.value)


def test_a_network_is_a_table_of_its_layers():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 81, 4))
    table = alphaflops.as_table(net, (1, 3, 9, 9))
    assert table["module"].tolist() == ["0", "3"]
    # 81 positions · 3·8 pairs · 9 taps, and 648·4 products
    assert macs(table).tolist() == [81 * 24 * 9, 648 * 4]
    pd.testing.assert_frame_equal(alphaflops.as_table([CONV]), as_table(CONV))
