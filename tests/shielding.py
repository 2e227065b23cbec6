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
_SHA1 = hashes.SHA1()  # node-rsa's own choice
_OAEP_OF_NODE_RSA = padding.OAEP(padding.MGF1(_SHA1), _SHA1, None)


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
    """As zekt-action 2 and 3.0 send it: all of the message, once for each."""
    return _envelope(
        {"version": "1.0", "algorithm": "RSA-OAEP"},
        [(name, "encryptedPayload", _wrapped(clear, key)) for name, key in recipients.items()],
    )


def of_version_1_hybrid(clear: bytes, recipients: dict[str, rsa.RSAPrivateKey]) -> bytes:
    """As the first zekt-action 2.0.2 sends it: the message once, its key once for each."""
    secret, iv = os.urandom(32), os.urandom(16)
    text, tag = _encrypted(secret, iv, clear)
    return _envelope(
        {"version": "1.0", "encryptedData": _base64(iv + tag + text)},
        [
            (name, "encryptedKey", _wrapped(secret, key, _OAEP_OF_NODE_RSA))
            for name, key in recipients.items()
        ],
    )


def without_version(clear: bytes, recipients: dict[str, rsa.RSAPrivateKey]) -> bytes:
    """As zekt-action 3.1 sends it: likewise, with one key for each consumer."""
    secret, iv = os.urandom(32), os.urandom(12)
    text, tag = _encrypted(secret, iv, clear)
    members = {"iv": iv, "authTag": tag, "ciphertext": text}
    envelope = {
        "type": "zekt-shield-envelope",
        **{name: _base64(value) for name, value in members.items()},
        "recipients": {name: _wrapped(secret, key) for name, key in recipients.items()},
    }
    return json.dumps(envelope).encode()


def of_version_2(clear: bytes, recipients: dict[str, rsa.RSAPrivateKey]) -> bytes:
    """The message once, and its key once for each."""
    secret, iv = os.urandom(32), os.urandom(12)
    text, tag = _encrypted(secret, iv, clear)
    data = _base64(iv + tag + text)
    return _envelope(
        {"version": "2.0", "algorithm": "RSA-OAEP-256+A256GCM", "encryptedData": data},
        [(name, "encryptedKey", _wrapped(secret, key)) for name, key in recipients.items()],
    )


FORMS = {
    "1.0": of_version_1,
    "1.0-hybrid": of_version_1_hybrid,
    "unnumbered": without_version,
    "2.0": of_version_2,
}


def _encrypted(secret: bytes, iv: bytes, clear: bytes) -> tuple[bytes, bytes]:
    sealed = AESGCM(secret).encrypt(iv, clear, None)
    return sealed[:-16], sealed[-16:]


def _wrapped(clear: bytes, key: rsa.RSAPrivateKey, oaep: padding.OAEP = _OAEP) -> str:
    return _base64(key.public_key().encrypt(clear, oaep))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _envelope(members: dict[str, Any], recipients: list[tuple[str, str, str]]) -> bytes:
    told = [{"consumerId": name, member: value} for name, member, value in recipients]
    return json.dumps({"type": "zekt-shield-envelope", **members, "recipients": told}).encode()


def parsed(envelope: bytes) -> Any:
    """An envelope as the body of a call holds it."""
    return json.loads(envelope)


def written(envelope: Any) -> bytes:
    """An envelope as a file has it."""
    return json.dumps(envelope).encode()
