"""Envelopes: what is one, what only says so, and that each consumer gets its own part alone."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from zekt_bot.domain.shield import envelope_for, read_envelope
from zekt_bot.errors import InvalidInput

KEY = base64.b64encode(b"k" * 256).decode()
DATA = base64.b64encode(b"d" * 40).decode()
OLD: dict[str, Any] = {
    "type": "zekt-shield-envelope",
    "version": "1.0",
    "algorithm": "RSA-OAEP",
    "recipients": [{"consumerId": "sub_1", "encryptedPayload": KEY}],
}
NEW: dict[str, Any] = {
    "type": "zekt-shield-envelope",
    "version": "2.0",
    "algorithm": "RSA-OAEP-256+A256GCM",
    "encryptedData": DATA,
    "recipients": [{"consumerId": "sub_1", "encryptedKey": KEY}],
}


@pytest.mark.parametrize("envelope", [OLD, NEW])
def test_both_forms_are_envelopes(envelope: dict[str, Any]) -> None:
    assert read_envelope(json.dumps(envelope, indent=1).encode()) == envelope
    hidden = json.dumps(envelope).replace("shield", "\\u0073hield").encode()
    assert read_envelope(hidden) == envelope


@pytest.mark.parametrize(
    "message",
    [
        "null",
        '"zekt-shield-envelope"',
        '["zekt-shield-envelope"]',
        '{"type": "other"}',
        '"\\u0041"',
        '{"kind": "zekt-shield-envelope"}',
    ],
)
def test_other_json_is_in_clear(message: str) -> None:
    assert read_envelope(message.encode()) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "3.0"}, "its version is one of 1.0, 2.0"),
        ({"version": None}, "its version is one of"),
        ({"version": ["2.0"]}, "its version is one of"),
        ({"algorithm": "none"}, "the algorithm of version 2.0 is RSA-OAEP-256"),
        ({"note": "in clear"}, "and no others"),
        ({"encryptedData": "!"}, "encryptedData is not Base64"),
        ({"encryptedData": base64.b64encode(b"d" * 27).decode()}, "encryptedData is not Base64"),
        ({"encryptedData": 1}, "encryptedData is not Base64"),
        ({"recipients": []}, "at least one"),
        ({"recipients": {}}, "at least one"),
        ({"recipients": ["sub_1"]}, "each recipient has consumerId and encryptedKey"),
        ({"recipients": [{"consumerId": "sub_1", "encryptedPayload": KEY}]}, "no more"),
        ({"recipients": [{"consumerId": "", "encryptedKey": KEY}]}, "1 to 128 characters"),
        ({"recipients": [{"consumerId": 1, "encryptedKey": KEY}]}, "1 to 128 characters"),
        ({"recipients": [{"consumerId": "sub_1", "encryptedKey": "é" * 344}]}, "an RSA key"),
        ({"recipients": [{"consumerId": "sub_1", "encryptedKey": DATA}]}, "an RSA key"),
    ],
)
def test_what_only_says_that_it_is_one_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_envelope(json.dumps(NEW | changes).encode())


def test_an_envelope_without_a_member_is_none() -> None:
    for member in NEW.keys() - {"type"}:
        broken = {name: value for name, value in NEW.items() if name != member}
        with pytest.raises(InvalidInput):
            read_envelope(json.dumps(broken).encode())
    with pytest.raises(InvalidInput, match="no others"):
        read_envelope(json.dumps(OLD | {"encryptedData": DATA}).encode())


def test_each_consumer_gets_its_own_alone() -> None:
    parts = [("sub_1", "a"), ("sub_2", "b"), ("sub_1", "c")]
    recipients = [{"consumerId": name, "encryptedKey": KEY + part} for name, part in parts]
    body = json.dumps(NEW | {"recipients": recipients}).encode()
    own = envelope_for(body, "sub_1")
    assert own
    assert json.loads(own) == NEW | {"recipients": [recipients[0], recipients[2]]}
    assert envelope_for(body, "sub_2") == envelope_for(body, "sub_2")
    assert envelope_for(body, "sub_3") is None
