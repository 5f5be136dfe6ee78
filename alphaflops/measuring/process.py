"""Measuring in a process of its own: its allocator is set before it starts, and a layer that kills it is survived.

How far it is stands in one line, rewritten, in a notebook or on a terminal; nothing in a pipe.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from ..errors import AlphaflopsError
from ..files import from_json, one_line, to_json
from ..runs import Run
from . import session
from .protocol import ALLOCATOR, Options
from .session import Interrupted

WORKER: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop()); import alphaflops.measuring.process as here; "
    "sys.path.pop(0); sys.exit(here.worker())"
)
"""The measuring process: the package of this very process, found first, and nothing from the working directory."""


def show(text: str, stream: TextIO) -> None:
    """Write how far it is over the line before, on a terminal or in a notebook."""
    if stream.isatty() or ("ipykernel" in sys.modules and hasattr(stream, "pub_thread")):
        width = shutil.get_terminal_size((110, 24)).columns - 1
        stream.write(f"\r{text[:width]:<{width}}\r")
        stream.flush()


def measure(
    layers: Any,
    device: str = "auto",
    *,
    out: Path | str | None = None,
    profile: str | None = None,
    threads: int | None = None,
    seed: int = 0,
    title: str | None = None,
    run_id: str | None = None,
    energy: bool = False,
    protocol: str = "adaptive",
    tolerance: float | None = None,
    row_seconds: float | None = None,
    memory_share: float | None = None,
    tf32: bool = False,
    cudnn_benchmark: bool = False,
    allow_different: Sequence[str] = (),
    progress: bool = True,
) -> Run:
    """Time layers on this machine.

    Parameters
    ----------
    layers : table, spec, or list of specs
        What `alphaflops.as_table` takes, such as ``alphaflops.grid("2a", "quick")``.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    out : path, optional
        Folder of the run. It may hold a run of the same machine and protocol already: only the layers that it lacks are
        measured, and all of them are given back. Without it a folder is used that is removed at the end.
    profile : str, optional
        How much time a layer gets and how narrow its interval must be: ``smoke``, ``quick``, ``paper`` or ``fine``; by
        default that of a grid, else ``quick``.
    threads : int, optional
        Threads on the CPU; by default OMP_NUM_THREADS, else all usable cores.
    seed : int
        Seed of the random order.
    title, run_id : str, optional
        What a new run is called, and its identifier; by default the machine and the folder's name.
    energy : bool
        Measure joules per call of a chosen set of the layers too.
    protocol : str
        ``adaptive``, or the replication's ``pipelined``.
    tolerance : float, optional
        Stop when the half-width of the interval is at most this fraction of the median.
    row_seconds : float, optional
        Cap on the time for the calls of a layer, and once more for its blocks (s).
    memory_share : float, optional
        Largest part of the free memory that a layer may need.
    tf32, cudnn_benchmark
        See `alphaflops.measuring.protocol.Protocol`.
    allow_different : sequence of str
        Keys of the machine or protocol that may differ from the folder's, such as ``software.torch``.
    progress : bool
        Show how far it is.

    Returns
    -------
    Run
        All rows of the folder.

    Raises
    ------
    Interrupted
        On Ctrl-C or SIGTERM: the rows so far are kept; the message says how to go on.
    AlphaflopsError
        Naming what is wrong with a layer, an option or the folder, or which key of machine or protocol differs.

    Examples
    --------
    >>> run = measure(grid("2a"), "cuda", out="my-run")  # doctest: +SKIP
    """
    rows = session.rows_of(layers)
    chosen = profile or getattr(layers, "attrs", {}).get("profile") or "quick"
    given = {name: value for name, value in locals().items() if name in Options.__dataclass_fields__}
    options = from_json(Options, to_json(given | {"profile": chosen}), "measure")
    options.settings()
    now = f"run-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder = Path(tempfile.mkdtemp(prefix="alphaflops-"), now) if out is None else Path(out)
    request = {"out": str(folder), "layers": rows.to_dict(orient="list"), "options": to_json(options)}
    _supervise(request, progress)
    found = Run.read(folder)
    if out is None:
        shutil.rmtree(folder.parent, ignore_errors=True)
    return found


def resume(out: Path | str, progress: bool = True, **changes: Any) -> Run:
    """Finish the unfinished run in a folder; `changes` are options of `measure` given anew.

    Raises
    ------
    Interrupted, AlphaflopsError
        As `measure`; also if the folder holds no unfinished run.
    """
    _supervise({"out": str(out), "changes": to_json(changes)}, progress)
    return Run.read(out)


def _supervise(request: Mapping[str, Any], progress: bool) -> None:
    """Let a process do what is asked, and another one after it as long as layers kill it."""
    told, code = {"begin": ""}, -1
    while "begin" in told and code < 0:
        told, code = _attended(request, progress)
        if "stopped" in told:
            raise Interrupted(told["stopped"])
        if "error" in told:
            raise AlphaflopsError(told["error"])
    if code:
        killed = f"by signal {signal.Signals(-code).name} before its first layer" if code < 0 else f"with code {code}"
        raise AlphaflopsError(f"the measuring process ended {killed}: rows so far are in {request['out']}")


def _attended(request: Mapping[str, Any], progress: bool) -> tuple[dict[str, str], int]:
    """Run one process to its end: what it told last of each kind, see `worker`, and its exit code."""
    root = str(Path(__file__).parents[2])
    told: dict[str, str] = {}
    try:
        os.getcwd()
    except FileNotFoundError as error:  # torch's libraries would not load there
        raise AlphaflopsError("the working directory was deleted: change to another one") from error
    with tempfile.TemporaryFile("w+") as asked, session.interruptible():
        json.dump(request, asked)
        asked.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", WORKER, root],
            stdin=asked,
            stdout=subprocess.PIPE,
            env={**ALLOCATOR, **os.environ},
            start_new_session=True,  # Ctrl-C reaches this process alone, which hands it on
            text=True,
            encoding="utf-8",
        )
        try:
            while True:
                try:
                    for line in process.stdout or ():
                        what, text = json.loads(line)
                        told[what] = text
                        if progress and what == "row":
                            show(text, sys.stderr)
                    return told, process.wait()
                except KeyboardInterrupt:
                    process.terminate()
        finally:
            process.kill()
            if progress:
                show("", sys.stderr)


def worker() -> int:
    """Do in this process what standard input asks, telling standard output pairs, as JSON, one a line.

    ``begin`` and ``row``, see `alphaflops.measuring.session.Tell`; at the end ``stopped`` or ``error``, and why.
    """
    pipe = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not disturb

    def tell(what: str, text: str) -> None:
        try:
            pipe.write(json.dumps([what, text]) + "\n")
        except BrokenPipeError:  # the process that waits is gone: this one stops in good order
            raise KeyboardInterrupt from None

    try:
        request = json.load(sys.stdin)
        if "changes" in request:
            session.resume(**request, tell=tell)
        else:
            session.run(**request | {"options": from_json(Options, request["options"], "measure")}, tell=tell)
    except Interrupted as stopped:
        tell("stopped", str(stopped))
    except AlphaflopsError as error:
        tell("error", str(error))
    except (RuntimeError, OSError, MemoryError) as error:
        tell("error", f"measuring failed: {one_line(error)}")
    else:
        return 0
    return 2
