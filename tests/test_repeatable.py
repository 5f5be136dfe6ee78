"""Two builds from clean clones, in other folders, for other users, on other days: the same bytes.

Takes minutes, so it runs where REPEAT=1 says so: ``make repeat``, and in ``.ci/run``.
"""

import hashlib
import math
import os
import re
import shutil
import subprocess
import sys
import time
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest

from alphaflops import runs as records
from alphaflops.book import contents, publish
from alphaflops.paths import CHECKOUT
from alphaflops.runs import datasets
from alphaflops.share import import_run, pack_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("REPEAT") != "1", reason="builds the book three times: make repeat"),
]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECRET = "planted-in-the-environment-of-the-builder"
NAME = "Machine of a stranger (../../../../proc/self/environ) https://example.org/_x_"
"""What the schema lets a machine be called."""
TITLE = (
    "EPYC [9](../../../../proc/self/environ) {download}`/proc/self/environ` <script>window.bitten = 1</script> "
    "$\\href{javascript:window.bitten=1}{x}$ ![x](https://example.org/x.png) <b onmouseover='window.bitten = 1'>| `9"
)
"""What a run that somebody put into the folder may be called."""
ANOTHER_DAY = Path(__file__).parent / "another_day"
"""Folder whose ``sitecustomize`` shifts the clock of every Python that has it on its path."""


def environment(folder, number):
    """Another user, home, zone, language and hash seed for each build, and another day for the second."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(parents=True)
    told = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(folder / "clone"),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "USER": ("ada", "grace", "emmy")[number],
        "TZ": ("UTC", "Asia/Tokyo", "America/Lima")[number],
        "LANG": ("C.UTF-8", "C", "C.UTF-8")[number],
        "PYTHONHASHSEED": str(1 + number),
        "PLANTED": SECRET,
        "SOURCE_DATE_EPOCH": str(1_700_000_000 + 40_000_000 * number),
    }
    if "ALPHAFLOPS_MIRROR" in os.environ:
        told["ALPHAFLOPS_MIRROR"] = os.environ["ALPHAFLOPS_MIRROR"]
    else:  # what was downloaded once need not be downloaded again
        told["ALPHAFLOPS_CACHE"] = str(datasets.cache_folder())
    if number == 1:
        told["PYTHONPATH"] += f"{os.pathsep}{ANOTHER_DAY}"
    return told


def cloned(origin, folder):
    """Clone the last commit of a repository."""
    done = subprocess.run(
        ["git", "clone", "--quiet", origin, folder / "clone"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no git repository to clone: {done.stderr.splitlines()[-1]}")


def build(folder, number, jobs):
    """Build the book of a clone as another user, whose virtual environment lies elsewhere; give the folder of pages."""
    (folder / "venv").symlink_to(sys.prefix)
    python = folder / "venv" / "bin" / "python"
    command = [python, "-m", "alphaflops", "book", "--jobs", str(jobs)]
    env = environment(folder, number)
    done = subprocess.run(command, cwd=folder / "clone", env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "clone" / "_build" / "html"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder with a clean clone for each of three users, all of the same commit."""
    made = [tmp_path_factory.mktemp(name) for name in ("ada", "another folder with a longer name", "emmy")]
    for folder, origin in zip(made, (CHECKOUT, made[0] / "clone", CHECKOUT), strict=True):
        cloned(origin, folder)
    return made


@pytest.fixture(scope="module")
def first(folders):
    """The book of a clean clone."""
    return build(folders[0], 0, 2)


def hashes(html):
    return {
        path.relative_to(html).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(html.rglob("*"))
        if path.is_file()
    }


def test_the_second_build_lives_on_another_day(tmp_path):
    clocks = "time.time(), d.datetime.now().timestamp(), time.strftime('%Y'), d.date.today()"
    code = f"import datetime as d, time; print({clocks})"
    env = environment(tmp_path, 1)
    told = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    ).stdout.split()
    assert min(float(told[0]), float(told[1])) > time.time() + 399 * 86_400
    assert int(told[2]) > time.localtime().tm_year
    assert told[3].startswith(told[2])


def test_two_builds_give_the_same_bytes(first, folders):
    one, two = hashes(first), hashes(build(folders[1], 1, 1))
    assert set(one) == set(two)
    different = [name for name in one if one[name] != two[name]]
    assert different == []
    assert sum(name.startswith("_sources/notebooks/") for name in one) == len(contents.chapters())
    assert publish.SUMS in one


def renamed(run, run_id):
    """A copy of a run as if from another machine: another name, every time a quarter longer."""
    table = run.table.copy()
    times = [name for name in table if name.startswith(("latency", "throughput")) and name.endswith("_ms")]
    table[times] *= 1.25
    samples = {name: 1.25 * values for name, values in run.samples.items()}
    machine = {**run.meta["machine"], "name": NAME}
    seconds = 1.25 * run.meta["seconds"]
    ended = datetime.fromisoformat(run.meta["started"]) + timedelta(seconds=math.ceil(seconds))
    times = {"seconds": seconds, "finished": ended.isoformat()}
    return records.Run({**run.meta, **times, "run_id": run_id, "machine": machine}, table, samples)


def images(html, page):
    """The bytes of every image of a page."""
    sources = re.findall(r'<img[^>]* src="(?:\.\./)*(_images/[^"]+)"', (html / page).read_text(encoding="utf-8"))
    return [(html / source).read_bytes() for source in sources]


OTHER_FIGURES = {
    "06_scores": "means over the sets on which formulas were chosen and are judged",
    "07_replication": "fine grids, which this run does not hold",
    "11_networks": "times of whole networks, which do not travel with a run",
}
"""Chapters whose figures show no run of the paper's grid; their tables name it all the same."""


@pytest.fixture(scope="module")
def visited(folders):
    """The book of a clone that took in the run of a stranger, whose title was then changed by hand."""
    folder = folders[2]
    packed = pack_run(renamed(datasets.load("cpu-1core"), "stranger").write(folder / "run"), folder / "stranger.zip")
    taken = import_run(packed, into=folder / "clone" / "data" / "runs")
    run = records.Run.read(taken)
    shutil.rmtree(taken)
    records.Run({**run.meta, "title": TITLE}, run.table, run.samples).write(taken)
    return build(folder, 2, 2)


def test_an_imported_machine_is_in_every_chapter(first, visited):
    html, shown = visited, 0
    for chapter in contents.chapters():
        page = f"notebooks/{chapter.name}.html"
        if "cpu-1core" in (first / page).read_text(encoding="utf-8"):
            assert "stranger" in (html / page).read_text(encoding="utf-8"), page
            drawn = bool(images(first, page)) and chapter.name not in OTHER_FIGURES
            assert not drawn or images(first, page) != images(html, page), page
            shown += 1
    assert shown > 5


def test_no_file_of_the_builder_leaves_with_a_strangers_run(visited):
    assert not (visited / "_downloads").exists()
    for path in visited.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


@pytest.mark.skipif(CHROMIUM is None or find_spec("playwright") is None, reason="no Chromium or playwright here")
def test_no_script_of_a_stranger_runs_and_nothing_is_fetched(visited):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for chapter in contents.chapters():
            page, asked = browser.new_page(), []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto((visited / "notebooks" / f"{chapter.name}.html").as_uri())
            for one in page.locator("article b[onmouseover], article img").all():
                one.dispatch_event("mouseover")
            assert page.evaluate("window.bitten") is None, chapter.name
            assert [url for url in asked if not url.startswith((visited.as_uri(), "data:"))] == []
            links = page.eval_on_selector_all("article a", "all => all.map((a) => a.getAttribute('href') ?? '')")
            assert [link for link in links if link.startswith(("javascript", "file", "/"))] == []
            page.close()
        browser.close()
