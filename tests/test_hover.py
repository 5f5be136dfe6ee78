"""Points under the pointer: where they lie in the saved picture, what they say."""

import io
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from alphaflops.chapters import tables
from alphaflops.layers import Conv2d, Dense, as_table


@pytest.fixture
def frame():
    layers = [Dense(400, 300, 2), Conv2d(10, 20, 64, 32, 3)]
    return as_table(layers).assign(time_ms=[0.5, 2.25], x=[1.0, 100.0], y=[0.1, 10.0])


def test_words_name_the_layer_and_its_time(frame):
    assert tables.describe(frame) == [
        "dense 400 → 300, batch 2: 0.500 ms",
        "3×3 conv on 10×20, 64 → 32: 2.25 ms",
    ]


def test_points_lie_where_the_picture_shows_them(frame):
    figure, ax = plt.subplots(figsize=(4, 3), layout="constrained")
    ax.scatter(frame["x"], frame["y"], s=60, color="#ff0000", lw=0)
    ax.set(xscale="log", yscale="log", xlabel="a label", title="a title")
    places = tables.positions(figure, ax, frame["x"], frame["y"])
    saved = io.BytesIO()
    figure.savefig(saved, bbox_inches="tight")
    plt.close(figure)
    pixels = np.asarray(Image.open(saved).convert("RGB")).astype(int)
    red = (pixels[..., 0] > 200) & (pixels[..., 1] < 60)
    height, width = red.shape
    for x, y in places:
        around = red[int(y * height) - 3 : int(y * height) + 4, int(x * width) - 3 : int(x * width) + 4]
        assert around.mean() > 0.8


def test_page_data_are_read_back(frame):
    figure, ax = plt.subplots()
    ax.plot(frame["x"], frame["y"])
    html = tables.page_data(figure, "fig-x", [frame], "x", "y")
    plt.close(figure)
    data = json.loads(re.fullmatch(r'<script [^>]*data-figure="fig-x">(.*)</script>', html)[1])
    assert [text for _, _, text in data] == tables.describe(frame)
    assert all(0 < x < 1 and 0 < y < 1 for x, y, _ in data)
