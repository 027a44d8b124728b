"""The gRPC face of this room: protobuf in, protobuf out, and nothing decided here."""

import logging
from dataclasses import dataclass
from typing import Any

from services.shared.events import rfc3339
from services.shared.rpc import users_pb2 as pb
from services.users import tickets, tokens
from services.users.account_calls import AccountCalls, check_key
from services.users.accounts import Accounts
from services.users.alert_calls import AlertCalls
from services.users.channel_calls import ChannelCalls
from services.users.core.profiles import Change
from services.users.profiles import Profiles
from services.users.sessions import Login, Sessions
from services.users.store import after_number
from services.users.store.accounts import Account
from services.users.store.sessions import Ref
from services.users.tickets import Tickets

_log = logging.getLogger("tickroom.users.rpc")


@dataclass(frozen=True, slots=True)
class Servicer(AlertCalls, AccountCalls, ChannelCalls):
    """`Users` of proto/users.proto. Errors are ours; `services.shared.rpc` turns them into status codes."""

    accounts: Accounts
    sessions: Sessions
    tickets: Tickets
    profiles: Profiles

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
        ended = await self.sessions.logout(request.user_id, request.session_id, everywhere=request.everywhere)
        return pb.LogoutReply(ended=ended)

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
