"""What a new user meets: a clean clone, a new home, empty caches, and no network once everything is installed.

Usage: python3 .ci/trial.py OUT.json
Every step's minutes and peak memory are written to OUT.json. The network
is cut with `unshare` (Linux); data of others come from the folder in ALPHAFLOPS_MIRROR.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

KEPT = ("PATH", "LANG", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""Settings of this computer that a new user has too; everything else is left out."""

PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")

ALONE = [
    *("unshare", "--map-root-user", "--net", sys.executable, "-c"),
    "import fcntl, os, socket, struct, sys\n"
    "with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lo:\n"
    "    fcntl.ioctl(lo, 0x8914, struct.pack('16sh', b'lo', 0x41))\n"
    "os.execvp(sys.argv[1], sys.argv[1:])",
]
"""Run a command with the loopback device alone, which Jupyter's kernels need."""

STEPS = (
    ("clone", "git clone ORIGIN alphaflops", True, False),
    ("install", "make .venv/.installed", True, False),
    ("book, data of others missing", "make book", False, False),
    ("tests, data of others missing", "make test", False, False),
    ("book", "make book", False, True),
    ("tests", "make test", False, True),
    ("measure briefly, run the notebooks, build", "make rerun DEVICE=cpu PROFILE=smoke", False, True),
)
"""Name, command, whether the network is there, whether the data of others are."""


def step(command: str, folder: Path, env: dict[str, str], network: bool) -> tuple[float, float, str]:
    """Run a command; give its minutes, the peak memory of its largest process (MiB) and its last line."""
    start = time.monotonic()
    line = ["bash", "-c", command] if network else [*ALONE, "bash", "-c", command]
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            line, cwd=folder, env=env, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        out.seek(0)
        text = out.read()
    if status:
        sys.exit(f"{command} failed:\n{text[-4000:]}")
    told = [line for line in text.splitlines() if line.strip()] or [""]
    return (time.monotonic() - start) / 60, used.ru_maxrss / 1024, told[-1].strip()


def main(target: Path) -> None:
    """Run all steps and write what they took."""
    mirror = os.environ.get("ALPHAFLOPS_MIRROR")
    if not mirror:
        sys.exit("ALPHAFLOPS_MIRROR names no folder with the data of others: without a network they cannot be had")
    done = []
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        home.mkdir()
        base = {name: os.environ[name] for name in KEPT if name in os.environ} | {"HOME": str(home)}
        for name, command, network, data in STEPS:
            folder = Path(scratch) if name == "clone" else Path(scratch) / "alphaflops"
            proxies = {name: os.environ[name] for name in PROXIES if name in os.environ} if network else {}
            env = {**base, **proxies, **({"ALPHAFLOPS_MIRROR": mirror} if data else {})}
            minutes, memory, last = step(command.replace("ORIGIN", str(ROOT)), folder, env, network)
            last = last.replace(scratch, "").replace(str(ROOT), "")
            done.append({"name": name, "command": command, "network": network, "minutes": round(minutes, 2),
                         "memory_mib": round(memory), "last_line": last})  # fmt: skip
            sys.stdout.write(f"{name}: {minutes:.2f} min, {memory:.0f} MiB: {last}\n")
            sys.stdout.flush()
        kept = sum(path.stat().st_size for path in (Path(scratch) / "alphaflops").rglob("*") if path.is_file())
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    machine = f"{cpu[0].partition(': ')[2]}, {len(cpu)} cores" if cpu else platform.processor()
    told = {"machine": machine, "python": platform.python_version(), "disk_mib": round(kept / 2**20), "steps": done}
    target.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
