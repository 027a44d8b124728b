"""What needs mail: to show that an address is one's own, and a way back in without the password."""

from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec
from pydantic import Field
from starlette.requests import Request
from starlette.routing import Route

from services.gateway.backends import Users
from services.gateway.http.admission import Admission
from services.gateway.http.bodies import ExactBody, Text
from services.gateway.http.callers import Callers
from services.gateway.http.routing import Who, endpoint, resource
from services.gateway.tokens import Caller

_DAY_S: Final = 86_400
_HALF_AN_HOUR_S: Final = 1800
_OFF: Final = {404: "mail_off: no mail is sent here"}
_TOO_MANY: Final = {429: "too many letters"}


class CodeBody(ExactBody):
    """code: of the letter, behind `#verify=` of its link."""

    example: ClassVar[str] = '{"code":"..."}'

    code: Text = Field(max_length=128)


class ResetWish(ExactBody):
    example: ClassVar[str] = '{"email":"ada@example.org"}'

    email: Text = Field(max_length=320)


class ResetBody(ExactBody):
    """code: of the letter, behind `#reset=` of its link. password: the new one, 8 characters or more."""

    example: ClassVar[str] = '{"code":"...","password":"..."}'

    code: Text = Field(max_length=128)
    password: str = Field(max_length=1024)


class MailShown(msgspec.Struct, frozen=True, kw_only=True):
    """verified: was a code from a letter to this address shown? available: is mail sent here at all?"""

    email: str
    verified: bool
    available: bool


class CodeSent(msgspec.Struct, frozen=True, kw_only=True):
    """expires_in: seconds for which the code is good."""

    expires_in: int


@dataclass(frozen=True, slots=True)
class Mail:
    users: Users
    callers: Callers
    admission: Admission

    def routes(self) -> list[Route]:
        return [
            resource("/api/v1/email-verification", self.callers, GET=self.show, POST=self.ask),
            resource("/api/v1/email-verification/confirm", self.callers, POST=self.confirm),
            resource("/api/v1/password-resets", self.callers, POST=self.forgot),
            resource("/api/v1/password-resets/confirm", self.callers, POST=self.reset),
        ]

    @endpoint("Is your address verified?", who=Who.OWNER)
    async def show(self, caller: Caller) -> MailShown:
        state = await self.users.mail_state(caller.user_id)
        return MailShown(email=state.email, verified=state.verified, available=state.sends)

    @endpoint("Send a code to your address", who=Who.OWNER, status=202, errors=_OFF | _TOO_MANY)
    async def ask(self, caller: Caller) -> CodeSent:
        """Good for 24 hours, once; the one before is worth nothing then. A change of address needs a new one."""
        await self.users.send_verification(caller.user_id)
        return CodeSent(expires_in=_DAY_S)

    @endpoint("Verify an address by its code", errors={422: "bad_code: unknown, used already, or too old"})
    async def confirm(self, wish: CodeBody) -> None:
        await self.users.verify_email(wish.code)

    @endpoint("Send a code for a new password", status=202, errors=_OFF | _TOO_MANY)
    async def forgot(self, request: Request, wish: ResetWish) -> CodeSent:
        """Answers alike whether anybody has this address or not. The code is good for 30 minutes, once."""
        await self.users.send_password_reset(wish.email, self.admission.client(request.scope))
        return CodeSent(expires_in=_HALF_AN_HOUR_S)

    @endpoint(
        "A new password by a code",
        errors={422: "bad_code: unknown, used already, or too old; bad_account: a weak password"} | _TOO_MANY,
    )
    async def reset(self, request: Request, wish: ResetBody) -> None:
        """Ends every login of the account."""
        await self.users.reset_password(wish.code, wish.password, self.admission.client(request.scope))
