"""The keys that push services know this server by. They derive from SECRET_KEY, so nothing has to be kept."""

import base64
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.users.secret import derived

_PURPOSE: Final = b"tickroom web push, ecdsa p-256, 1"
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_BYTES: Final = 48  # 128 bits more than the order has: no key is likelier than another


class Vapid:
    """Browsers subscribe with the key of `secret`; those that did with that of `previous` are served as well."""

    def __init__(self, secret: str, previous: str | None) -> None:
        keys = [_key(each) for each in (secret, previous) if each]
        self._by_public = {_public(key): key for key in keys}
        self.public_key = next(iter(self._by_public))

    def key(self, public_key: str) -> ec.EllipticCurvePrivateKey | None:
        """The private key of this public one (base64url), None where it is not ours."""
        return self._by_public.get(public_key)


def _key(secret: str) -> ec.EllipticCurvePrivateKey:
    number = int.from_bytes(derived(secret, _PURPOSE, _BYTES), "big")
    return ec.derive_private_key(number % (_ORDER - 1) + 1, ec.SECP256R1())


def _public(key: ec.EllipticCurvePrivateKey) -> str:
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).rstrip(b"=").decode()
