"""Fixtures of the gateway's tests."""

import pytest

from services.gateway import server
from services.gateway.websocket_protocol import FrameProtocol


@pytest.fixture(params=["frames", "messages"])
def _either_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "messages":
        monkeypatch.setattr(server, "FrameProtocol", FrameProtocol.__base__)
