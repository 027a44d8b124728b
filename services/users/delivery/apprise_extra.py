"""Everything else by apprise, where the extra `apprise` is installed: Telegram, Discord, Slack, Pushover and so on.

Only services of fixed hosts (`core.delivery_channels.APPRISE`): apprise connects by itself, and must not be led to
machines near ours, files or desktops.
"""

import asyncio
import importlib.util
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from services.users.core.delivery import Outcome
from services.users.core.delivery_channels import Apprise
from services.users.core.delivery_messages import Message

TIME_LIMIT_S: Final = 20.0
_AT_ONCE: Final = 2


def installed() -> bool:
    return importlib.util.find_spec("apprise") is not None


class AppriseSender:
    """Its threads are its own: those of others must not wait for somebody's chat server."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_ONCE, "apprise")

    async def send(self, to: Apprise, message: Message) -> Outcome:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIME_LIMIT_S):
                return await loop.run_in_executor(self._threads, _notify, to.url, message)
        except TimeoutError:
            return Outcome("timeout")


def _notify(url: str, message: Message) -> Outcome:
    import apprise  # heavy, and only where somebody uses it

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it logs addresses, which are secrets
    service = apprise.Apprise.instantiate(
        url, asset=apprise.AppriseAsset(storage_mode="memory"), suppress_exceptions=True
    )
    if service is None or isinstance(service, dict):
        return Outcome("bad_url", gone=True)
    title = "Tickroom" if len(message.lines) == 1 else f"Tickroom: {message.title}"
    sent = service.notify(body="\n".join(message.lines), title=title, body_format=apprise.NotifyFormat.TEXT)
    return Outcome() if sent else Outcome("refused")
