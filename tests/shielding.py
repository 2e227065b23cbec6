"""What a provider's Action does with Shield, written down a second time: keys, and envelopes."""

from __future__ import annotations

import base64
import json
import os
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


@cache
def private_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """One of a few keys, made when first asked for."""
    return rsa.generate_private_key(65537, bits)


def private_pem(key: Any, passphrase: bytes | None = None) -> bytes:
    """A private key as a file has it."""
    form = serialization.PrivateFormat.PKCS8
    lock = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    return bytes(key.private_bytes(serialization.Encoding.PEM, form, lock))


def public_pem(key: Any) -> str:
    """Its public half as a file has it."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(serialization.Encoding.PEM, form).decode())


def other_key() -> ec.EllipticCurvePrivateKey:
    """A key that is none of RSA."""
    return ec.generate_private_key(ec.SECP256R1())


def of_version_1(clear: bytes, recipients: dict[str, rsa.RSAPrivateKey]) -> bytes:
    """As existing clients send it: all of the message, once for each."""
    return _envelope(
        {"version": "1.0", "algorithm": "RSA-OAEP"},
        [(name, "encryptedPayload", _wrapped(clear, key)) for name, key in recipients.items()],
    )


def of_version_2(clear: bytes, recipients: dict[str, rsa.RSAPrivateKey]) -> bytes:
    """The message once, and its key once for each."""
    secret, iv = os.urandom(32), os.urandom(12)
    sealed = AESGCM(secret).encrypt(iv, clear, None)
    text, tag = sealed[:-16], sealed[-16:]
    data = base64.b64encode(iv + tag + text).decode()
    return _envelope(
        {"version": "2.0", "algorithm": "RSA-OAEP-256+A256GCM", "encryptedData": data},
        [(name, "encryptedKey", _wrapped(secret, key)) for name, key in recipients.items()],
    )


def _wrapped(clear: bytes, key: rsa.RSAPrivateKey) -> str:
    return base64.b64encode(key.public_key().encrypt(clear, _OAEP)).decode()


def _envelope(members: dict[str, Any], recipients: list[tuple[str, str, str]]) -> bytes:
    told = [{"consumerId": name, member: value} for name, member, value in recipients]
    return json.dumps({"type": "zekt-shield-envelope", **members, "recipients": told}).encode()


def parsed(envelope: bytes) -> Any:
    """An envelope as the body of a call holds it."""
    return json.loads(envelope)


def written(envelope: Any) -> bytes:
    """An envelope as a file has it."""
    return json.dumps(envelope).encode()
