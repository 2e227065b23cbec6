# SPDX-License-Identifier: 0BSD
"""What a receiver gets, and what its answers mean."""

from __future__ import annotations

import pytest
from zekt_standard_webhooks import StandardWebhooks

CHANNEL = "standard_webhooks"
SECRET = "whsec_" + "A" * 32


async def test_the_receiver_can_verify_what_it_gets(zekt, receiver):
    outcome = await zekt.send(CHANNEL, receiver.settings, b'{"zekt":{"version":1}}')
    assert (outcome.kind, outcome.status) == ("dispatched", 200)
    assert receiver.verified == [{"zekt": {"version": 1}}]


async def test_what_is_sent_again_has_the_same_id(zekt, receiver):
    receiver.status = 503
    outcomes = [await zekt.send(CHANNEL, receiver.settings) for _ in range(2)]
    assert [outcome.kind for outcome in outcomes] == ["retry", "retry"]
    assert len(receiver.ids) == 2
    assert len(set(receiver.ids)) == 1


async def test_what_an_answer_means(zekt, receiver):
    for status, kind in ((204, "dispatched"), (302, "retry"), (400, "retry"), (410, "dead")):
        receiver.status = status
        outcome = await zekt.send(CHANNEL, receiver.settings)
        assert (outcome.kind, outcome.status) == (kind, status)


async def test_who_cannot_be_reached_is_tried_again(zekt, receiver):
    settings = {**receiver.settings, "url": "http://127.0.0.1:9/hook"}
    assert (await zekt.send(CHANNEL, settings)).kind == "retry"
    settings["url"] = "https://10.0.0.1/hook"  # an address inside is none of the consumer's
    outcome = await zekt.send(CHANNEL, settings)
    assert outcome.kind == "blocked"
    assert outcome.error.startswith("address_refused: ")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"url": "https://example.com"},
        {"url": "http://example.com", "secret": SECRET},
        {"url": "https://", "secret": SECRET},
        {"url": "https://user@example.com", "secret": SECRET},
        {"url": "https://example.com:no", "secret": SECRET},
        {"url": "https://münchen.example", "secret": SECRET},
        {"url": "https://example.com", "secret": "whsec_AAAA"},
        {"url": "https://example.com", "secret": "whsec_no base64 at all ----------------"},
        {"url": "https://example.com", "secret": SECRET, "more": "1"},
    ],
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match=r"wanted|must|Port"):
        StandardWebhooks().check(settings)


def test_one_host_has_one_pace():
    for url, host in (
        ("https://example.com:8443/a", "example.com:8443"),
        ("https://EXAMPLE.com:443/a", "example.com:443"),
        ("https://example.com/b", "example.com:443"),
    ):
        assert StandardWebhooks().check({"url": url, "secret": SECRET}) == host
