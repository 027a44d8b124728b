"""Live stock prices, predictions and notifications of a Tickroom server: typed, resumed, each exactly once."""

from tickroom_client.client import Tickroom
from tickroom_client.errors import Closed, Garbled, Refused, TickroomError, Unreachable
from tickroom_client.messages import (
    AccountUpdate,
    AlertTriggered,
    Bar,
    Correction,
    Gap,
    Interval,
    Message,
    Notification,
    Prediction,
    Price,
    Problem,
    Record,
    Split,
)
from tickroom_client.patience import Patience
from tickroom_client.streams import MarketStream, NotificationStream, Stream
from tickroom_client.tokens import Ticket, TokenProvider

__all__ = [
    "AccountUpdate",
    "AlertTriggered",
    "Bar",
    "Closed",
    "Correction",
    "Gap",
    "Garbled",
    "Interval",
    "MarketStream",
    "Message",
    "Notification",
    "NotificationStream",
    "Patience",
    "Prediction",
    "Price",
    "Problem",
    "Record",
    "Refused",
    "Split",
    "Stream",
    "Ticket",
    "Tickroom",
    "TickroomError",
    "TokenProvider",
    "Unreachable",
]
