"""The gRPC face of rules and notifications: protobuf in, protobuf out, and nothing decided here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from services.shared.database import Database
from services.shared.errors import NotFound
from services.shared.events import rfc3339
from services.shared.rpc import users_pb2 as pb
from services.shared.rpc.users_pb2_grpc import UsersServicer
from services.users.account_calls import check_key, wrong
from services.users.core.asked import Asked, AskedCondition
from services.users.previews import Asking, Previews
from services.users.rules import Change, Rules
from services.users.store import after_number, is_id, notifications, page_size
from services.users.store.alerts import StoredAlert

MOST_ACKS: Final = 100


@dataclass(frozen=True)
class AlertCalls(UsersServicer):
    """Part of `Users` of proto/users.proto. Without slots, so that it can be one of several bases."""

    rules: Rules
    previews: Previews
    database: Database
    now: Callable[[], datetime]

    async def CreateAlert(self, request: pb.CreateAlertRequest, context: Any) -> pb.Alert:
        check_key(request.idempotency_key)
        return _alert(await self.rules.create(request.user_id, _asked(request), request.idempotency_key))

    async def UpdateAlert(self, request: pb.UpdateAlertRequest, context: Any) -> pb.Alert:
        return _alert(await self.rules.change(request.user_id, request.alert_id, _change(request)))

    async def ListAlerts(self, request: pb.ListAlertsRequest, context: Any) -> pb.ListAlertsReply:
        found, next_page_token = await self.rules.page(
            request.user_id, request.limit, request.page_token, symbol=request.symbol, status=request.status
        )
        return pb.ListAlertsReply(alerts=map(_alert, found), next_page_token=next_page_token)

    async def GetAlert(self, request: pb.AlertRequest, context: Any) -> pb.Alert:
        return _alert(await self.rules.get(request.user_id, request.alert_id))

    async def DeleteAlert(self, request: pb.AlertRequest, context: Any) -> pb.DeleteAlertReply:
        await self.rules.delete(request.user_id, request.alert_id)
        return pb.DeleteAlertReply()

    async def ExplainAlert(self, request: pb.AlertRequest, context: Any) -> pb.Report:
        return pb.Report(json=msgspec.json.encode(await self.rules.explain(request.user_id, request.alert_id)))

    async def PreviewAlert(self, request: pb.PreviewAlertRequest, context: Any) -> pb.Report:
        prices = [(each.time, each.price) for each in request.prices] if request.given else None
        asking = Asking(_asked(request.rule), request.start, request.end, prices)
        return pb.Report(json=msgspec.json.encode(await self.previews.run(asking)))

    async def ListNotifications(self, request: pb.ListNotificationsRequest, context: Any) -> pb.ListNotificationsReply:
        size, after = page_size(request.limit), after_number(request.page_token)
        async with self.database.reading() as session:
            found, last = await notifications.notifications_of(
                session,
                request.user_id,
                unread_only=request.unread_only,
                after=after,
                limit=size,
                since=request.since,
                alert_id=request.alert_id,
            )
        page = [pb.StoredNotification(id=each.id, event=each.event, read=each.read) for each in found]
        return pb.ListNotificationsReply(notifications=page, next_page_token="" if last is None else str(last))

    async def GetNotification(self, request: pb.NotificationRequest, context: Any) -> pb.NotificationDetail:
        if is_id(request.notification_id):
            async with self.database.reading() as session:
                found = await notifications.notification_of(session, request.user_id, request.notification_id)
            if found is not None:
                stored, cause = found
                told = pb.StoredNotification(id=stored.id, event=stored.event, read=stored.read)
                return pb.NotificationDetail(notification=told, cause=None if cause is None else _cause(cause))
        raise NotFound("no such notification", code="unknown_notification")

    async def AckNotifications(self, request: pb.AckNotificationsRequest, context: Any) -> pb.AckNotificationsReply:
        if len(request.ids) > MOST_ACKS:
            raise wrong("ids", f"must be up to {MOST_ACKS}")
        ids = [each for each in request.ids if is_id(each)]
        up_to = request.up_to if is_id(request.up_to) else ""
        marked = 0
        if ids or up_to:
            async with self.database.transaction() as session:
                read_at = rfc3339(self.now())
                marked = await notifications.mark_read(session, request.user_id, ids, up_to, read_at)
        return pb.AckNotificationsReply(marked=marked)


def _asked(request: pb.CreateAlertRequest) -> Asked:
    return Asked(
        symbol=request.symbol,
        conditions=tuple(_condition(each) for each in request.conditions),
        trigger=request.trigger,
        cooldown_s=request.cooldown_s,
        hysteresis_pct=request.hysteresis_pct,
        expires_at=request.expires_at if request.HasField("expires_at") else None,
        message=request.message if request.HasField("message") else None,
        channels=tuple(request.channels),
        market_hours_only=request.market_hours_only,
        snoozed_until=request.snoozed_until if request.HasField("snoozed_until") else None,
        snooze_s=request.snooze_s if request.HasField("snooze_s") else None,
    )


def _condition(condition: pb.Condition) -> AskedCondition:
    given: dict[str, Any] = {field.name: value for field, value in condition.ListFields()}
    return AskedCondition(**{"type": "", **given})


def _change(request: pb.UpdateAlertRequest) -> Change:
    asked = _asked(request.rule)
    unknown = set(request.given).difference(asked.__struct_fields__)
    if unknown:
        raise wrong("given", "must be names of the fields of a rule")
    fields = {name: getattr(asked, name) for name in request.given}
    return Change(fields, request.paused if request.HasField("paused") else None)


def _alert(alert: StoredAlert) -> pb.Alert:
    rule = alert.rule
    return pb.Alert(
        id=rule.id,
        version=rule.version,
        status=alert.shown,
        symbol=rule.symbol,
        conditions=_conditions(alert.conditions),
        trigger=rule.trigger,
        cooldown_s=rule.cooldown_s,
        hysteresis_pct=rule.hysteresis_pct,
        expires_at=rule.expires_at,
        message=rule.message,
        channels=alert.channels,
        created_at=alert.created_at,
        market_hours_only=rule.market_hours_only,
        snoozed_until=rule.snoozed_until,
    )


def _cause(cause: notifications.Cause) -> pb.Cause:
    definition = cause.definition
    return pb.Cause(
        alert_id=cause.alert_id,
        rule_version=cause.rule_version,
        symbol=cause.symbol,
        epoch=cause.epoch,
        seq=cause.seq,
        time=cause.time,
        price=cause.price,
        previous_price=cause.previous_price,
        condition=cause.condition,
        threshold=cause.threshold,
        conditions=_conditions(definition.conditions if definition else ()),
        trigger=definition.trigger if definition else "",
        hysteresis_pct=definition.hysteresis_pct if definition else 0.0,
    )


def _conditions(conditions: Sequence[AskedCondition]) -> list[pb.Condition]:
    return [pb.Condition(type=each.type, **each.given()) for each in conditions]
