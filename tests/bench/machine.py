"""What a benchmark runs on: said in its table, and used to its limits."""

import os
import platform
import resource
from importlib.metadata import version
from pathlib import Path


def machine(*packages: str) -> str:
    """Processor, cores, system, Python and the versions of `packages`."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), platform.machine())
    where = f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    return "\n".join([where, *([", ".join(f"{name} {version(name)}" for name in packages)] if packages else [])])


def raise_file_limit() -> int:
    """Lets this process, and those it starts, open as many files as it may; how many that is."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def two_cores() -> tuple[int, int]:
    """A core for what is measured alone, and one for everything else: where this process is from now on."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("this needs two cores: one for the server alone, one for broker and clients")
    os.sched_setaffinity(0, {cores[1]})  # before the broker starts its threads, which inherit it
    return cores[0], cores[1]


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, of all its threads, to the nanosecond."""
    return sum(int(each.read_text().split()[0]) for each in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def stolen_s() -> float:
    """Seconds of all cores that the host of a virtual machine gave to others while something was to be run."""
    return int(Path("/proc/stat").read_text().split()[8]) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """What a process holds in memory (RSS)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
