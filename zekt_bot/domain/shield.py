"""Shield: messages that providers encrypt for their consumers; Zekt cannot read them.

docs/reference/shield.md has the form of an envelope, byte by byte.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

ENVELOPE = "zekt-shield-envelope"
MOST_KEYS = 10
FEWEST_BITS, MOST_BITS = 2048, 8192

_ESCAPED = re.compile(rb"\\u00[2-7]")  # letters of that may be


@dataclass(frozen=True, slots=True)
class Form:
    """What one kind of envelope has beside its type and its recipients, and nothing else.

    `told`: members that stand there literally; `binary`: members that are Base64, of how many bytes
    (at least, at most). `part`: what each recipient has beside its `consumerId`; None: `recipients`
    is an object, of each consumer's key by its id.
    """

    name: str
    told: Mapping[str, str]
    binary: Mapping[str, tuple[int, float]]
    part: str | None

    @property
    def members(self) -> set[str]:
        """All that its envelopes have."""
        return {"type", "recipients", *self.told, *self.binary}


_ANY = math.inf
FORMS = (
    Form("1.0", {"version": "1.0", "algorithm": "RSA-OAEP"}, {}, "encryptedPayload"),
    # Of early zekt-action 2.0.2, and of 3.1.
    Form("1.0-hybrid", {"version": "1.0"}, {"encryptedData": (16 + 16, _ANY)}, "encryptedKey"),
    Form("unnumbered", {}, {"iv": (12, 12), "authTag": (16, 16), "ciphertext": (1, _ANY)}, None),
    Form(
        "2.0",
        {"version": "2.0", "algorithm": "RSA-OAEP-256+A256GCM"},
        {"encryptedData": (12 + 16, _ANY)},
        "encryptedKey",
    ),
)


@dataclass(frozen=True, slots=True)
class ShieldEnvelope:
    """An encrypted message: what it is made of, as it came."""

    form: Form
    found: dict[str, Any]

    @property
    def parts(self) -> list[tuple[str, str]]:
        """Of each recipient its consumer's id, and what only that one can open (Base64)."""
        recipients, part = self.found["recipients"], self.form.part
        if part is None:
            return list(recipients.items())
        return [(each["consumerId"], each[part]) for each in recipients]

    @property
    def consumers(self) -> set[str]:
        """The ids of all for whom it has something: those of their subscriptions."""
        return {consumer for consumer, _ in self.parts}


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


def read_envelope(body: bytes) -> ShieldEnvelope | None:
    """The Shield envelope that this JSON is; None: it is a message in clear.

    Raises:
        InvalidInput: it says that it is one, and is not.
    """
    if b"shield-envelope" not in body and not _ESCAPED.search(body):
        return None
    found = json.loads(body)
    if not isinstance(found, dict) or found.get("type") != ENVELOPE:
        return None
    form = _form(found)
    if set(found) != form.members:
        raise _malformed(f"its members are {', '.join(sorted(form.members))}, and no others")
    for name, (least, most) in form.binary.items():
        if not least <= _size(found[name]) <= most:
            raise _malformed(f"{name} is not Base64 of what belongs there")
    _check_recipients(found["recipients"], form.part)
    return ShieldEnvelope(form, found)


def envelope_for(body: bytes, consumer_id: str) -> bytes | None:
    """A stored envelope with what is this consumer's alone; None: it has nothing for them."""
    found: dict[str, Any] = json.loads(body)
    everyone = found["recipients"]
    own: Any
    if isinstance(everyone, dict):
        own = {name: part for name, part in everyone.items() if name == consumer_id}
    else:
        own = [each for each in everyone if each["consumerId"] == consumer_id]
    if not own:
        return None
    return json.dumps({**found, "recipients": own}, separators=(",", ":")).encode()


def _form(found: dict[str, Any]) -> Form:
    told = {name: found[name] for name in ("version", "algorithm") if name in found}
    for form in FORMS:
        if form.told == told:
            return form
    known = "; ".join(" and ".join(form.told.values()) or "neither" for form in FORMS)
    raise _malformed(f"its version and algorithm are one of these: {known}")


def _check_recipients(recipients: Any, part: str | None) -> None:
    if part is None:
        if not isinstance(recipients, dict) or not recipients:
            raise _malformed("recipients is an object of at least one")
        for consumer, key in recipients.items():
            _check_recipient(consumer, key, "a recipient's key")
        return
    if not isinstance(recipients, list) or not recipients:
        raise _malformed("recipients is a list of at least one")
    for each in recipients:
        if not isinstance(each, dict) or set(each) != {"consumerId", part}:
            raise _malformed(f"each recipient has consumerId and {part}, and no more")
        _check_recipient(each["consumerId"], each[part], part)


def _check_recipient(consumer: Any, encrypted: Any, name: str) -> None:
    if not isinstance(consumer, str) or not 1 <= len(consumer) <= 128:
        raise _malformed("a consumerId is a text of 1 to 128 characters")
    if not FEWEST_BITS // 8 <= _size(encrypted) <= MOST_BITS // 8:
        raise _malformed(f"{name} is not Base64 of as many bytes as an RSA key has")


def _size(text: Any) -> int:
    """Bytes that stand in Base64; 0: it is none."""
    try:
        return len(base64.b64decode(text, validate=True)) if isinstance(text, str) else 0
    except (binascii.Error, ValueError):
        return 0


def _malformed(why: str) -> InvalidInput:
    return InvalidInput(f"The message says that it is a Shield envelope, and is none: {why}.")
