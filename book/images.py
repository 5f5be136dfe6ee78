"""Pictures for the README and for links to the book: ``python book/images.py _build/html``."""

import shutil
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import seaborn as sns
from PIL import Image

from alphaflops import chapters
from alphaflops.chapters import frames
from alphaflops.style import GREEN, INK

OUT = Path(__file__).parent / "_static"
SCREENSHOTS = Path(__file__).parent / "screenshots"
SHOTS = {
    "front-desktop": ("notebooks/00_verdict.html", 1280, 1100, 1),
    "front-phone": ("notebooks/00_verdict.html", 360, 1100, 1),
    "chapter-desktop": ("notebooks/03_kernels.html", 1280, 1100, 1),
    "chapter-phone": ("notebooks/03_kernels.html", 360, 1100, 1),
}
"""Name: page, width and height of the window, pixels per point."""


def social() -> None:
    """Draw the picture for links, 1200 × 630 pixels: layers of equal FLOPs as bars of time."""
    frame = frames.equal_flops(chapters.sweep(chapters.load(), "1"))
    frame = frame[frame["run"] == frame["run"].iloc[0]]
    figure, ax = plt.subplots(figsize=(12, 6.3), dpi=100)
    figure.subplots_adjust(0.3, 0.03, 0.97, 0.73)
    sns.barplot(frame, x="time_ms", y="line", color=GREEN, saturation=1, ax=ax)
    ax.bar_label(ax.containers[0], [f"{time:.2g} ms" for time in frame["time_ms"]], padding=8, fontsize=22)
    ax.tick_params(axis="y", labelsize=22, length=0)
    ax.set(xlim=(0, 1.18 * frame["time_ms"].max()), xlabel="", ylabel="", xticks=[])
    sns.despine(ax=ax, left=True, bottom=True)
    words = f"{len(frame)} layers of {frame['mflops'].iloc[0]:.2f} million FLOPs each on a {frame['machine'].iloc[0]}"
    figure.text(0.03, 0.86, "Do FLOPs tell the time?", fontsize=44, weight="bold", color=INK)
    figure.text(0.03, 0.785, words, fontsize=24, color="#555555")
    figure.savefig(OUT / "social.png", dpi=100)


def screenshots(html: Path) -> None:
    """Photograph pages of a built book."""
    from playwright.sync_api import sync_playwright

    SCREENSHOTS.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (page_name, width, height, scale) in SHOTS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=scale)
            page.goto((html / page_name).resolve().as_uri())
            page.wait_for_function("window.MathJax === undefined || window.MathJax.startup?.promise !== undefined")
            page.wait_for_timeout(700)
            path = SCREENSHOTS / f"{name}.png"
            page.screenshot(path=path)
            Image.open(path).convert("RGB").quantize(method=Image.Quantize.FASTOCTREE).save(path, optimize=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    social()
    screenshots(Path(sys.argv[1]))
