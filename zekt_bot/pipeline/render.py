"""What is sent, as bytes. Pure: the same envelope, message and delivery give the same bytes.

GitHub takes at most 10 top-level keys and 64 KB of `client_payload`; how it counts is not said,
so Zekt stays under 60,000 bytes of it. Source:
https://docs.github.com/rest/repos/repos#create-a-repository-dispatch-event
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from zekt_bot.errors import PayloadTooLarge

if TYPE_CHECKING:
    from datetime import datetime

    from zekt_bot.domain.catalog import Service
    from zekt_bot.domain.deliveries import Delivery
    from zekt_bot.domain.events import Envelope, Message, Run

MOST_BYTES = 60_000
VERSION = 1


@dataclass(frozen=True, slots=True)
class Fetch:
    """Where a message is to be had that does not fit, and until when at least, if it ends."""

    url: str
    expires_at: datetime | None


NOWHERE = Fetch("", None)


class Letter(NamedTuple):
    """All that a rendered delivery is made of. `metadata` is the opened body of its envelope.

    `changed` is what plugins made of `message_body`; None: nothing.
    """

    delivery: Delivery
    envelope: Envelope
    run: Run
    service: Service
    metadata: dict[str, Any]
    message: Message | None = None
    message_body: bytes | None = None
    changed: bytes | None = None
    fetch: Fetch = NOWHERE


def render(letter: Letter) -> bytes:
    """The body of `POST /repos/OWNER/REPO/dispatches`.

    Too large a payload first loses jobs from the end (`jobsOmitted` says how many), then the
    message (`payload` null, `payloadRef` with its address, size and SHA-256). The message's own
    bytes are never altered here; what a plugin changed is sent whole or not at all.

    Raises:
        PayloadTooLarge: a plugin changed the message, and it does not fit.
    """
    if letter.service.profile.hidden_source:
        letter = letter._replace(metadata=_hidden(letter))
    jobs = len(letter.metadata["jobs"] or ())
    whole = _payload(letter, jobs, with_message=True)
    if len(whole) <= MOST_BYTES:
        return _body(letter, whole)
    with_message = len(_payload(letter, 0, with_message=True)) <= MOST_BYTES
    if letter.changed is not None and not with_message:
        raise PayloadTooLarge(
            f"A plugin changed the message, and it does not fit into {MOST_BYTES} bytes."
        )
    low, high = 0, jobs
    while low < high:  # the most jobs that fit
        middle = (low + high + 1) // 2
        fits = len(_payload(letter, middle, with_message=with_message)) <= MOST_BYTES
        low, high = (middle, high) if fits else (low, middle - 1)
    return _body(letter, _payload(letter, low, with_message=with_message))


_TELLS = ("path", "runId", "headBranch", "headSha", "htmlUrl", "actor")


def _hidden(letter: Letter) -> dict[str, Any]:
    """The event without a name, number or address of its source; the service stands for it."""
    workflow = letter.metadata["workflow"] | dict.fromkeys(_TELLS)
    workflow["name"] = letter.service.profile.title or letter.service.slug
    return {"sourceRepo": None, "workflow": workflow, "jobs": None}


def _body(letter: Letter, payload: bytes) -> bytes:
    body = {"event_type": letter.envelope.event_type, "client_payload": orjson.Fragment(payload)}
    return orjson.dumps(body)


def _payload(letter: Letter, kept: int, *, with_message: bool) -> bytes:
    """`client_payload` with the first `kept` jobs."""
    message, body = letter.message, letter.message_body
    jobs: list[Any] | None = letter.metadata["jobs"]
    zekt: dict[str, Any] = {
        "version": VERSION,
        "deliveryId": letter.delivery.id,
        "eventId": letter.envelope.id,
        "correlationId": letter.run.correlation_id,
        "eventType": letter.envelope.event_type,
        "sourceRepo": letter.metadata["sourceRepo"],
        "service": {"owner": letter.service.shown_owner, "slug": letter.service.slug},
        "workflow": letter.metadata["workflow"],
        "jobs": jobs and jobs[:kept],
    }
    if jobs and len(jobs) > kept:
        zekt["jobsOmitted"] = len(jobs) - kept
    zekt["payload"] = None
    if message is not None and body is not None:
        if with_message:
            zekt["payload"] = orjson.Fragment(letter.changed or body)
        else:
            zekt["payloadRef"] = _reference(body, letter.fetch)
    zekt["isReplay"] = letter.delivery.replay_no > 0
    zekt["hops"] = letter.run.hops
    return orjson.dumps({"zekt": zekt})


def _reference(body: bytes, fetch: Fetch) -> dict[str, Any]:
    until = fetch.expires_at
    return {
        "url": fetch.url,
        "expiresAt": f"{until:%Y-%m-%dT%H:%M:%SZ}" if until else None,
        "sha256": hashlib.sha256(body).hexdigest(),
        "bytes": len(body),
    }
