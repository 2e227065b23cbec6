"""The page about Shield against the code: its vectors open, and its table is the form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.docs.pages import DOCS, codes, page, section, table
from zekt_bot.domain.shield import FORMS, envelope_for, read_envelope
from zekt_bot.shield import open_envelope, read_public_key

VECTORS: dict[str, Any] = json.loads((DOCS / "reference/shield-vectors.json").read_text("utf-8"))
NAMES = [form.name for form in FORMS]


def test_the_key_has_its_fingerprint() -> None:
    read = read_public_key(VECTORS["publicKey"])
    assert (read.pem, read.fingerprint) == (VECTORS["publicKey"], VECTORS["fingerprint"])


def test_each_form_has_an_envelope() -> None:
    for name, envelope in VECTORS["envelopes"].items():
        read = read_envelope(json.dumps(envelope).encode())
        assert read
        assert read.form.name == name
    assert list(VECTORS["envelopes"]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_envelope_opens_with_the_key_whole_and_as_its_consumer_gets_it(name: str) -> None:
    whole = json.dumps(VECTORS["envelopes"][name]).encode()
    own = envelope_for(whole, VECTORS["consumerId"])
    assert own
    for envelope in (whole, own):
        clear = open_envelope(envelope, VECTORS["privateKey"].encode())
        assert clear == VECTORS["clear"].encode()


@pytest.mark.parametrize("form", NAMES)
def test_the_table_is_the_form_of_an_envelope(form: str) -> None:
    envelope = VECTORS["envelopes"][form]
    text = section(page("reference/shield.md"), "Envelopes")
    assert f"| Member | {' | '.join(NAMES)} |" in text
    rows = {row[0]: row[NAMES.index(form) + 1] for row in table(text)}
    listed = isinstance(envelope["recipients"], list)
    recipient = envelope["recipients"][0] if listed else {}
    for name, said in rows.items():
        place = recipient if "." in name else envelope
        member = name.rpartition(".")[2]
        assert (member in place) == (said != "none")
        if codes(said):
            assert codes(said) == [place[member]]
    told = {name.rpartition(".")[2] for name, said in rows.items() if said != "none"}
    assert told == {*envelope, *recipient}
