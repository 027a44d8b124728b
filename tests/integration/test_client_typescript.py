"""The TypeScript client: its own tests on a double, then on Tickroom as it runs.

Needs Node with npm, and what `npm ci` puts into clients/typescript (`make test` does that).
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.house import ROOT, embedded
from tests.servers.process import free_port

CLIENT = ROOT / "clients" / "typescript"

pytestmark = pytest.mark.xdist_group("typescript")  # which builds it once


@pytest.fixture(scope="module")
def built() -> Path:
    """The folder of the compiled tests; the package itself is built too."""
    command = ["npm", "run", "--silent", "pretest"]
    done = subprocess.run(command, cwd=CLIENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100)
    assert done.returncode == 0, done.stdout
    return CLIENT / "build" / "test"


def files_in(folder: Path) -> list[str]:
    """Its tests: at least one, or nothing would be tested."""
    files = sorted(map(str, folder.glob("*.test.js")))
    assert files
    return files


async def stopped(node: asyncio.subprocess.Process) -> None:
    """Kills it where it still runs."""
    if node.returncode is None:
        node.kill()
        await node.wait()


async def run_tests(files: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Shows what they say where one fails."""
    node = await asyncio.create_subprocess_exec(
        *("node", "--test", "--test-reporter=spec", *files),
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(node.communicate(), 100)
    finally:
        await stopped(node)
    assert node.returncode == 0, said.decode()


async def test_its_own_tests(built: Path) -> None:
    await run_tests(files_in(built))


async def test_on_the_running_gateway(built: Path, tmp_path: Path) -> None:
    """Tokens expire after 10 s here, so one of the streams outlives some; the replay lasts longer than the tests."""
    settings = {"REPLAY_RATE": "100", "REPLAY_START": "2010-01-04", "ACCESS_TOKEN_TTL_S": "10"}
    async with embedded(tmp_path, **settings) as (_, base):
        await run_tests(files_in(built / "live"), {"TICKROOM_URL": base})


class Follower:
    """`follow.js`: what it says, line by line."""

    def __init__(self, node: asyncio.subprocess.Process) -> None:
        self._node = node
        self.said: list[dict[str, Any]] = []

    async def hears(self, count: int) -> None:
        """Waits for so many records more."""
        assert self._node.stdout is not None
        while count:
            line = await asyncio.wait_for(self._node.stdout.readline(), 30)
            assert line, self.said[-3:]
            self.said.append(json.loads(line))
            count -= "seq" in self.said[-1]

    async def leaves(self) -> None:
        """Its stream ends, and with it the program."""
        assert self._node.stdin is not None
        self._node.stdin.close()
        assert await asyncio.wait_for(self._node.wait(), 10) == 0


async def test_a_restart_of_the_gateway_loses_nothing_without_saying_so(built: Path, tmp_path: Path) -> None:
    port = str(free_port())
    async with AsyncExitStack() as cleanup:
        async with embedded(tmp_path, REPLAY_RATE="50", PORT=port) as (running, base):
            node = await asyncio.create_subprocess_exec(
                *("node", str(built / "live" / "follow.js"), "AAPL", "IBM"),
                env={**os.environ, "TICKROOM_URL": base},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            cleanup.push_async_callback(stopped, node)
            follower = Follower(node)
            await follower.hears(60)
            running.terminate()
        async with embedded(tmp_path, REPLAY_RATE="50", PORT=port):
            await follower.hears(60)
            await follower.leaves()
    losses = [at for at, each in enumerate(follower.said) if each["type"] == "retry"]
    first = follower.said[losses[0]]
    assert first["closeCode"] == 4503
    assert first["reason"].startswith("retry_after_ms=")
    assert _holes(follower.said) == []
    assert {each["symbol"] for each in follower.said[losses[-1] + 1 :]} == {"AAPL", "IBM"}


def _holes(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records that do not follow the one before of their symbol, where nobody said that they don't."""
    last: dict[str, tuple[str, int]] = {}
    holes = []
    for each in said:
        if each["type"] == "gap":
            last.pop(each["symbol"], None)
        if each["type"] not in {"stock_price_update", "bar"}:
            continue
        epoch, seq = last.get(each["symbol"], (each["epoch"], each["seq"] - 1 - each["conflated"]))
        if each["epoch"] == epoch and each["seq"] != seq + 1 + each["conflated"]:
            holes.append(each)
        last[each["symbol"]] = each["epoch"], each["seq"]
    return holes
