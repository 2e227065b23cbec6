"""Rendering: valid, complete, never too large, and the message's own bytes stand untouched."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.factories import service
from zekt_bot.domain.deliveries import Delivery
from zekt_bot.domain.events import Envelope, Message, Run, RunKey
from zekt_bot.pipeline.render import MOST_BYTES, Fetch, Letter, render
from zekt_bot.testing.clock import START

FIELDS = [
    "version",
    "deliveryId",
    "eventId",
    "correlationId",
    "eventType",
    "sourceRepo",
    "service",
    "workflow",
    "jobs",
    "payload",
    "isReplay",
    "hops",
]
FETCH = Fetch(f"https://{'z' * 200}.example/api/messages/msg_1", START + timedelta(days=90))
JOBS_OMITTED = len(b'"jobsOmitted":1,')


def letter(jobs: list[Any], body: bytes | None = None, event_type: str = "released") -> Letter:
    """A letter of these jobs and this message."""
    message = None
    if body is not None:
        digest = hashlib.sha256(body).hexdigest()
        message = Message("msg_1", "run_1", "evt_1", event_type, digest, len(body), START)
    return Letter(
        delivery=Delivery(
            "dlv_1", "evt_1", "subscription", "sub_1", 0, 2, "r", "l", "pending", 0, START
        ),
        envelope=Envelope("evt_1", "run_1", "message", event_type, None, 1, "", START),
        run=Run("run_1", RunKey(1, 2, 3), "cor_1", "done", 4, 0, None),
        service=service(owner="aurora-labs"),
        metadata={"sourceRepo": "aurora-labs/payments-api", "workflow": {}, "jobs": jobs},
        message=message,
        message_body=body,
        fetch=FETCH,
    )


def job(name: str) -> dict[str, Any]:
    moment = "2026-07-01T12:00:00Z"
    return {"name": name, "conclusion": "success", "startedAt": moment, "completedAt": moment}


# As long as collecting lets them be; a control character takes six bytes.
_texts = st.text(max_size=60) | st.integers(0, 1000).map(lambda n: "\x01" * n)
_jobs = st.builds(
    lambda names, times: [job(name) for name in names * times],
    st.lists(_texts, max_size=6),
    st.sampled_from([1, 2, 30, 100]),
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
_bodies = (
    _json.map(lambda value: json.dumps(value, indent=1).encode())
    | st.integers(0, 70_000).map(lambda n: b'"%s"' % (b"x" * n))
    | st.integers(59_000, 60_000).map(lambda n: b'"%s"' % (b"x" * n))
    | st.sampled_from(
        [b"1e400", b'{"a":1,"a":2}', b" [1.10 ,2] ", b"123456789012345678901234567890"]
    )
)
letters = st.builds(
    lambda letter, workflow: letter._replace(metadata={**letter.metadata, "workflow": workflow}),
    st.builds(letter, _jobs, st.none() | _bodies, st.text("aé😀.", min_size=1, max_size=100)),
    st.fixed_dictionaries({"name": _texts, "headBranch": st.none() | _texts}),
)


def payload(body: bytes) -> bytes:
    """The bytes of `client_payload`, which comes last."""
    _, marked, rest = body.partition(b',"client_payload":')
    assert marked
    assert rest.endswith(b"}")
    return rest[:-1]


def without_message(sent: bytes, given: Letter) -> bytes:
    """The payload with `null` for the message's own bytes."""
    assert given.message_body is not None
    before, marked, rest = payload(sent).partition(b'"payload":' + given.message_body + b',"')
    assert marked, "the message's bytes do not stand there as they came"
    return before + b'"payload":null,"' + rest


@given(letters)
def test_it_is_compact_json_in_utf8_that_github_takes(given: Letter) -> None:
    sent = render(given)
    told = json.loads(sent.decode())
    assert list(told) == ["event_type", "client_payload"]
    assert told["event_type"] == given.envelope.event_type
    assert list(told["client_payload"]) == ["zekt"]
    assert len(payload(sent)) <= MOST_BYTES == 60_000
    zekt = told["client_payload"]["zekt"]
    assert [name for name in zekt if name not in {"jobsOmitted", "payloadRef"}] == FIELDS
    own = payload(sent)
    if given.message_body is not None and "payloadRef" not in zekt:
        own = without_message(sent, given)
    compact = json.dumps(json.loads(own), separators=(",", ":"), ensure_ascii=False)
    assert own == compact.encode()


@given(letters)
def test_the_message_stands_whole_or_is_named_by_its_digest(given: Letter) -> None:
    sent = render(given)
    zekt = json.loads(sent)["client_payload"]["zekt"]
    body = given.message_body
    if body is None:
        assert zekt["payload"] is None
        assert "payloadRef" not in zekt
    elif "payloadRef" in zekt:
        digest = hashlib.sha256(body).hexdigest()
        assert zekt["payload"] is None
        assert zekt["payloadRef"] == {
            "url": FETCH.url,
            "expiresAt": "2026-09-29T12:00:00Z",
            "sha256": digest,
            "bytes": len(body),
        }
    else:
        without_message(sent, given)


@given(letters)
def test_a_message_is_left_out_only_if_it_fits_without_a_single_job_neither(given: Letter) -> None:
    if given.message_body is None:
        return
    bare = given._replace(metadata={**given.metadata, "jobs": []}, message=None, message_body=None)
    size = len(payload(render(bare))) - len(b"null") + len(given.message_body)
    omitted = len(given.metadata["jobs"])
    size += len(b'"jobsOmitted":%d,' % omitted) if omitted else 0
    assert (b'"payloadRef"' in render(given)) == (size > MOST_BYTES)


@given(letters)
@example(letter([job("x" * 900)] * 60))
@example(letter([job("x")], b'"%s"' % (b"x" * 59_300)))
def test_as_many_jobs_as_fit_stand_there_and_the_others_are_counted(given: Letter) -> None:
    sent = render(given)
    zekt, jobs = json.loads(sent)["client_payload"]["zekt"], given.metadata["jobs"]
    kept = len(zekt["jobs"])
    omitted = len(jobs) - kept
    assert zekt["jobs"] == jobs[:kept]
    assert zekt.get("jobsOmitted", 0) == omitted
    assert ("jobsOmitted" in zekt) == (omitted > 0)
    if omitted:
        more = len(orjson.dumps(jobs[kept])) + (kept > 0)
        less = JOBS_OMITTED if omitted == 1 else len(str(omitted)) - len(str(omitted - 1))
        assert len(payload(sent)) + more - less > MOST_BYTES


@given(letters)
def test_the_same_letter_gives_the_same_bytes(given: Letter) -> None:
    assert render(given) == render(given)


@pytest.mark.parametrize("size", [MOST_BYTES, MOST_BYTES + 1])
def test_the_limit_is_exact(size: int) -> None:
    rest = len(payload(render(letter([], b'""'))))
    sent = render(letter([], b'"%s"' % (b"x" * (size - rest))))
    assert (b'"payloadRef"' in sent) == (size > MOST_BYTES)
    assert size > MOST_BYTES or len(payload(sent)) == size


def test_the_longest_facts_that_collecting_takes_still_fit() -> None:
    longest = {"name": 1000, "path": 1000, "event": 100, "conclusion": 40, "headBranch": 1000}
    longest |= {"headSha": 64, "htmlUrl": 2000, "actor": 200}
    given = letter([job("\x01" * 1000)] * 90, b'"%s"' % (b"x" * 500_000), "😀" * 100)
    facts = {
        "sourceRepo": "\x01" * 300,
        "workflow": {name: "\x01" * length for name, length in longest.items()},
    }
    given = given._replace(metadata={**given.metadata, **facts})
    sent = render(given)
    assert 50_000 < len(payload(sent)) <= MOST_BYTES
    assert json.loads(sent)["client_payload"]["zekt"]["payloadRef"]["bytes"] == 500_002


def test_the_fields_say_who_sent_what_to_whom() -> None:
    given = letter([job("build")], b'{"version": "2.0"}')
    given = given._replace(
        delivery=replace(given.delivery, replay_no=2), run=replace(given.run, hops=1)
    )
    assert json.loads(render(given)) == {
        "event_type": "released",
        "client_payload": {
            "zekt": {
                "version": 1,
                "deliveryId": "dlv_1",
                "eventId": "evt_1",
                "correlationId": "cor_1",
                "eventType": "released",
                "sourceRepo": "aurora-labs/payments-api",
                "service": {"owner": "aurora-labs", "slug": "release"},
                "workflow": {},
                "jobs": [job("build")],
                "payload": {"version": "2.0"},
                "isReplay": True,
                "hops": 1,
            }
        },
    }


def test_a_message_whose_body_is_gone_is_as_none() -> None:
    given = letter([], b"1")._replace(message_body=None)
    assert json.loads(render(given))["client_payload"]["zekt"]["payload"] is None
