"""Messages: what a plugin sees of one before it is stored, and in which drafts they must stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, get_args

from zekt_bot.domain.events import EnvelopeKind
from zekt_bot.domain.names import check_event_type
from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zekt_bot.domain.catalog import AllowedWorkflow, Repository, Service
    from zekt_bot.domain.events import Draft, Message, RunKey

MOST_BYTES = 524_288
MOST_DEPTH = 64
MOST_OF_A_RUN = 50
MOST_ADDED = 20  # drafts without a message
MOST_BYTES_OF_A_RUN = 5 * 1024 * 1024
MOST_LATE = timedelta(hours=24)  # so long after its run's event was sent, a message follows it

Unwelcome = Literal[
    "account_blocked", "not_enabled", "not_installed", "app_suspended", "not_allowed"
]
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A run's message before it is stored. `body` is JSON, at most 524,288 bytes.

    `shield`: the form of the Shield envelope that it is; None: it is in clear.
    """

    run: RunKey
    event_type: str
    body: bytes = field(repr=False)
    shield: str | None = None


@dataclass(frozen=True, slots=True)
class MessagePolicy:
    """Whose message it is. `service` is None if none was published of the workflow."""

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

    def __str__(self) -> str:
        """As its sender is told."""
        return f"{self.kind} at {self.path or 'the root'}"


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


def unwelcome(repository: Repository, allowed: AllowedWorkflow | None) -> Unwelcome | None:
    """Why no message of this repository's workflow is taken, or None.

    `allowed` is the workflow's entry in the allow-list. Its conditions are asked when the run ends.
    """
    if repository.blocked:
        return "account_blocked"
    if not repository.provider:
        return "not_enabled"
    if not repository.consented:
        return "app_suspended" if repository.obstacle == "app_suspended" else "not_installed"
    return None if allowed else "not_allowed"


def nests_too_deep(body: bytes) -> bool:
    """Whether arrays and objects stand more than 64 deep in each other; the outermost is the first.

    Of what is no JSON it says something, in as few looks at each byte.
    """
    if body.count(b"[") + body.count(b"{") <= MOST_DEPTH:
        return False
    if b"\\" in body:  # which stands in texts alone: then each quotation mark begins or ends one
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    level, outside = 0, b"".join(body.split(b'"')[::2])
    for bracket in outside.translate(None, _NO_BRACKET):
        level += 1 if bracket in b"[{" else -1
        if level > MOST_DEPTH:
            return True
    return False


def drafts_are_sensible(drafts: Sequence[Draft], messages: Sequence[Message]) -> bool:
    """Whether each message stands in exactly one draft, under its own event type.

    Its event id was already promised to its sender. The kinds and types are those that there are,
    and those without a message are few: each goes to all who subscribed.
    """
    named = [draft.message_id for draft in drafts if draft.message_id is not None]
    types = {message.id: message.event_type for message in messages}
    if sorted(map(str, named)) != sorted(types) or len(drafts) - len(named) > MOST_ADDED:
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
