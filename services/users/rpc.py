"""The gRPC face of this room: protobuf in, protobuf out, and nothing decided here."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.shared.database import Database
from services.shared.events import rfc3339
from services.shared.rpc import users_pb2 as pb
from services.users import tickets, tokens
from services.users.account_calls import AccountCalls, check_key, wrong
from services.users.accounts import Accounts
from services.users.channel_calls import ChannelCalls
from services.users.core.asked import Asked, AskedCondition
from services.users.core.profiles import Change
from services.users.profiles import Profiles
from services.users.rules import Change as RuleChange
from services.users.rules import Rules
from services.users.sessions import Login, Sessions
from services.users.store import after_number, is_id, notifications, page_size
from services.users.store.accounts import Account
from services.users.store.alerts import StoredAlert
from services.users.store.sessions import Ref
from services.users.tickets import Tickets

MOST_ACKS: Final = 100
_log = logging.getLogger("tickroom.users.rpc")


@dataclass(frozen=True, slots=True)
class Servicer(AccountCalls, ChannelCalls):
    """`Users` of proto/users.proto. Errors are ours; `services.shared.rpc` turns them into status codes."""

    accounts: Accounts
    sessions: Sessions
    tickets: Tickets
    profiles: Profiles
    rules: Rules
    database: Database
    now: Callable[[], datetime]

    async def Register(self, request: pb.RegisterRequest, context: Any) -> pb.LoginReply:
        check_key(request.idempotency_key)
        return _login(
            await self.accounts.register(
                request.name, request.email, request.password, request.client, request.device, request.idempotency_key
            )
        )

    async def Login(self, request: pb.LoginRequest, context: Any) -> pb.LoginReply:
        return _login(await self.accounts.login(request.email, request.password, request.client, request.device))

    async def Refresh(self, request: pb.RefreshRequest, context: Any) -> pb.LoginReply:
        return _login(await self.sessions.refresh(request.refresh_token, request.client))

    async def Logout(self, request: pb.LogoutRequest, context: Any) -> pb.LogoutReply:
        await self.sessions.logout(request.user_id, request.session_id, everywhere=request.everywhere)
        return pb.LogoutReply()

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Any) -> pb.ListSessionsReply:
        found, next_page_token = await self.sessions.page(request.user_id, request.limit, request.page_token)
        page = [
            pb.Session(id=each.id, device=each.device, created_at=each.created_at, last_used_at=each.last_used_at)
            for each in found
        ]
        return pb.ListSessionsReply(sessions=page, next_page_token=next_page_token)

    async def IssueTicket(self, request: pb.IssueTicketRequest, context: Any) -> pb.IssueTicketReply:
        ticket = await self.tickets.issue(_ref(request.session), request.session.expires_at)
        return pb.IssueTicketReply(ticket=ticket, expires_in=tickets.TTL_S)

    async def RedeemTicket(self, request: pb.RedeemTicketRequest, context: Any) -> pb.SessionRef:
        holder = await self.tickets.redeem(request.ticket)
        user_id, session_id, version = holder.ref
        return pb.SessionRef(
            user_id=user_id, session_id=session_id, version=version, role=holder.role, expires_at=holder.expires_at
        )

    async def CheckSessions(self, request: pb.CheckSessionsRequest, context: Any) -> pb.CheckSessionsReply:
        return pb.CheckSessionsReply(valid=await self.sessions.check([_ref(each) for each in request.sessions]))

    async def ListRevocations(self, request: pb.ListRevocationsRequest, context: Any) -> pb.ListRevocationsReply:
        events, last = await self.sessions.revocations(after_number(request.page_token))
        return pb.ListRevocationsReply(events=events, next_page_token="" if last is None else str(last))

    async def Verify(self, request: pb.VerifyRequest, context: Any) -> pb.VerifyReply:
        claims = await self.sessions.verify(request.access_token)
        return pb.VerifyReply(
            user_id=claims.user_id, token_version=claims.version, expires_at=rfc3339(claims.expires_at)
        )

    async def Keys(self, request: pb.KeysRequest, context: Any) -> pb.KeysReply:
        signed = self.sessions.tokens
        keys = [pb.PublicKey(kid=kid, ed25519=raw) for kid, raw in signed.public_keys().items()]
        return pb.KeysReply(keys=keys, issuer=tokens.ISSUER, audience=tokens.AUDIENCE, token_ttl_s=signed.ttl_s)

    async def GetProfile(self, request: pb.GetProfileRequest, context: Any) -> pb.Profile:
        return _profile(await self.profiles.get(request.user_id))

    async def UpdateProfile(self, request: pb.UpdateProfileRequest, context: Any) -> pb.Profile:
        asked = Change(
            name=request.name if request.HasField("name") else None,
            email=request.email if request.HasField("email") else None,
            password=request.password if request.HasField("password") else None,
            preferences=request.preferences_json if request.HasField("preferences_json") else None,
        )
        current = request.current_password
        return _profile(await self.profiles.update(request.user_id, asked, current, request.client))

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
            raise wrong("ids", f"must be up to {MOST_ACKS}")
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


def _profile(account: Account) -> pb.Profile:
    return pb.Profile(
        user_id=account.id,
        name=account.name,
        email=account.email,
        created_at=account.created_at,
        preferences_json=account.preferences,
    )


def _ref(session: pb.SessionRef) -> Ref:
    return session.user_id, session.session_id, session.version


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


def _change(request: pb.UpdateAlertRequest) -> RuleChange:
    asked = _asked(request.rule)
    unknown = set(request.given).difference(asked.__struct_fields__)
    if unknown:
        raise wrong("given", "must be names of the fields of a rule")
    fields = {name: getattr(asked, name) for name in request.given}
    return RuleChange(fields, request.paused if request.HasField("paused") else None)


def _alert(alert: StoredAlert) -> pb.Alert:
    rule = alert.rule
    return pb.Alert(
        id=rule.id,
        version=rule.version,
        status=alert.shown,
        symbol=rule.symbol,
        conditions=[pb.Condition(type=each.type, **each.given()) for each in alert.conditions],
        trigger=rule.trigger,
        cooldown_s=rule.cooldown_s,
        hysteresis_pct=rule.hysteresis_pct,
        expires_at=rule.expires_at,
        message=rule.message,
        channels=alert.channels,
        created_at=alert.created_at,
        market_hours_only=alert.market_hours_only,
        snoozed_until=alert.snoozed_until,
    )
