"""The gRPC face of this room: protobuf in, protobuf out, and nothing decided here."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.shared.database import Database
from services.shared.errors import FieldError, InvalidInput
from services.shared.events import rfc3339
from services.shared.rpc import users_pb2 as pb
from services.shared.rpc.users_pb2_grpc import UsersServicer
from services.users import tokens
from services.users.accounts import Accounts, Login
from services.users.core.drafts import Asked, AskedCondition
from services.users.rules import Rules
from services.users.store import after_number, is_id, notifications, page_size
from services.users.store.alerts import StoredAlert

MOST_ACKS: Final = 100
_MOST_KEY: Final = 255
_log = logging.getLogger("tickroom.users.rpc")


@dataclass(frozen=True, slots=True)
class Servicer(UsersServicer):
    """`Users` of proto/users.proto. Errors are ours; `services.shared.rpc` turns them into status codes."""

    accounts: Accounts
    rules: Rules
    database: Database
    now: Callable[[], datetime]

    async def Register(self, request: pb.RegisterRequest, context: Any) -> pb.LoginReply:
        return _login(await self.accounts.register(request.name, request.email, request.password, request.client))

    async def Login(self, request: pb.LoginRequest, context: Any) -> pb.LoginReply:
        return _login(await self.accounts.login(request.email, request.password, request.client))

    async def Verify(self, request: pb.VerifyRequest, context: Any) -> pb.VerifyReply:
        claims = await self.accounts.verify(request.access_token)
        return pb.VerifyReply(
            user_id=claims.user_id, token_version=claims.version, expires_at=rfc3339(claims.expires_at)
        )

    async def Keys(self, request: pb.KeysRequest, context: Any) -> pb.KeysReply:
        keys = [pb.PublicKey(kid=kid, ed25519=raw) for kid, raw in self.accounts.tokens.public_keys().items()]
        return pb.KeysReply(keys=keys, issuer=tokens.ISSUER, audience=tokens.AUDIENCE)

    async def GetProfile(self, request: pb.GetProfileRequest, context: Any) -> pb.Profile:
        found = await self.accounts.profile(request.user_id)
        return pb.Profile(
            user_id=found.id,
            name=found.name,
            email=found.email,
            created_at=found.created_at,
            preferences_json=found.preferences,
        )

    async def CreateAlert(self, request: pb.CreateAlertRequest, context: Any) -> pb.Alert:
        if not (request.idempotency_key.isprintable() and len(request.idempotency_key) <= _MOST_KEY):
            raise _wrong("idempotency_key", f"must be up to {_MOST_KEY} printable characters")
        return _alert(await self.rules.create(request.user_id, _asked(request), request.idempotency_key))

    async def ListAlerts(self, request: pb.ListAlertsRequest, context: Any) -> pb.ListAlertsReply:
        found, next_page_token = await self.rules.page(request.user_id, request.limit, request.page_token)
        return pb.ListAlertsReply(alerts=map(_alert, found), next_page_token=next_page_token)

    async def GetAlert(self, request: pb.AlertRequest, context: Any) -> pb.Alert:
        return _alert(await self.rules.get(request.user_id, request.alert_id))

    async def DeleteAlert(self, request: pb.AlertRequest, context: Any) -> pb.DeleteAlertReply:
        await self.rules.delete(request.user_id, request.alert_id)
        return pb.DeleteAlertReply()

    async def ListNotifications(self, request: pb.ListNotificationsRequest, context: Any) -> pb.ListNotificationsReply:
        size, after = page_size(request.limit), after_number(request.page_token)
        async with self.database.reading() as session:
            found, last = await notifications.notifications_of(
                session, request.user_id, unread_only=request.unread_only, after=after, limit=size
            )
        page = [pb.StoredNotification(id=each.id, event=each.event, read=each.read) for each in found]
        return pb.ListNotificationsReply(notifications=page, next_page_token="" if last is None else str(last))

    async def AckNotifications(self, request: pb.AckNotificationsRequest, context: Any) -> pb.AckNotificationsReply:
        if len(request.ids) > MOST_ACKS:
            raise _wrong("ids", f"must be up to {MOST_ACKS}")
        ids = [each for each in request.ids if is_id(each)]
        up_to = request.up_to if is_id(request.up_to) else ""
        marked = 0
        if ids or up_to:
            async with self.database.transaction() as session:
                read_at = rfc3339(self.now())
                marked = await notifications.mark_read(session, request.user_id, ids, up_to, read_at)
        return pb.AckNotificationsReply(marked=marked)


def _login(login: Login) -> pb.LoginReply:
    return pb.LoginReply(
        user_id=login.account.id,
        name=login.account.name,
        email=login.account.email,
        access_token=login.access_token,
        expires_in=login.expires_in,
        refresh_token=login.refresh_token,
    )


def _asked(request: pb.CreateAlertRequest) -> Asked:
    return Asked(
        symbol=request.symbol,
        conditions=tuple(
            AskedCondition(each.type, each.threshold if each.HasField("threshold") else None)
            for each in request.conditions
        ),
        trigger=request.trigger,
        cooldown_s=request.cooldown_s,
        hysteresis_pct=request.hysteresis_pct,
        expires_at=request.expires_at if request.HasField("expires_at") else None,
        message=request.message if request.HasField("message") else None,
        channels=tuple(request.channels),
    )


def _alert(alert: StoredAlert) -> pb.Alert:
    rule = alert.rule
    return pb.Alert(
        id=rule.id,
        version=rule.version,
        status=alert.status,
        symbol=rule.symbol,
        conditions=[pb.Condition(type=each.type, threshold=each.threshold) for each in rule.conditions],
        trigger=rule.trigger,
        cooldown_s=rule.cooldown_s,
        hysteresis_pct=rule.hysteresis_pct,
        expires_at=rule.expires_at,
        message=rule.message,
        channels=alert.channels,
        created_at=alert.created_at,
    )


def _wrong(field: str, why: str) -> InvalidInput:
    return InvalidInput(f"{field}: {why}", errors=(FieldError(field, why),))
