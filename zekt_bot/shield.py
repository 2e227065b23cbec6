"""Shield's cryptography: public keys of consumers, and opening what was encrypted for one's own."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from zekt_bot.domain.shield import FEWEST_BITS, MOST_BITS, read_envelope
from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from zekt_bot.domain.shield import ShieldEnvelope

_MOST_BYTES = 16_384
_TAG, _KEY = 16, 32
_IV = {"1.0-hybrid": 16, "2.0": 12}
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
_SHA1 = hashes.SHA1()  # noqa: S303 - as node-rsa does it for who chooses nothing
_OAEP_OF = {"1.0-hybrid": padding.OAEP(padding.MGF1(_SHA1), _SHA1, None)}


class PublicKey(NamedTuple):
    """An RSA key as Zekt keeps it: PEM (SPKI), the SHA-256 of its DER in hex, its size in bits."""

    pem: str
    fingerprint: str
    bits: int


def read_public_key(pem: str) -> PublicKey:
    """The RSA key in this PEM, or InvalidInput saying why Shield cannot use it."""
    if "PRIVATE KEY" in pem:
        raise InvalidInput(
            "This is a private key, which nobody but its owner may have: if anybody else has seen "
            "it, make another one. Give its public half: `openssl pkey -in KEY -pubout`."
        )
    try:
        key = serialization.load_pem_public_key(pem[:_MOST_BYTES].encode())
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(
            "This is no public key in PEM: it begins with -----BEGIN PUBLIC KEY-----."
        ) from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise InvalidInput("Shield uses RSA keys: `openssl genrsa -out KEY 4096`.")
    if not FEWEST_BITS <= key.key_size <= MOST_BITS:
        raise InvalidInput(
            f"The key has {key.key_size} bits; Shield takes {FEWEST_BITS} to {MOST_BITS}."
        )
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    der = key.public_bytes(serialization.Encoding.DER, form)
    text = key.public_bytes(serialization.Encoding.PEM, form).decode()
    return PublicKey(text, hashlib.sha256(der).hexdigest(), key.key_size)


def open_envelope(envelope: bytes, private_key: bytes) -> bytes:
    """What a Shield envelope says to the holder of this private key (PEM, without a passphrase).

    Raises:
        InvalidInput: it is no envelope, the key is none, or it was not encrypted for this key.
    """
    found = read_envelope(envelope)
    if found is None:
        raise InvalidInput(
            "This is no Shield envelope: give a message that was encrypted, as it was received."
        )
    key = _private_key(private_key)
    for _, part in found.parts:
        opened = _opened(found, part, key)
        if opened is not None:
            return opened
    raise InvalidInput("The envelope was not encrypted for this key, or it was changed since.")


def _private_key(pem: bytes) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except TypeError:
        raise InvalidInput(
            "The private key has a passphrase: take it off first, with `openssl pkey -in KEY`."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput("This is no private key in PEM.") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise InvalidInput("Shield uses RSA keys.")
    return key


def _opened(envelope: ShieldEnvelope, part: str, key: rsa.RSAPrivateKey) -> bytes | None:
    """The clear text, or None: this recipient's part does not open with the key."""
    form = envelope.form.name
    try:
        clear = key.decrypt(base64.b64decode(part), _OAEP_OF.get(form, _OAEP))
        if form == "1.0":
            return clear
        iv, sealed = _sealed(envelope)
        return AESGCM(clear).decrypt(iv, sealed, None) if len(clear) == _KEY else None
    except (ValueError, InvalidTag):
        return None


def _sealed(envelope: ShieldEnvelope) -> tuple[bytes, bytes]:
    """The iv, and the ciphertext with its tag behind it."""
    read = {name: base64.b64decode(envelope.found[name]) for name in envelope.form.binary}
    if "iv" in read:
        return read["iv"], read["ciphertext"] + read["authTag"]
    data, iv = read["encryptedData"], _IV[envelope.form.name]
    return data[:iv], data[iv + _TAG :] + data[iv : iv + _TAG]
