"""The conversation with a user's own room: each notification once, and marked as read when the user says so."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote

from tickroom_client.messages import AccountUpdate, AlertTriggered, Frame, Notification, Problem, read

_MOST_IDS: Final = 100
_REMEMBERED: Final = 10_000


class InboxTalk:
    """The server sends what is unread on every connection, so repeats are told by their id."""

    def __init__(self, user_id: str) -> None:
        self.path = f"/websocket/user/{quote(user_id, safe='')}/notifications"
        self.due = False
        self._seen: dict[str, None] = {}
        self._to_ack: dict[str, None] = {}
        self._unanswered: deque[tuple[str, list[str]]] = deque()
        self._frames = 0

    def ack(self, ids: Iterable[str]) -> None:
        """Said until the server has answered it."""
        self._to_ack.update(dict.fromkeys(ids))
        self.due = bool(self._to_ack)

    def begin(self) -> None:
        self._say_again(len(self._unanswered))

    def say(self) -> Frame | None:
        ids = list(self._to_ack)[:_MOST_IDS]
        for each in ids:
            del self._to_ack[each]
        self.due = bool(self._to_ack)
        if not ids:
            return None
        self._frames += 1
        self._unanswered.append((str(self._frames), ids))
        return {"type": "ack", "id": str(self._frames), "notification_ids": ids}

    def hear(self, frame: Frame) -> Sequence[Notification | Problem]:
        kind = frame["type"]
        if kind == "acked":
            self._hear_acked(frame.get("id"))
        elif kind == "ping":  # it was silent for long: whatever is not answered by now failed
            self._say_again(len(self._unanswered))
        elif kind == "error":
            return self._hear_error(frame)
        else:
            message = read(frame)
            if isinstance(message, AlertTriggered | AccountUpdate) and self._is_new(message.id):
                return [message]
        return ()

    def _hear_acked(self, frame_id: str | None) -> None:
        """Answers come in order: what was said before and is not answered was not done."""
        at = next((number for number, (said, _) in enumerate(self._unanswered) if said == frame_id), None)
        if at is not None:
            self._say_again(at)
            self._unanswered.popleft()

    def _hear_error(self, frame: Frame) -> Sequence[Problem]:
        """What may work later stays unanswered, and is said again when the server answers something, or is silent."""
        failed = next((said for said in self._unanswered if said[0] == frame.get("id")), None)
        if failed is not None:
            if frame["retryable"]:
                return ()
            self._unanswered.remove(failed)
        return [Problem(code=frame["code"], message=frame["message"])]

    def _say_again(self, count: int) -> None:
        for _ in range(count):
            self.ack(self._unanswered.popleft()[1])

    def _is_new(self, notification_id: str) -> bool:
        if notification_id in self._seen:
            return False
        self._seen[notification_id] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return True
