"""A record describes the machine, and nothing that identifies a person or one computer."""

import getpass
import json
import os
import platform
import socket
import sys
from types import SimpleNamespace

import pytest

from alphaflops import host as machine
from alphaflops.errors import AlphaflopsError

torch = pytest.importorskip("torch")


def test_description_is_json_and_complete():
    found = machine.describe("cpu", 1)
    json.dumps(found, allow_nan=False)
    assert found["name"].endswith("1 thread")
    assert found["threads"] == 1
    assert found["gpu"] is None
    assert found["cpu"]["cores"] >= found["cpu"]["cores_usable"] >= 1
    assert found["cpu"]["cache_mib"] > 0
    assert machine.describe("cpu")["threads"] == machine.cores_usable()


def test_software_names_versions():
    found = machine.describe_software()
    json.dumps(found, allow_nan=False)
    assert found["torch"] == torch.__version__
    assert found["python"] == platform.python_version()
    assert found["blas"]


def test_nothing_private(monkeypatch):
    monkeypatch.setenv("USER", "planted-user")
    monkeypatch.setattr(socket, "gethostname", lambda: "planted-host")
    monkeypatch.setattr(platform, "node", lambda: "planted-host")
    text = json.dumps([machine.describe("cpu", 1), machine.describe_software()])
    assert "planted" not in text
    assert os.path.expanduser("~") not in text
    assert os.getcwd() not in text
    if len(getpass.getuser()) > 4:
        assert getpass.getuser() not in text
    assert "/" not in text.replace("torch-", "").replace(" / ", "")


def test_unknown_device():
    with pytest.raises(AlphaflopsError, match="device is 'tpu'"):
        machine.describe("tpu")


def test_sizes_and_files_that_are_not_there(monkeypatch):
    monkeypatch.setattr(machine, "_read", lambda path: "32768K\n" if "index3" in path else "")
    assert machine.cache_bytes() == 32 * 2**20
    monkeypatch.setattr(machine, "_read", lambda path: "")
    assert machine.cache_bytes() == 64 * 2**20
    assert machine.cpu_name()


@pytest.mark.parametrize(
    ("cpuinfo", "name", "instructions", "virtual"),
    [
        ("model name\t: Ours  9\nflags\t: fpu avx avx2 hypervisor\n\nflags: sve\n", "Ours 9", ["avx", "avx2"], True),
        ("Features\t: fp asimd sve\nModel\t: Board 4\n", "Board 4", ["asimd", "sve"], False),
    ],
)
def test_a_processor_is_described_by_what_the_system_says_of_the_first_core(
    monkeypatch, cpuinfo, name, instructions, virtual
):
    files = {"/proc/cpuinfo": cpuinfo, "/proc/meminfo": "MemTotal: 3145728 kB\n"}
    caches = "/sys/devices/system/cpu/cpu0/cache"
    files |= {f"{caches}/index0/size": "48K\n", f"{caches}/index2/size": "3M\n", f"{caches}/index3/size": "2048K\n"}
    monkeypatch.setattr(machine, "_read", lambda path: files.get(path, ""))
    found = machine.describe_cpu()
    assert (found["name"], found["instructions"], found["virtual"]) == (name, instructions, virtual)
    assert (found["cache_mib"], found["memory_gib"]) == (3, 3)


def test_memory(monkeypatch):
    monkeypatch.setattr(machine, "_read", lambda path: "MemTotal: 4 kB\nMemAvailable: 3 kB\n")
    assert machine.memory_bytes() == (4096, 3072)


def test_blas_out_of_the_build_string():
    assert machine._blas("Build settings: BLAS_INFO=mkl, BUILD_TYPE=Release") == "mkl"
    assert machine._blas("nothing") is None


PROPERTIES = SimpleNamespace(
    name="NVIDIA Testcard",
    major=9,
    minor=0,
    multi_processor_count=132,
    total_memory=80 * 2**30,
    L2_cache_size=50 * 2**20,
    uuid="aaaa-bbbb",
)


def library(**changes):
    """NVML with two cards, of which the second is the one that torch shows."""

    def refuse(*_):
        raise RuntimeError("Not Supported")

    base = {
        "NVML_CLOCK_SM": 1,
        "NVML_CLOCK_MEM": 2,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda i: i,
        "nvmlDeviceGetUUID": lambda h: ["GPU-cccc-dddd", b"GPU-aaaa-bbbb"][h],
        "nvmlDeviceGetMigMode": lambda h: [1, 1],
        "nvmlDeviceGetEnforcedPowerLimit": lambda h: 350_000,
        "nvmlDeviceGetEccMode": refuse,
        "nvmlDeviceGetComputeRunningProcesses": lambda h: [SimpleNamespace(pid=os.getpid()), SimpleNamespace(pid=-1)],
        "nvmlSystemGetDriverVersion": lambda: b"570.1",
        "nvmlDeviceGetMaxClockInfo": lambda h, what: 1980 if what == 1 else 2619,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
    }
    return SimpleNamespace(**(base | changes))


def described(monkeypatch, nvml, properties=PROPERTIES):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _index: properties)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    return machine.describe("cuda:0")


def test_gpu_with_mig_and_neighbours(monkeypatch):
    found = described(monkeypatch, library())
    gpu = found["gpu"]
    assert found["name"] == "NVIDIA Testcard"
    assert gpu["mig"] is True
    assert gpu["shared"] is True
    assert gpu["ecc"] is None
    assert gpu["driver"] == "570.1"
    assert gpu["power_limit_w"] == 350
    assert gpu["sm_clock_max_mhz"] == 1980
    assert gpu["memory_gib"] == 80
    assert "aaaa" not in json.dumps(found)


def test_gpu_alone(monkeypatch):
    mine = [SimpleNamespace(pid=os.getpid())]
    found = described(
        monkeypatch,
        library(nvmlDeviceGetMigMode=lambda h: [0, 0], nvmlDeviceGetComputeRunningProcesses=lambda h: mine),
    )
    assert found["gpu"]["mig"] is False
    assert found["gpu"]["shared"] is False


@pytest.mark.parametrize(("name", "mig"), [("NVIDIA Testcard", False), ("NVIDIA Testcard MIG 1g.10gb", True)])
def test_a_slice_of_a_gpu_is_known_by_its_name_where_nvml_does_not_tell(monkeypatch, name, mig):
    def refuse(_handle):
        raise RuntimeError("Not Supported")

    properties = SimpleNamespace(**(vars(PROPERTIES) | {"name": name}))
    assert described(monkeypatch, library(nvmlDeviceGetMigMode=refuse), properties)["gpu"]["mig"] is mig


def test_gpu_without_nvml(monkeypatch):
    def no_driver():
        raise RuntimeError("NVML Shared Library Not Found")

    found = described(monkeypatch, library(nvmlInit=no_driver))
    assert found["gpu"]["driver"] is None
    assert found["gpu"]["shared"] is None
    assert found["gpu"]["multiprocessors"] == 132


def test_gpu_that_nvml_does_not_know(monkeypatch):
    found = described(monkeypatch, library(nvmlDeviceGetUUID=lambda h: "GPU-other"))
    assert found["gpu"]["driver"] is None


def test_apple_machines_name_their_processor_and_gpu(monkeypatch):
    def sysctl(command, **_):
        assert command == ["sysctl", "-n", "machdep.cpu.brand_string"]
        return SimpleNamespace(stdout="Apple  M9\n")

    monkeypatch.setattr(machine, "_read", lambda path: "")
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    monkeypatch.setattr("subprocess.run", sysctl)
    assert machine.cpu_name() == "Apple M9"
    found = machine.describe("mps", 4)
    assert (found["name"], found["gpu"]) == ("Apple M9 (GPU)", {"name": "Apple M9"})


def test_a_system_without_sysctl_still_has_a_name(monkeypatch):
    def absent(*_args, **_keys):
        raise FileNotFoundError("sysctl")

    monkeypatch.setattr(machine, "_read", lambda path: "")
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    monkeypatch.setattr("subprocess.run", absent)
    assert machine.cpu_name() == " ".join((platform.processor() or platform.machine()).split())


def test_memory_and_cores_where_linux_does_not_tell(monkeypatch):
    monkeypatch.setattr(machine, "_read", lambda path: "")
    psutil = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(total=8, available=5))
    monkeypatch.setitem(sys.modules, "psutil", psutil)
    assert machine.memory_bytes() == (8, 5)
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert machine.memory_bytes() == (None, None)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert machine.cores_usable() == os.cpu_count()


def test_one_gpu_needs_no_identifier(monkeypatch):
    nameless = SimpleNamespace(**{key: value for key, value in vars(PROPERTIES).items() if key != "uuid"})
    found = described(monkeypatch, library(nvmlDeviceGetCount=lambda: 1), nameless)
    assert found["gpu"]["driver"] == "570.1"
    assert described(monkeypatch, library(), nameless)["gpu"]["driver"] is None
