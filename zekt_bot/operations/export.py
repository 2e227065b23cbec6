"""Export: events, deliveries and the audit as they stand, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import orjson

from zekt_bot.db.lists import everything
from zekt_bot.domain.access import decide
from zekt_bot.domain.lists import Span
from zekt_bot.errors import InvalidInput
from zekt_bot.operations.visibility import shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from sqlalchemy import Connection, RowMapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

Kind = Literal["events", "deliveries", "audit"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ALWAYS = Span()

_PAGES: dict[Kind, Callable[[Connection, Span, RowMapping | None], list[RowMapping]]] = {
    "events": everything.events,
    "deliveries": everything.sent,
    "audit": everything.entries,
}
_SINGULAR: dict[Kind, str] = {"events": "event", "deliveries": "delivery", "audit": "audit"}


async def export(
    broker: Broker, principal: Principal, kinds: Sequence[Kind] = KINDS, span: Span = ALWAYS
) -> AsyncIterator[dict[str, Any]]:
    """Rows, oldest first, each with its `record`: event, delivery or audit. Nothing is unsealed.

    They are read in pages: memory stays the same however many there are. Rows that change
    meanwhile are given as they are when their page is read.

    Raises:
        AccessDenied, InvalidInput, StorageUnavailable.
    """
    decide(principal, "data:export")
    for kind in kinds:
        if kind not in KINDS:
            raise InvalidInput(f"{kind!r} cannot be exported; there are {', '.join(KINDS)}.")
    for kind in kinds:
        last = None
        while page := await broker.database.query(_PAGES[kind], span, last):
            for row in page:
                yield {"record": _SINGULAR[kind], **_plain(row)}
            last = page[-1]


def _plain(row: RowMapping) -> dict[str, Any]:
    found = shown(row)
    if "details" in found:
        found["details"] = orjson.loads(found["details"])
    return found
