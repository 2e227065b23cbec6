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
HYBRID: dict[str, Any] = {
    "type": "zekt-shield-envelope",
    "version": "1.0",
    "encryptedData": DATA,
    "recipients": [{"consumerId": "sub_1", "encryptedKey": KEY}],
}
UNNUMBERED: dict[str, Any] = {
    "type": "zekt-shield-envelope",
    "iv": base64.b64encode(b"i" * 12).decode(),
    "authTag": base64.b64encode(b"t" * 16).decode(),
    "ciphertext": DATA,
    "recipients": {"sub_1": KEY},
}
NEW: dict[str, Any] = {
    "type": "zekt-shield-envelope",
    "version": "2.0",
    "algorithm": "RSA-OAEP-256+A256GCM",
    "encryptedData": DATA,
    "recipients": [{"consumerId": "sub_1", "encryptedKey": KEY}],
}


FORMS = {"1.0": OLD, "1.0-hybrid": HYBRID, "unnumbered": UNNUMBERED, "2.0": NEW}


@pytest.mark.parametrize(("name", "envelope"), FORMS.items())
def test_each_form_is_an_envelope(name: str, envelope: dict[str, Any]) -> None:
    plain = json.dumps(envelope, indent=1).encode()
    hidden = json.dumps(envelope).replace("shield", "\\u0073hield").encode()
    for body in (plain, hidden):
        read = read_envelope(body)
        assert read
        assert (read.form.name, read.found, read.consumers) == (name, envelope, {"sub_1"})


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
        ({"version": "3.0"}, "1.0; neither; 2.0 and RSA-OAEP-256"),
        ({"version": None}, "its version and algorithm are one of these"),
        ({"version": ["2.0"]}, "its version and algorithm are one of these"),
        ({"algorithm": "none"}, "its version and algorithm are one of these"),
        ({"algorithm": None}, "its version and algorithm are one of these"),
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


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"algorithm": "RSA-OAEP"}, "its members are algorithm, recipients, type, version, and no"),
        ({"encryptedData": base64.b64encode(b"d" * 31).decode()}, "encryptedData is not Base64"),
        ({"recipients": {"sub_1": KEY}}, "a list of at least one"),
        ({"note": "in clear"}, "encryptedData, recipients, type, version, and no others"),
    ],
)
def test_a_hybrid_of_version_1_is_that_exactly(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_envelope(json.dumps(HYBRID | changes).encode())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"note": "in clear"}, "authTag, ciphertext, iv, recipients, type, and no others"),
        ({"iv": base64.b64encode(b"i" * 16).decode()}, "iv is not Base64"),
        ({"authTag": base64.b64encode(b"t" * 12).decode()}, "authTag is not Base64"),
        ({"ciphertext": ""}, "ciphertext is not Base64"),
        ({"ciphertext": {}}, "ciphertext is not Base64"),
        ({"recipients": {}}, "an object of at least one"),
        ({"recipients": [{"consumerId": "sub_1", "encryptedKey": KEY}]}, "an object"),
        ({"recipients": {"": KEY}}, "1 to 128 characters"),
        ({"recipients": {"s" * 129: KEY}}, "1 to 128 characters"),
        ({"recipients": {"sub_1": DATA}}, "an RSA key"),
        ({"recipients": {"sub_1": {"encryptedKey": KEY}}}, "an RSA key"),
        ({"recipients": {"sub_1": KEY, "sub_2": "in clear"}}, "an RSA key"),
    ],
)
def test_an_unnumbered_one_is_that_exactly(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_envelope(json.dumps(UNNUMBERED | changes).encode())


def test_an_envelope_without_a_member_is_none() -> None:
    for whole in (HYBRID, UNNUMBERED, NEW):
        for member in whole.keys() - {"type"}:
            broken = {name: value for name, value in whole.items() if name != member}
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
    assert envelope_for(body, "sub_3") is None


def test_each_consumer_gets_its_own_alone_where_they_stand_by_id() -> None:
    body = json.dumps(UNNUMBERED | {"recipients": {"sub_1": KEY, "sub_2": DATA}}).encode()
    own = envelope_for(body, "sub_2")
    assert own
    assert json.loads(own) == UNNUMBERED | {"recipients": {"sub_2": DATA}}
    assert envelope_for(body, "sub_3") is None
