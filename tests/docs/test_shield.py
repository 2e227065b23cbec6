"""The page about Shield against the code: its vectors open, and its table is the form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.docs.pages import DOCS, codes, page, section, table
from zekt_bot.domain.shield import envelope_for
from zekt_bot.shield import open_envelope, read_public_key

VECTORS: dict[str, Any] = json.loads((DOCS / "reference/shield-vectors.json").read_text("utf-8"))


def test_the_key_has_its_fingerprint() -> None:
    read = read_public_key(VECTORS["publicKey"])
    assert (read.pem, read.fingerprint) == (VECTORS["publicKey"], VECTORS["fingerprint"])


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_an_envelope_opens_with_the_key_whole_and_as_its_consumer_gets_it(version: str) -> None:
    whole = json.dumps(VECTORS["envelopes"][version]).encode()
    own = envelope_for(whole, VECTORS["consumerId"])
    assert own
    for envelope in (whole, own):
        clear = open_envelope(envelope, VECTORS["privateKey"].encode())
        assert clear == VECTORS["clear"].encode()


@pytest.mark.parametrize(("version", "column"), [("1.0", 1), ("2.0", 2)])
def test_the_table_is_the_form_of_an_envelope(version: str, column: int) -> None:
    envelope = VECTORS["envelopes"][version]
    rows = {row[0]: row[column] for row in table(section(page("reference/shield.md"), "Envelopes"))}
    for name, said in rows.items():
        place = envelope["recipients"][0] if "." in name else envelope
        member = name.rpartition(".")[2]
        assert (member in place) == (said != "none")
        if codes(said):
            assert codes(said) == [place[member]]
    told = {name.rpartition(".")[2] for name, said in rows.items() if said != "none"}
    assert told | {"recipients"} == {*envelope, *envelope["recipients"][0]}
