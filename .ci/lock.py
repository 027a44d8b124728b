"""Writes both locks from pyproject.toml: `make lock` (`make lock UPGRADE=1` takes newer versions). Needs uv.

`--check` needs neither uv nor the network: each lock names the digest of the lists that it was made from.
"""

import hashlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNTIME, DEV = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"


def header(lock: Path) -> str:
    """Its first line, with the digest of everything in pyproject.toml that decides what it holds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["requires-python"], project["dependencies"]]
    if lock == DEV:
        lists.append(project["optional-dependencies"])
    digest = hashlib.sha256(json.dumps(lists).encode()).hexdigest()[:16]
    what = "what runs" if lock == RUNTIME else "what runs, and the tools to test and check it"
    return f"# {what}; `make lock` wrote it from pyproject.toml, lists {digest}\n"


def write(lock: Path, *arguments: str) -> None:
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
    command += ["--no-header", "--no-emit-index-url", "--no-emit-find-links", *arguments, "--output-file", lock.name]
    if os.environ.get("UPGRADE"):
        command.append("--upgrade")
    subprocess.run([*command, "pyproject.toml"], cwd=ROOT, check=True)
    lock.write_text(header(lock) + lock.read_text())


def main() -> int:
    if "--check" in sys.argv:
        stale = " and ".join(lock.name for lock in (RUNTIME, DEV) if not lock.read_text().startswith(header(lock)))
        print(f"{stale}: made from another pyproject.toml; run `make lock`" if stale else "locks are up to date")
        return 1 if stale else 0
    try:
        write(RUNTIME)
        write(DEV, "--extra", "dev", "--constraint", RUNTIME.name)
    except FileNotFoundError:
        sys.exit("needs uv: https://docs.astral.sh/uv/")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
