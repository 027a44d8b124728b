"""The gRPC face of accounts beyond their logins: protobuf in, protobuf out, and nothing decided here."""

from dataclasses import dataclass
from typing import Any, Final

from services.shared.errors import FieldError, InvalidInput
from services.shared.rpc import users_pb2 as pb
from services.shared.rpc.users_pb2_grpc import UsersServicer
from services.users.api_keys import ApiKeys
from services.users.closing import Closing
from services.users.mail_codes import MailCodes
from services.users.store.api_keys import ApiKey
from services.users.watchlists import Watchlists

_MOST_KEY: Final = 255


@dataclass(frozen=True, slots=True)
class AccountCalls(UsersServicer):
    """Part of `Users` of proto/users.proto."""

    api_keys: ApiKeys
    mail_codes: MailCodes
    closing: Closing
    watchlists: Watchlists

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Any) -> pb.CreateApiKeyReply:
        check_key(request.idempotency_key)
        expires_at = request.expires_at if request.HasField("expires_at") else None
        made, shown = await self.api_keys.create(
            request.user_id, request.name, list(request.scopes), expires_at, request.idempotency_key
        )
        return pb.CreateApiKeyReply(id=made.id, name=made.name, key=shown)

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Any) -> pb.ListApiKeysReply:
        found, next_page_token = await self.api_keys.page(request.user_id, request.limit, request.page_token)
        return pb.ListApiKeysReply(keys=map(_api_key, found), next_page_token=next_page_token)

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Any) -> pb.RevokeApiKeyReply:
        await self.api_keys.revoke(request.user_id, request.key_id)
        return pb.RevokeApiKeyReply()

    async def VerifyApiKey(self, request: pb.VerifyApiKeyRequest, context: Any) -> pb.VerifyApiKeyReply:
        holder = await self.api_keys.verify(request.key)
        user_id, key_id, version = holder.ref
        session = pb.SessionRef(
            user_id=user_id, session_id=key_id, version=version, role=holder.role, expires_at=holder.expires_at
        )
        return pb.VerifyApiKeyReply(session=session, scopes=holder.scopes)

    async def GetMailState(self, request: pb.GetMailStateRequest, context: Any) -> pb.MailState:
        account, sends = await self.mail_codes.state(request.user_id)
        return pb.MailState(email=account.email, verified=account.email_verified_at is not None, sends=sends)

    async def SendVerification(self, request: pb.SendVerificationRequest, context: Any) -> pb.SendVerificationReply:
        await self.mail_codes.send_verification(request.user_id)
        return pb.SendVerificationReply()

    async def VerifyEmail(self, request: pb.VerifyEmailRequest, context: Any) -> pb.VerifyEmailReply:
        await self.mail_codes.verify(request.code)
        return pb.VerifyEmailReply()

    async def SendPasswordReset(self, request: pb.SendPasswordResetRequest, context: Any) -> pb.SendPasswordResetReply:
        await self.mail_codes.send_reset(request.email, request.client)
        return pb.SendPasswordResetReply()

    async def ResetPassword(self, request: pb.ResetPasswordRequest, context: Any) -> pb.ResetPasswordReply:
        await self.mail_codes.reset(request.code, request.password, request.client)
        return pb.ResetPasswordReply()

    async def CloseAccount(self, request: pb.CloseAccountRequest, context: Any) -> pb.CloseAccountReply:
        await self.closing.close(request.user_id, request.current_password, request.client)
        return pb.CloseAccountReply()

    async def GetWatchlist(self, request: pb.GetWatchlistRequest, context: Any) -> pb.Watchlist:
        return pb.Watchlist(symbols=await self.watchlists.get(request.user_id))

    async def PutWatchlist(self, request: pb.PutWatchlistRequest, context: Any) -> pb.Watchlist:
        return pb.Watchlist(symbols=await self.watchlists.put(request.user_id, list(request.symbols)))


def check_key(key: str) -> None:
    """Raises InvalidInput for what can't be an idempotency key."""
    if not (key.isprintable() and len(key) <= _MOST_KEY):
        raise wrong("idempotency_key", f"must be up to {_MOST_KEY} printable characters")


def wrong(field: str, why: str) -> InvalidInput:
    """Of one field of a call."""
    return InvalidInput(f"{field}: {why}", errors=(FieldError(field, why),))


def _api_key(key: ApiKey) -> pb.ApiKey:
    return pb.ApiKey(
        id=key.id,
        name=key.name,
        prefix=f"tk_{key.prefix}",
        scopes=key.scopes,
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
    )
