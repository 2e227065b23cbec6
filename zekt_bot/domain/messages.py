"""Messages: what a plugin sees of one before it is stored, and in which drafts they must stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from zekt_bot.domain.catalog import check_event_type
from zekt_bot.domain.events import EnvelopeKind
from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zekt_bot.domain.catalog import Repository, Service
    from zekt_bot.domain.events import Draft, Message, RunKey

MOST_BYTES = 524_288


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A run's message before it is stored. `body` is JSON, at most 524,288 bytes."""

    run: RunKey
    event_type: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MessagePolicy:
    """Whose message it is. `service` is None while the run's workflow is not known."""

    repository: Repository
    service: Service | None


@dataclass(frozen=True, slots=True)
class Redaction:
    """A secret that was taken out of a message.

    `path` is a JSON Pointer (RFC 6901) to where it was, `kind` a machine word; the secret itself is
    told to nobody.
    """

    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message's JSON as it is to be stored, and what was taken out of it."""

    body: bytes = field(repr=False)
    redactions: tuple[Redaction, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A plugin's word against a message.

    Its sender is told the `reason`, a machine word, and the `detail`: what to change, on one line,
    and nothing of what the message says.
    """

    reason: str
    detail: str = ""


def drafts_are_sensible(drafts: Sequence[Draft], messages: Sequence[Message]) -> bool:
    """Whether each message stands in exactly one draft, under its own event type.

    Its event id was already promised to its sender. The kinds and types are those that there are.
    """
    named = [draft.message_id for draft in drafts if draft.message_id is not None]
    types = {message.id: message.event_type for message in messages}
    if sorted(map(str, named)) != sorted(types):
        return False
    return all(
        draft.kind in get_args(EnvelopeKind)
        and _is_event_type(draft.event_type)
        and draft.event_type == types.get(draft.message_id or "", draft.event_type)
        for draft in drafts
    )


def _is_event_type(text: object) -> bool:
    try:
        return type(text) is str and bool(check_event_type(text))
    except InvalidInput:
        return False
