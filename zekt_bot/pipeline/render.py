"""What is sent, as bytes. Pure: the same envelope, message and delivery give the same bytes.

GitHub takes at most 10 top-level keys and 64 KB of `client_payload`; how it counts is not said,
so Zekt stays under 60,000 bytes of it. Source:
https://docs.github.com/rest/repos/repos#create-a-repository-dispatch-event
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from zekt_bot.domain.catalog import Service
    from zekt_bot.domain.deliveries import Delivery
    from zekt_bot.domain.events import Envelope, Message, Run

MOST_BYTES = 60_000
VERSION = 1


@dataclass(frozen=True, slots=True)
class Letter:
    """All that a rendered delivery is made of. `metadata` is the opened body of its envelope."""

    delivery: Delivery
    envelope: Envelope
    run: Run
    service: Service
    metadata: dict[str, Any]
    message: Message | None = None
    message_body: bytes | None = None


def render(letter: Letter) -> bytes:
    """The body of `POST /repos/OWNER/REPO/dispatches`.

    Too large a payload first loses jobs from the end (`jobsOmitted` says how many), then the
    message (`payload` null, `payloadRef` with its size and SHA-256). The message's own bytes
    are never altered.
    """
    jobs = letter.metadata["jobs"]
    whole = _payload(letter, jobs, 0, with_message=True)
    if len(whole) <= MOST_BYTES:
        return _body(letter, whole)
    bare = _payload(letter, [], len(jobs), with_message=True)
    with_message = len(bare) <= MOST_BYTES
    low, high = 0, len(jobs)
    while low < high:  # the most jobs that fit
        middle = (low + high + 1) // 2
        omitted = len(jobs) - middle
        fits = len(_payload(letter, jobs[:middle], omitted, with_message=with_message))
        low, high = (middle, high) if fits <= MOST_BYTES else (low, middle - 1)
    omitted = len(jobs) - low
    return _body(letter, _payload(letter, jobs[:low], omitted, with_message=with_message))


def _body(letter: Letter, payload: bytes) -> bytes:
    body = {"event_type": letter.envelope.event_type, "client_payload": orjson.Fragment(payload)}
    return orjson.dumps(body)


def _payload(letter: Letter, jobs: list[Any], omitted: int, *, with_message: bool) -> bytes:
    message, body = letter.message, letter.message_body
    zekt: dict[str, Any] = {
        "version": VERSION,
        "deliveryId": letter.delivery.id,
        "eventId": letter.envelope.id,
        "correlationId": letter.run.correlation_id,
        "eventType": letter.envelope.event_type,
        "sourceRepo": letter.metadata["sourceRepo"],
        "service": {"owner": letter.service.owner, "slug": letter.service.slug},
        "workflow": letter.metadata["workflow"],
        "jobs": jobs,
    }
    if omitted:
        zekt["jobsOmitted"] = omitted
    zekt["payload"] = None
    if message is not None and body is not None:
        if with_message:
            zekt["payload"] = orjson.Fragment(body)
        else:
            zekt["payloadRef"] = {"bytes": message.size, "sha256": message.sha256}
    zekt["isReplay"] = letter.delivery.replay_no > 0
    zekt["hops"] = letter.run.hops
    return orjson.dumps({"zekt": zekt})
