"""Settings of this room."""

from typing import Literal

from pydantic import Field

from services.shared.config import SharedSettings


class Settings(SharedSettings):
    """Field names are the variables' names in lower case."""

    users_role: Literal["all", "api", "worker"] = Field(
        "all", description="api answers gRPC, worker watches prices and publishes notifications, all does both"
    )
    access_token_ttl_s: int = Field(900, ge=10, le=86_400, description="how long an access token is worth something")
    refresh_token_ttl_s: int = Field(2_592_000, ge=60, le=31_622_400, description="likewise, a refresh token")
    login_attempts_per_minute: int = Field(10, ge=0, description="per account and per address; 0 = no limit")
    registrations_per_hour: int = Field(20, ge=0, description="per address; 0 = no limit")
    alerts_per_user: int = Field(1000, ge=0, description="rules that a user may have; 0 = no limit")
