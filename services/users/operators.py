"""`python -m services.users`: `create-operator EMAIL` makes an operator, `end-logins EMAIL` ends somebody's logins."""

import argparse
import asyncio
import getpass
import os
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from services.shared.config import load
from services.shared.database import Database, open_database
from services.shared.errors import Conflict, InvalidInput, NotFound, StartFailed, TickroomError
from services.shared.events import rfc3339
from services.users.bell import Bell
from services.users.config import Settings
from services.users.core import accounts as rules
from services.users.passwords import Passwords
from services.users.secret import secret_key
from services.users.sessions import Sessions
from services.users.store import accounts as store
from services.users.store import api_keys
from services.users.store.accounts import Account
from services.users.tokens import Tokens

ROOM: Final = "users"
PASSWORD_VARIABLE: Final = "OPERATOR_PASSWORD"  # noqa: S105 (a variable's name)


def main(arguments: Sequence[str]) -> int:
    """The command line: 0, or 1 with one line on stderr that says what is wrong (argparse: 2)."""
    parser = argparse.ArgumentParser("python -m services.users", description="Without a command: the room itself.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    command = commands.add_parser(
        "create-operator",
        help="makes the account with this address an operator, or a new one",
        description=f"A new account needs a password: from {PASSWORD_VARIABLE}, else typed in, else a line of stdin.",
    )
    command.add_argument("email", metavar="EMAIL")
    command.add_argument("--name", default="Operator", help="of a new account")
    ending = commands.add_parser("end-logins", help="ends every login of the account with this address")
    ending.add_argument("email", metavar="EMAIL")
    wish = parser.parse_args(arguments)
    try:
        settings = load(Settings)
        ends = wish.command == "end-logins"
        done = _end_logins(settings, wish.email) if ends else _create_operator(settings, wish.email, wish.name)
    except TickroomError as error:
        wrong = "; ".join(f"{each.loc} {each.msg}" for each in error.errors)
        print(f"tickroom: {wrong or error.detail}", file=sys.stderr)  # noqa: T201 (a command)
        return 1
    print(done)  # noqa: T201 (a command)
    return 0


async def promote(database: Database, email: str) -> str | None:
    """What was done, for a person; None where no account has this address. Raises InvalidInput."""
    email = rules.same_email(email)
    if (wrong := rules.wrong_email(email)) is not None:
        raise InvalidInput(f"EMAIL {wrong}")
    async with database.transaction() as session:
        account = await store.account_by_email(session, email)
        if account is None:
            return None
        if account.role == "operator":
            return f"{email} is an operator already"
        await store.change_account(session, account.id, {"role": "operator"})
    return f"{email} is an operator now, from the next login or refresh on"


async def create(database: Database, email: str, name: str, password: str) -> str:
    """Makes the account; what was done, for a person. Raises InvalidInput, Conflict."""
    name, email, password = rules.new_account(name, email, password)
    account = Account(
        id=str(uuid.uuid4()),
        name=name,
        email=email,
        password_hash=await Passwords().hash(password),
        token_version=1,
        preferences="{}",
        created_at=rfc3339(datetime.now(UTC)),
        role="operator",
    )
    async with database.transaction() as session:
        if not await store.add_account(session, account):
            raise Conflict(f"somebody has just registered {email}: try again")
    return f"{email} has an account now, as an operator"


async def end_logins(database: Database, settings: Settings, email: str) -> str:
    """Ends every login of an account, and removes its API keys; the gateways are told. What was done, for a person.

    Raises InvalidInput, NotFound.
    """
    email = rules.same_email(email)
    if (wrong := rules.wrong_email(email)) is not None:
        raise InvalidInput(f"EMAIL {wrong}")
    tokens = Tokens(secret_key(settings), None, settings.access_token_ttl_s)
    sessions = Sessions(database, tokens, settings.refresh_token_ttl_s, lambda: datetime.now(UTC), Bell())
    async with database.transaction() as session:
        found = await store.account_by_email(session, email)
        account = None if found is None else await store.lock_account(session, found.id)
        if account is None:
            raise NotFound(f"no account has the address {email}")
        removed = await api_keys.remove_all(session, account.id)
        events = ["api_key_revoked"] * bool(removed) + ["logged_out_everywhere"]
        await sessions.end_all(session, account.id, events, datetime.now(UTC))
    return f"every login of {email} has ended, and {removed} API keys are gone; the password is what it was"


def ask_password() -> str:
    """The password of OPERATOR_PASSWORD, else as a person types it twice, else the first line of stdin.

    Raises StartFailed where there is none.
    """
    if password := os.environ.get(PASSWORD_VARIABLE):
        return password
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
    elif (password := getpass.getpass("password of the new operator: ")) != getpass.getpass("again: "):
        raise StartFailed("the two are not the same")
    if not password:
        raise StartFailed(f"no account has this address yet; a new one needs a password: {PASSWORD_VARIABLE} or stdin")
    return password


def _create_operator(settings: Settings, email: str, name: str) -> str:
    async def promoted() -> str | None:
        async with _opened(settings) as database:
            return await promote(database, email)

    async def created(password: str) -> str:
        async with _opened(settings) as database:
            return await create(database, email, name, password)

    # asked between two loops: a loop that waits for the keyboard would not hear Ctrl-C
    return asyncio.run(promoted()) or asyncio.run(created(ask_password()))


def _end_logins(settings: Settings, email: str) -> str:
    async def ended() -> str:
        async with _opened(settings) as database:
            return await end_logins(database, settings, email)

    return asyncio.run(ended())


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Database]:
    database = open_database(settings, ROOM)
    try:
        await database.migrate()
        yield database
    finally:
        await database.close()
