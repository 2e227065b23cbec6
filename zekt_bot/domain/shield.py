"""Shield: messages that providers encrypt for their consumers; Zekt cannot read them.

docs/reference/shield.md has the form of an envelope, byte by byte.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from datetime import datetime

ENVELOPE = "zekt-shield-envelope"
Version = Literal["1.0", "2.0"]
MOST_KEYS = 10
FEWEST_BITS, MOST_BITS = 2048, 8192

_ESCAPED = re.compile(rb"\\u00[2-7]")  # letters of that may be
_ALGORITHMS: dict[Version, str] = {"1.0": "RSA-OAEP", "2.0": "RSA-OAEP-256+A256GCM"}
_ENCRYPTED: dict[Version, str] = {"1.0": "encryptedPayload", "2.0": "encryptedKey"}
_IV_AND_TAG = 12 + 16


@dataclass(frozen=True, slots=True)
class ShieldKey:
    """A consumer's public RSA key, of a repository or a whole account.

    `subject` is `repository:ID` or `account:ID`, `public_key` PEM (SPKI), `fingerprint` the SHA-256
    of its DER, in hex.
    """

    id: str
    subject: str
    account_id: int
    repository_id: int | None
    fingerprint: str
    bits: int
    public_key: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Recipient:
    """For whom a message can be encrypted: an approved subscription, and one of its keys."""

    consumer_id: str
    public_key: str


def read_envelope(body: bytes) -> dict[str, Any] | None:
    """The Shield envelope that this JSON is; None: it is a message in clear.

    Raises:
        InvalidInput: it says that it is one, and is not.
    """
    if b"shield-envelope" not in body and not _ESCAPED.search(body):
        return None
    found = json.loads(body)
    if not isinstance(found, dict) or found.get("type") != ENVELOPE:
        return None
    version = found.get("version")
    if not isinstance(version, str) or version not in _ALGORITHMS:
        raise _malformed(f"its version is one of {', '.join(_ALGORITHMS)}")
    if found.get("algorithm") != _ALGORITHMS[version]:
        raise _malformed(f"the algorithm of version {version} is {_ALGORITHMS[version]}")
    members = {"type", "version", "algorithm", "recipients"}
    members |= {"encryptedData"} if version == "2.0" else set()
    if set(found) != members:
        raise _malformed(f"its members are {', '.join(sorted(members))}, and no others")
    if version == "2.0" and _size(found["encryptedData"]) < _IV_AND_TAG:
        raise _malformed("encryptedData is not Base64 of iv, tag and ciphertext")
    if not isinstance(found["recipients"], list) or not found["recipients"]:
        raise _malformed("recipients is a list of at least one")
    for each in found["recipients"]:
        _check_recipient(each, _ENCRYPTED[version])
    return found


def envelope_for(body: bytes, consumer_id: str) -> bytes | None:
    """A stored envelope with what is this consumer's alone; None: it has nothing for them."""
    found: dict[str, Any] = json.loads(body)
    own = [each for each in found["recipients"] if each["consumerId"] == consumer_id]
    if not own:
        return None
    return json.dumps({**found, "recipients": own}, separators=(",", ":")).encode()


def _check_recipient(each: Any, encrypted: str) -> None:
    if not isinstance(each, dict) or set(each) != {"consumerId", encrypted}:
        raise _malformed(f"each recipient has consumerId and {encrypted}, and no more")
    consumer = each["consumerId"]
    if not isinstance(consumer, str) or not 1 <= len(consumer) <= 128:
        raise _malformed("a consumerId is a text of 1 to 128 characters")
    if not FEWEST_BITS // 8 <= _size(each[encrypted]) <= MOST_BITS // 8:
        raise _malformed(f"{encrypted} is not Base64 of as many bytes as an RSA key has")


def _size(text: Any) -> int:
    """Bytes that stand in Base64; 0: it is none."""
    try:
        return len(base64.b64decode(text, validate=True)) if isinstance(text, str) else 0
    except (binascii.Error, ValueError):
        return 0


def _malformed(why: str) -> InvalidInput:
    return InvalidInput(f"The message says that it is a Shield envelope, and is none: {why}.")
