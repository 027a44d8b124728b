"""Asks a room whether it serves: `python -m services.shared.rpc.health dns:///host:port`; exit code 0 or 1."""

import asyncio
import sys

from services.shared.rpc.channel import is_healthy, open_channel


async def _ask(address: str) -> bool:
    async with open_channel(address, token=None, service="grpc.health.v1.Health") as channel:
        return await is_healthy(channel, timeout_s=3.0)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m services.shared.rpc.health ADDRESS")
    raise SystemExit(0 if asyncio.run(_ask(sys.argv[1])) else 1)
