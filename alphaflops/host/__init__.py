"""What a number needs to know about where it was measured: processor, accelerator, driver, libraries, threads.

Nothing here identifies a person or one particular computer: no user name, host name, serial number, bus address or
path is read. torch is imported only by the functions that ask it something.
"""

import os
import platform
import re
from contextlib import suppress
from importlib import metadata
from typing import Any

from .cpu import describe_cpu, threads, word
from .gpu import describe_gpu

LIBRARIES = ("torch", "numpy", "pandas", "triton", "nvidia-ml-py")
"""Distributions whose versions go into a record (None where absent)."""

ENVIRONMENT = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_PROC_BIND", "KMP_AFFINITY", "GOMP_CPU_AFFINITY", "ONEDNN_MAX_CPU_ISA"),
    *("NVIDIA_TF32_OVERRIDE", "CUDA_LAUNCH_BLOCKING", "PYTORCH_CUDA_ALLOC_CONF", "CUBLAS_WORKSPACE_CONFIG"),
)
"""Environment variables that change timings, on processors and on GPUs; the ones that are set go into a record."""


def library_versions() -> dict[str, str | None]:
    """Versions of `LIBRARIES` as installed, None for those that are absent."""
    versions: dict[str, str | None] = dict.fromkeys(LIBRARIES)
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = word(metadata.version(name), 40)
    return versions


def describe_software() -> dict[str, Any]:
    """Describe Python, the system, the libraries that matter to timing, by version, and the environment they obey."""
    import torch

    backends: Any = torch.backends
    blas = re.search(r"BLAS_INFO=([^,\n]+)", torch.__config__.show())
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    return {
        **library_versions(),
        "torch": word(torch.__version__, 40),
        "cuda": torch.version.cuda,
        "cudnn": str(backends.cudnn.version()) if backends.cudnn.is_available() else None,
        "mkldnn": bool(backends.mkldnn.is_available()),
        "blas": blas and word(blas[1]),
        "python": platform.python_version(),
        "system": word(f"{platform.system()} {platform.release()}"),
        "environment": {k: re.sub(r"[^0-9A-Za-z_,:=.+-]", "-", v)[:64] for k, v in environment.items()},
    }


def describe(device: str, asked: int | None = None) -> dict[str, Any]:
    """Describe the machine behind `device` (``cpu`` or ``cuda:N``) for a record, with `asked` threads.

    Returns
    -------
    dict
        ``name`` (what a legend shows), ``cpu``, ``gpu`` (None without one) and ``threads``.
    """
    cpu, (kind, _, index) = describe_cpu(), device.partition(":")
    gpu = describe_gpu(int(index or 0)) if kind == "cuda" else None
    name = gpu["name"] if gpu else cpu["name"] + " virtual machine" * bool(cpu["virtual"])
    if gpu is None:
        asked = threads(asked)
        name += f", {asked} thread{'s' * (asked > 1)}"
    return {"name": name, "cpu": cpu, "gpu": gpu, "threads": asked}
