"""What a benchmark ran on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def machine(*packages: str) -> str:
    """Processor, cores, system, Python and the versions of `packages`."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), platform.machine())
    where = f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    return "\n".join([where, *([", ".join(f"{name} {version(name)}" for name in packages)] if packages else [])])
