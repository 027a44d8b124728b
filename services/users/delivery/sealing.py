"""Settings of channels, encrypted at rest by a key that derives from SECRET_KEY."""

import os
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.users.core.delivery_channels import AnySettings
from services.users.secret import derived

_PURPOSE: Final = b"tickroom channels, aes-256-gcm, 1"
_NONCE: Final = 12
_encode = msgspec.json.Encoder().encode
_decoder: Final[msgspec.json.Decoder[AnySettings]] = msgspec.json.Decoder(AnySettings)


class Sealer:
    """Seals with the key of `secret`; opens what was sealed with that of `previous` as well."""

    def __init__(self, secret: str, previous: str | None) -> None:
        self._keys = [AESGCM(derived(each, _PURPOSE)) for each in (secret, previous) if each]

    def seal(self, channel_id: str, settings: AnySettings) -> bytes:
        """The settings of this channel: under the name of another one they can't be opened."""
        nonce = os.urandom(_NONCE)
        return nonce + self._keys[0].encrypt(nonce, _encode(settings), channel_id.encode())

    def open(self, channel_id: str, sealed: bytes) -> AnySettings | None:
        """None where neither key opens it: SECRET_KEY was changed and the one before is not known."""
        return next((found for key in self._keys if (found := _opened(key, channel_id, sealed)) is not None), None)

    def is_old(self, channel_id: str, sealed: bytes) -> bool:
        """Was it sealed with a key that is not the newest one?"""
        return _opened(self._keys[0], channel_id, sealed) is None


def _opened(key: AESGCM, channel_id: str, sealed: bytes) -> AnySettings | None:
    try:
        return _decoder.decode(key.decrypt(sealed[:_NONCE], sealed[_NONCE:], channel_id.encode()))
    except (InvalidTag, ValueError, msgspec.MsgspecError):
        return None
