"""Settings that every room knows, read once at start-up from the environment (or `.env`) and frozen.

A room's own `config.py` subclasses `SharedSettings`. A bad value stops the start with one line that names the variable.
"""

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.shared.errors import StartFailed


class SharedSettings(BaseSettings):
    """Field names are the variables' names in lower case. Empty strings count as not set."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    data_dir: Path = Field(
        Path("data"), description="everything that embedded mode keeps: SQLite files, models, uploads"
    )
    kafka_bootstrap_servers: str = Field("", description="host:port, several by comma; empty = embedded")
    database_url: SecretStr | None = Field(
        None, description="postgresql://user:password@host/name; empty = SQLite files in DATA_DIR"
    )
    redis_url: SecretStr | None = Field(None, description="redis://host:6379/0; empty = memory of each process")
    secret_key: SecretStr | None = Field(None, description="what signing keys derive from, at least 32 characters")
    secret_key_previous: SecretStr | None = Field(None, description="still accepted after a rotation")
    internal_token: SecretStr | None = Field(
        None, description="what services show one another on gRPC, at least 16 characters"
    )
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    start_timeout_s: float = Field(
        60.0, gt=0, le=3600, description="how long a start waits for Kafka, database and Redis"
    )

    host: str = Field("127.0.0.1", description="where the gateway listens, and METRICS_PORT")
    grpc_listen: str = Field("127.0.0.1:0", description="host:port or unix:PATH of this room's gRPC server")
    stock_data_address: str = Field("dns:///127.0.0.1:50051", description="gRPC target of stock_data")
    prediction_address: str = Field("dns:///127.0.0.1:50052", description="gRPC target of prediction")
    users_address: str = Field("dns:///127.0.0.1:50053", description="gRPC target of users")
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        validation_alias=AliasChoices("metrics_port", "METRICS_PORT"),
        description="Prometheus text of this process on HOST; 0 = none",
    )

    @property
    def embedded(self) -> bool:
        """Is the Kafka broker ours, in this process?"""
        return not self.kafka_bootstrap_servers

    @field_validator("secret_key", "secret_key_previous")
    @classmethod
    def _long_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("needs at least 32 characters (try `openssl rand -hex 32`)")
        return value

    @field_validator("internal_token")
    @classmethod
    def _long_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 16:
            raise ValueError("needs at least 16 characters (try `openssl rand -hex 16`)")
        return value

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(
            ("postgresql://", "postgres://", "postgresql+asyncpg://")
        ):
            raise ValueError("accepts postgresql://user:password@host:port/name")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("accepts redis://host:port/db")
        return value

    @model_validator(mode="after")
    def _token_outside_embedded(self) -> "SharedSettings":
        if not self.embedded and self.internal_token is None:
            raise ValueError(
                "INTERNAL_TOKEN is required where KAFKA_BOOTSTRAP_SERVERS is set: services show it one another on gRPC"
            )
        return self


S = TypeVar("S", bound=SharedSettings)


def load(settings: type[S], **overrides: object) -> S:
    """The settings of the environment. Raises StartFailed with one line that names the variable and what is wrong."""
    try:
        return settings(**overrides)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        raise StartFailed("; ".join(_line(dict(problem)) for problem in error.errors(include_url=False))) from None


def _line(problem: dict[str, object]) -> str:
    location = problem["loc"]
    name = ".".join(str(part) for part in location).upper() if isinstance(location, tuple) else ""
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "bool_parsing":
        message = "accepts a boolean: true or false"
    return f"{name}: {message}" if name else message
