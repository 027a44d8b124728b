"""Settings of this room."""

from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from services.shared.config import SharedSettings
from services.users.core.mail import mailbox, post_office


class Settings(SharedSettings):
    """Field names are the variables' names in lower case."""

    users_role: Literal["all", "api", "worker"] = Field(
        "all", description="api answers gRPC, worker watches prices and publishes notifications, all does both"
    )
    access_token_ttl_s: int = Field(900, ge=10, le=86_400, description="how long an access token is worth something")
    refresh_token_ttl_s: int = Field(2_592_000, ge=60, le=31_622_400, description="likewise, a refresh token")
    login_attempts_per_minute: int = Field(10, ge=0, description="per account and per address; 0 = no limit")
    registrations_per_hour: int = Field(20, ge=0, description="per address; 0 = no limit")
    channels_per_user: int = Field(20, ge=0, description="ways to reach a user beyond the socket; 0 = no limit")
    webhook_allow_loopback: bool = Field(
        False, description="for tests: what is delivered may go to this machine, over http and to any port"
    )
    signal_bar: Literal["1d", "1m"] = Field(
        "1d", description="the bars that volumes are compared in, and that `once_per_bar` means"
    )
    alerts_per_user: int = Field(1000, ge=0, description="rules that a user may have; 0 = no limit")
    smtp_url: SecretStr | None = Field(
        None, description="smtp://user:password@host:587 (STARTTLS) or smtps://user:password@host:465; empty: no mail"
    )
    mail_from: str = Field("", description="the address that mail comes from; required with SMTP_URL")
    public_url: str = Field("http://localhost:8000", description="where people find this server, for links in mail")

    @field_validator("smtp_url")
    @classmethod
    def _smtp(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            post_office(value.get_secret_value())
        return value

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, value: str) -> str:
        if value:
            try:
                mailbox(value)
            except ValueError:
                raise ValueError("accepts an e-mail address such as tickroom@example.org") from None
        return value

    @field_validator("public_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")) or "?" in value or "#" in value:
            raise ValueError("accepts an address such as https://tickroom.example.org")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _sender_of_mail(self) -> "Settings":
        if self.smtp_url is not None and not self.mail_from:
            raise ValueError("MAIL_FROM is required where SMTP_URL is set: mail comes from somebody")
        return self
