"""The secret that signing keys derive from: SECRET_KEY, or one that embedded mode makes for itself and keeps."""

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.shared.config import SharedSettings
from services.shared.errors import StartFailed

_LEAST = 32


def secret_key(settings: SharedSettings) -> str:
    """SECRET_KEY; where it is not set and Kafka is embedded, the one in DATA_DIR/secret, made at first need.

    Raises StartFailed.
    """
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value()
    if not settings.embedded:
        raise StartFailed("SECRET_KEY is required where KAFKA_BOOTSTRAP_SERVERS is set (try `openssl rand -hex 32`)")
    path = settings.data_dir / "secret"
    try:
        if not path.exists():
            _make(path)
        path.chmod(0o600)
        found = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartFailed(f"DATA_DIR: {path} can't be used: {error}") from None
    if len(found) < _LEAST:
        raise StartFailed(f"DATA_DIR: {path} holds no secret; remove it to get a new one (everybody logs in again)")
    return found


def derived(secret: str, purpose: bytes, length: int = 32) -> bytes:
    """A key of `length` bytes for one purpose: who knows it learns neither the secret nor another key."""
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=purpose).derive(secret.encode())


def _make(path: Path) -> None:
    """Whole or not at all: written beside its place, then linked into it unless somebody else was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".secret-{os.getpid()}-{secrets.token_hex(4)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "w", encoding="ascii") as opened:
            opened.write(secrets.token_hex(32) + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
