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
from alphaflops.host import cpu

torch = pytest.importorskip("torch")


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A machine whose ``/proc`` and ``/sys`` hold what a test writes: ``planted({"/proc/cpuinfo": "…"})``."""
    monkeypatch.setattr(cpu, "ROOT", tmp_path)

    def plant(files):
        for name, text in files.items():
            path = tmp_path / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return plant


def test_description_is_json_and_complete():
    found = machine.describe("cpu", 1)
    json.dumps(found, allow_nan=False)
    assert found["name"].endswith("1 thread")
    assert found["threads"] == 1
    assert found["gpu"] is None
    assert found["cpu"]["cores"] >= found["cpu"]["cores_usable"] >= 1
    assert found["cpu"]["cache_mib"] > 0


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


def test_sizes_and_files_that_are_not_there(planted):
    assert cpu.cache_bytes() == 64 * 2**20
    assert cpu.cpu_name()
    planted({"/sys/devices/system/cpu/cpu0/cache/index3/size": "32768K\n"})
    assert cpu.cache_bytes() == 32 * 2**20


@pytest.mark.parametrize(
    ("cpuinfo", "name", "instructions", "virtual"),
    [
        ("model name\t: Ours  9\nflags\t: fpu avx avx2 hypervisor\n\nflags: sve\n", "Ours 9", ["avx", "avx2"], True),
        ("Features\t: fp asimd sve\nModel\t: Board 4\n", "Board 4", ["asimd", "sve"], False),
    ],
)
def test_a_processor_is_described_by_what_the_system_says_of_the_first_core(
    planted, cpuinfo, name, instructions, virtual
):
    files = {"/proc/cpuinfo": cpuinfo, "/proc/meminfo": "MemTotal: 3145728 kB\n"}
    caches = "/sys/devices/system/cpu/cpu0/cache"
    files |= {f"{caches}/index0/size": "48K\n", f"{caches}/index2/size": "3M\n", f"{caches}/index3/size": "2048K\n"}
    planted(files)
    found = cpu.describe_cpu()
    assert (found["name"], found["instructions"], found["virtual"]) == (name, instructions, virtual)
    assert (found["cache_mib"], found["memory_gib"]) == (3, 3)


def test_memory(planted):
    planted({"/proc/meminfo": "MemTotal: 4 kB\nMemAvailable: 3 kB\n"})
    assert cpu.memory_bytes() == (4096, 3072)


GIB = 2**30
MEMINFO = {"/proc/meminfo": f"MemTotal: {16 * 2**20} kB\nMemAvailable: {12 * 2**20} kB\n"}
CONTAINER = {
    "/sys/fs/cgroup/cpu.max": "100000 100000\n",
    "/sys/fs/cgroup/memory.max": f"{2 * GIB}\n",
    "/sys/fs/cgroup/memory.current": f"{GIB}\n",
}
NESTED = {
    "/proc/self/cgroup": "0::/lab/job\n",
    "/sys/fs/cgroup/lab/cpu.max": "100000 100000\n",
    "/sys/fs/cgroup/lab/job/cpu.max": "max 100000\n",
    "/sys/fs/cgroup/lab/memory.max": f"{2 * GIB}\n",
    "/sys/fs/cgroup/lab/memory.current": f"{GIB + 4096}\n",
    "/sys/fs/cgroup/lab/memory.stat": "anon 5\ninactive_file 4096\n",
    "/sys/fs/cgroup/lab/job/memory.max": "max\n",
}
OLD = {
    "/proc/self/cgroup": "4:memory:/\n2:cpu,cpuacct:/\n",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
    "/sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
}


@pytest.mark.parametrize("files", [CONTAINER, NESTED, OLD])
def test_limits_of_control_groups_are_honoured_and_recorded(planted, monkeypatch, files):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    planted(MEMINFO | files)
    assert cpu.cores_usable() == 1
    assert cpu.memory_bytes() == (2 * GIB, GIB)
    found = cpu.describe_cpu()
    assert (found["cores_usable"], found["memory_gib"], found["memory_limit_gib"]) == (1, 16, 2)
    assert found["quota_cores"] == (1.5 if files is OLD else 1)


def test_without_limits_nothing_is_limited(planted, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    endless = {"/sys/fs/cgroup/memory/memory.limit_in_bytes": str(2**63 - 4096), "/sys/fs/cgroup/cpu.max": "max 100000"}
    planted(
        MEMINFO | endless | {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "9"}
    )
    assert cpu.cores_usable() == 8
    assert cpu.memory_bytes() == (16 * GIB, 12 * GIB)
    assert cpu.describe_cpu()["memory_limit_gib"] is None


@pytest.mark.parametrize(("told", "count"), [("3", 3), ("2,4", 2), ("", 8), ("many", 8)])
def test_the_threads_that_the_environment_asks_for(planted, monkeypatch, told, count):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert cpu.threads() == machine.describe("cpu")["threads"] == count
    assert cpu.threads(5) == 5


@pytest.mark.parametrize("count", [0, -1, 2**40])
def test_threads_that_cannot_be_had_are_refused(count):
    with pytest.raises(AlphaflopsError, match=f"threads is {count}: give 1 to"):
        cpu.threads(count)


def test_what_a_system_says_is_cut_to_what_a_record_may_hold(planted, monkeypatch):
    planted({"/proc/cpuinfo": "model name\t: EPYC [9](../x) <script>$\n"})
    monkeypatch.setattr(platform, "release", lambda: "5.15~/home/zeb\x1b[31m")
    monkeypatch.setenv("KMP_AFFINITY", "/home/zeb `x`")
    assert cpu.cpu_name() == "EPYC 9 (../x) script"
    told = machine.describe_software()
    assert told["system"] == f"{platform.system()} 5.15--home-zeb--31m"
    assert told["environment"]["KMP_AFFINITY"] == "-home-zeb--x-"


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


def test_apple_machines_name_their_processor(planted, monkeypatch):
    def sysctl(command, **_):
        assert command == ["sysctl", "-n", "machdep.cpu.brand_string"]
        return SimpleNamespace(stdout="Apple  M9\n")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("subprocess.run", sysctl)
    assert cpu.cpu_name() == "Apple M9"


def test_a_system_without_sysctl_still_has_a_name(planted, monkeypatch):
    def absent(*_args, **_keys):
        raise FileNotFoundError("sysctl")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("subprocess.run", absent)
    assert cpu.cpu_name() == " ".join((platform.processor() or platform.machine()).split())


def test_memory_and_cores_where_linux_does_not_tell(planted, monkeypatch):
    assert cpu.memory_bytes() == (None, None)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cpu.cores_usable() == os.cpu_count()


def test_one_gpu_needs_no_identifier(monkeypatch):
    nameless = SimpleNamespace(**{key: value for key, value in vars(PROPERTIES).items() if key != "uuid"})
    found = described(monkeypatch, library(nvmlDeviceGetCount=lambda: 1), nameless)
    assert found["gpu"]["driver"] == "570.1"
    assert described(monkeypatch, library(), nameless)["gpu"]["driver"] is None
