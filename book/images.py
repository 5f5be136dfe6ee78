"""Pictures for the README and for links to the book: ``python book/images.py _build/html``."""

import shutil
import sys
from pathlib import Path

from alphaflops import figures
from alphaflops.figures.social import draw_social

OUT = Path(__file__).parent / "_static"
SHOTS = {
    "front-desktop": ("notebooks/00_intro.html", 1280, 1100, 1),
    "front-phone": ("notebooks/00_intro.html", 360, 1100, 1),
    "chapter-desktop": ("notebooks/02_kernels.html", 1280, 1100, 1),
    "chapter-phone": ("notebooks/02_kernels.html", 360, 1100, 1),
}
"""Name: page, width and height of the window, pixels per point."""


def social() -> None:
    """Draw the picture for links."""
    frame = figures.equal_flops(figures.sweep(figures.load(), "conv_fixed_progressive"))
    draw_social(frame).savefig(OUT / "social.png", dpi=100)


def screenshots(html: Path) -> None:
    """Photograph pages of a built book."""
    from playwright.sync_api import sync_playwright

    (OUT / "screenshots").mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (page_name, width, height, scale) in SHOTS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=scale)
            page.goto((html / page_name).resolve().as_uri())
            page.wait_for_function("window.MathJax === undefined || window.MathJax.startup?.promise !== undefined")
            page.wait_for_timeout(700)
            page.screenshot(path=OUT / "screenshots" / f"{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    social()
    screenshots(Path(sys.argv[1]))
