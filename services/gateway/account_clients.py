"""Accounts beyond their logins, asked of users over gRPC: a part of `clients.GrpcUsers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from services.gateway.account_backends import ApiKey, ApiKeyPage, ApiKeyWish, MailState, NewApiKey, Role, SessionRef
from services.gateway.calls import answer
from services.shared.rpc import users_pb2
from services.shared.scopes import Scope

if TYPE_CHECKING:
    from services.shared.rpc.users_pb2_grpc import UsersAsyncStub  # stands in the type stub alone

_HASHING_DEADLINE_S: Final = 15.0  # password hashes wait their turn behind a semaphore
_MAIL_DEADLINE_S: Final = 20.0
SAFE_TO_REPEAT: Final = ("GetMailState", "GetWatchlist", "ListApiKeys", "PutWatchlist", "VerifyApiKey")


class GrpcAccounts:
    """`account_backends.Accounts`."""

    _stub: UsersAsyncStub

    async def create_api_key(self, user_id: str, wish: ApiKeyWish) -> NewApiKey:
        request = users_pb2.CreateApiKeyRequest(
            user_id=user_id,
            name=wish.name,
            scopes=wish.scopes,
            expires_at=wish.expires_at,
            idempotency_key=wish.idempotency_key,
        )
        reply = await answer(self._stub.CreateApiKey(request))
        return NewApiKey(reply.id, reply.name, reply.key)

    async def api_keys(self, user_id: str, limit: int, page_token: str) -> ApiKeyPage:
        request = users_pb2.ListApiKeysRequest(user_id=user_id, limit=limit, page_token=page_token)
        reply = await answer(self._stub.ListApiKeys(request))
        return ApiKeyPage([_api_key(each) for each in reply.keys], reply.next_page_token)

    async def revoke_api_key(self, user_id: str, key_id: str) -> None:
        await answer(self._stub.RevokeApiKey(users_pb2.RevokeApiKeyRequest(user_id=user_id, key_id=key_id)))

    async def verify_api_key(self, key: str) -> SessionRef:
        reply = await answer(self._stub.VerifyApiKey(users_pb2.VerifyApiKeyRequest(key=key)))
        found = reply.session
        role: Role = "operator" if found.role == "operator" else "user"
        known = frozenset(scope for scope in Scope if scope in reply.scopes)
        return SessionRef(found.user_id, found.session_id, found.version, role, found.expires_at, known)

    async def mail_state(self, user_id: str) -> MailState:
        reply = await answer(self._stub.GetMailState(users_pb2.GetMailStateRequest(user_id=user_id)))
        return MailState(reply.email, reply.verified, reply.sends)

    async def send_verification(self, user_id: str) -> None:
        request = users_pb2.SendVerificationRequest(user_id=user_id)
        await answer(self._stub.SendVerification(request, timeout=_MAIL_DEADLINE_S))

    async def verify_email(self, code: str) -> None:
        await answer(self._stub.VerifyEmail(users_pb2.VerifyEmailRequest(code=code)))

    async def send_password_reset(self, email: str, client: str) -> None:
        request = users_pb2.SendPasswordResetRequest(email=email, client=client)
        await answer(self._stub.SendPasswordReset(request))

    async def reset_password(self, code: str, password: str, client: str) -> None:
        request = users_pb2.ResetPasswordRequest(code=code, password=password, client=client)
        await answer(self._stub.ResetPassword(request, timeout=_HASHING_DEADLINE_S))

    async def close_account(self, user_id: str, current_password: str, client: str) -> None:
        request = users_pb2.CloseAccountRequest(user_id=user_id, current_password=current_password, client=client)
        await answer(self._stub.CloseAccount(request, timeout=_HASHING_DEADLINE_S))

    async def watchlist(self, user_id: str) -> Sequence[str]:
        return list((await answer(self._stub.GetWatchlist(users_pb2.GetWatchlistRequest(user_id=user_id)))).symbols)

    async def put_watchlist(self, user_id: str, symbols: Sequence[str]) -> Sequence[str]:
        request = users_pb2.PutWatchlistRequest(user_id=user_id, symbols=symbols)
        return list((await answer(self._stub.PutWatchlist(request))).symbols)


def _api_key(key: users_pb2.ApiKey) -> ApiKey:
    return ApiKey(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        scopes=list(key.scopes),
        created_at=key.created_at,
        expires_at=key.expires_at if key.HasField("expires_at") else None,
        last_used_at=key.last_used_at if key.HasField("last_used_at") else None,
    )
