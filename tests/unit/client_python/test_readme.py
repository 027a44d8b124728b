"""The examples of the README do what it says."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client_python.double import Guest, playing, prediction, price
from tickroom_client import Closed

_README = Path(__file__).parents[3] / "clients" / "python" / "README.md"


async def test_the_first_example(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    async def scene(guest: Guest) -> None:
        assert await guest.list() == ["AAPL", "MSFT"]
        await guest.hear("resume")
        await guest.say(price(1), prediction(1, 0), price(3))
        await guest.close(4403)

    example = re.findall(r"```python\n(.*?)```", _README.read_text(), re.DOTALL)[0]
    code, run, _ = example.partition("asyncio.run(main())")
    assert run
    names: dict[str, Any] = {}
    async with playing(scene) as double:
        exec(code.replace("ws://127.0.0.1:8000", double.url), names)
        with pytest.raises(Closed):
            await names["main"]()
    assert capsys.readouterr().out.splitlines() == [
        "AAPL 1.0 2024-09-21 14:01:00+00:00",
        "AAPL buy 0.5",
        "AAPL is not whole here: missing",
        "AAPL 3.0 2024-09-21 14:01:00+00:00",
    ]


def test_every_example_is_python() -> None:
    for example in re.findall(r"```python\n(.*?)```", _README.read_text(), re.DOTALL):
        compile(f"async def example():\n{re.sub(r'^', '    ', example, flags=re.MULTILINE)}", "README", "exec")
