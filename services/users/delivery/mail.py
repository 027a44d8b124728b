"""E-mail to the address of the account, once its owner has shown that mail reaches them there."""

from services.shared.errors import InvalidInput, Unavailable
from services.users.core.delivery import Outcome
from services.users.core.delivery_messages import Message
from services.users.mailing import Mailer


async def send_mail(mailer: Mailer, email: str, public_url: str, message: Message) -> Outcome:
    """email: empty where the address is not verified (any more)."""
    if not email:
        return Outcome("email_unverified")
    text = "\n".join([*message.lines, "", f"Your alerts: {public_url}", ""])
    try:
        await mailer.send(email, f"Tickroom: {message.title}", text, message_id=message.id)
    except InvalidInput:
        return Outcome("mail_refused", gone=True)  # for good: nobody should insist
    except Unavailable as error:
        return Outcome(error.code, retry_after_s=error.retry_after_s)
    return Outcome()
