"""Shield's cryptography, against what a provider does: written down a second time."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization

from tests import shielding
from zekt_bot import shield
from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

CLEAR = '{"a": "ü", "n": 1.10}'.encode()
MINE, THEIRS = shielding.private_key(0), shielding.private_key(1)
BOTH = {"sub_2": THEIRS, "sub_1": MINE}


@pytest.mark.parametrize("seal", shielding.FORMS.values(), ids=shielding.FORMS)
def test_what_was_encrypted_for_a_key_opens_with_it(seal: Callable[..., bytes]) -> None:
    envelope = seal(CLEAR, BOTH)
    for key in BOTH.values():
        assert shield.open_envelope(envelope, shielding.private_pem(key)) == CLEAR
    assert CLEAR not in envelope


def test_only_the_old_form_has_a_limit() -> None:
    longest = b"x" * 190
    assert (
        shield.open_envelope(shielding.of_version_1(longest, BOTH), shielding.private_pem(MINE))
        == longest
    )
    whole = b"x" * 300_000
    assert (
        shield.open_envelope(shielding.of_version_2(whole, BOTH), shielding.private_pem(MINE))
        == whole
    )


@pytest.mark.parametrize("seal", shielding.FORMS.values(), ids=shielding.FORMS)
def test_another_key_opens_nothing(seal: Callable[..., bytes]) -> None:
    with pytest.raises(InvalidInput, match="not encrypted for this key"):
        shield.open_envelope(seal(CLEAR, {"sub_2": THEIRS}), shielding.private_pem(MINE))


@pytest.mark.parametrize(
    ("form", "member", "places"),
    [
        ("1.0-hybrid", "encryptedData", [0, 16, 32, -1]),
        ("unnumbered", "iv", [0, -1]),
        ("unnumbered", "authTag", [0, -1]),
        ("unnumbered", "ciphertext", [0, -1]),
        ("2.0", "encryptedData", [0, 12, 28, -1]),
    ],
)
def test_what_was_changed_opens_with_no_key(form: str, member: str, places: list[int]) -> None:
    for place in places:
        envelope = json.loads(shielding.FORMS[form](CLEAR, BOTH))
        data = bytearray(base64.b64decode(envelope[member]))
        data[place] ^= 1
        envelope[member] = base64.b64encode(data).decode()
        with pytest.raises(InvalidInput, match="it was changed"):
            shield.open_envelope(json.dumps(envelope).encode(), shielding.private_pem(MINE))


def test_a_wrapped_key_of_another_size_opens_nothing() -> None:
    old = json.loads(shielding.of_version_1(b"x" * 16, {"sub_1": MINE}))
    envelope = json.loads(shielding.of_version_2(CLEAR, BOTH))
    wrapped = old["recipients"][0]["encryptedPayload"]
    envelope["recipients"] = [{"consumerId": "sub_1", "encryptedKey": wrapped}]
    with pytest.raises(InvalidInput, match="not encrypted for this key"):
        shield.open_envelope(json.dumps(envelope).encode(), shielding.private_pem(MINE))


@pytest.mark.parametrize(
    ("envelope", "key", "said"),
    [
        (b'{"a": 1}', shielding.private_pem(MINE), "give a message that was encrypted"),
        (shielding.of_version_2(CLEAR, BOTH), b"no key", "no private key in PEM"),
        (
            shielding.of_version_2(CLEAR, BOTH),
            shielding.private_pem(shielding.other_key()),
            "uses RSA keys",
        ),
        (
            shielding.of_version_2(CLEAR, BOTH),
            shielding.private_pem(MINE, b"passphrase"),
            "has a passphrase",
        ),
    ],
    ids=["clear", "no key", "no RSA key", "locked"],
)
def test_what_cannot_be_opened_says_why(envelope: bytes, key: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as told:
        shield.open_envelope(envelope, key)
    assert "PRIVATE" not in str(told.value)


@pytest.mark.parametrize("bits", [2048, 3072])
def test_a_public_key_is_read_with_its_fingerprint(bits: int) -> None:
    key = shielding.private_key(2, bits)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    der = key.public_key().public_bytes(serialization.Encoding.DER, form)
    read = shield.read_public_key(f"a note\n{shielding.public_pem(key)}\n")
    assert read == (shielding.public_pem(key), hashlib.sha256(der).hexdigest(), bits)


@pytest.mark.parametrize(
    ("pem", "said"),
    [
        ("", "no public key in PEM"),
        ("ssh-rsa AAAAB3NzaC1yc2E", "no public key in PEM"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key in PEM"),
        (shielding.private_pem(MINE).decode(), "a private key, which nobody"),
        (shielding.public_pem(shielding.other_key()), "uses RSA keys"),
        (shielding.public_pem(shielding.private_key(3, 1024)), "has 1024 bits; Shield takes 2048"),
    ],
    ids=["nothing", "ssh", "broken", "private", "no RSA key", "weak"],
)
def test_what_is_no_key_for_shield_says_why(pem: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        shield.read_public_key(pem)
