"""The picture for links shows the authors' five layers of equal FLOPs."""

import matplotlib.pyplot as plt
import numpy as np

from alphaflops import figures
from alphaflops.figures.social import SIZE_PX, draw_social


def test_bars_are_the_times_of_the_first_run(paper):
    frame = figures.equal_flops(figures.sweep([paper], "conv_fixed_progressive"))
    figure = draw_social(frame)
    (ax,) = figure.axes
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], frame["time_ms"])
    assert [label.get_text() for label in ax.get_yticklabels()] == list(frame["line"])
    assert tuple(figure.get_size_inches() * figure.dpi) == SIZE_PX
    assert "327.68 million FLOPs" in figure.texts[-1].get_text()
    plt.close(figure)
