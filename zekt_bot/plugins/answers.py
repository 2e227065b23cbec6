"""What a hook's answer must be: each function returns it, or raises PluginFailed saying why not.

They run where the plugin's own code runs: an answer can be an object whose every method is foreign.
So types are compared exactly, and what is returned is plain.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.domain.audit import check_details
from zekt_bot.domain.deliveries import GIVE_UP_AFTER
from zekt_bot.domain.events import Draft
from zekt_bot.domain.messages import (
    MOST_ADDED,
    MOST_BYTES,
    Accepted,
    Redaction,
    Refusal,
    drafts_are_sensible,
)
from zekt_bot.errors import PluginFailed, ZektError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zekt_bot.domain.events import Message

_HOST = re.compile(r"[a-z0-9._:\[\]-]{1,253}")


def aggregation(answer: Any, messages: Sequence[Message], now: datetime) -> list[Draft] | datetime:
    """Drafts that hold every message once, or a time that is to come."""
    if isinstance(answer, datetime) and answer.tzinfo is not None:
        if answer <= now:
            raise PluginFailed("zekt_aggregate must wait for a time that is to come.")
        return answer
    drafts: list[Any] = list(answer) if type(answer) in {list, tuple} else [None]
    if not all(type(draft) is Draft for draft in drafts):
        raise PluginFailed("zekt_aggregate must answer a list of drafts or an aware datetime.")
    if not drafts_are_sensible(drafts, messages):
        raise PluginFailed(
            "zekt_aggregate must put each message into exactly one draft, with its own event type "
            f"and a kind that there is, and add at most {MOST_ADDED} without a message."
        )
    return drafts


def reason(answer: Any) -> str:
    """A machine word, as the audit can hold it."""
    if type(answer) is not str or not answer or not _fits_audit({"reason": answer}):
        raise PluginFailed(
            "zekt_block_reason must answer a machine word of at most 64 characters, such as "
            "work_in_progress."
        )
    return answer


def accepted(answer: Any) -> Accepted | Refusal:
    """JSON that can be stored, or a refusal with a machine word.

    What was taken out of a message may have made it larger than a message may be.
    """
    if type(answer) is Refusal:
        if type(answer.reason) is not str or not _fits_audit({"reason": answer.reason}):
            raise PluginFailed(
                "A Refusal's reason must be a machine word of at most 64 characters."
            )
        if type(answer.detail) is not str or not answer.detail.isprintable():
            raise PluginFailed("A Refusal's detail must be one printable line.")
        return answer
    if type(answer) is not Accepted:
        return Accepted(json("zekt_accept_message", answer))
    if type(answer.redactions) is not tuple or not all(map(_is_redaction, answer.redactions)):
        raise PluginFailed(
            "The redactions of an Accepted must be a tuple of Redaction, each with a path and a "
            "machine word for its kind."
        )
    if type(answer.body) is bytes and len(answer.body) > MOST_BYTES:
        return Refusal("too_large", f"without its secrets it has {len(answer.body)} bytes")
    return Accepted(json("zekt_accept_message", answer.body), answer.redactions)


def _is_redaction(each: Any) -> bool:
    return (
        type(each) is Redaction
        and type(each.path) is str
        and type(each.kind) is str
        and _fits_audit({"kind": each.kind})
    )


def json(hook: str, answer: Any) -> bytes:
    """JSON bytes, no more than a message may have."""
    if type(answer) is not bytes or len(answer) > MOST_BYTES:
        raise PluginFailed(f"{hook} must answer at most {MOST_BYTES} bytes.")
    try:
        orjson.loads(answer)
    except orjson.JSONDecodeError:
        raise PluginFailed(f"{hook} must answer bytes that are JSON.") from None
    return answer


def delay(answer: Any) -> timedelta:
    """Up to 96 hours."""
    if type(answer) is not timedelta or not timedelta(0) <= answer <= GIVE_UP_AFTER:
        raise PluginFailed("zekt_retry_delay must answer a timedelta of 0 to 96 hours.")
    return answer


def details(answer: Any) -> dict[str, str | int]:
    """Pairs of machine words and integers."""
    found = dict(answer)
    if not found:
        return found
    if not all(type(k) is str and type(v) in {str, int} for k, v in found.items()):
        raise PluginFailed(
            "zekt_audit_details must answer a mapping of words to words or integers."
        )
    if not _fits_audit(found):
        raise PluginFailed(
            "zekt_audit_details must answer at most 16 pairs of machine words of at most 64 "
            "characters, or integers of 64 bits."
        )
    return found


def host(answer: Any) -> str | None:
    """A host's name or address."""
    if answer is not None and not (type(answer) is str and _HOST.fullmatch(answer.lower())):
        raise PluginFailed("A channel's check must answer a host such as hooks.example, or None.")
    return answer and answer.lower()


def _fits_audit(details: dict[str, str | int]) -> bool:
    try:
        check_details(details)
    except ZektError:
        return False
    return True
