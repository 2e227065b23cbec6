"""Envelopes: what is ready to be matched and sent."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, update

from zekt_bot.db.rows import envelope_of
from zekt_bot.db.sql import one_of
from zekt_bot.db.tables import envelopes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Update

    from zekt_bot.domain.events import Envelope


_UNFINISHED = select(envelopes).where(
    one_of(envelopes.c.id, "ids"), envelopes.c.due_at.is_not(None)
)


def envelopes_of(connection: Connection, ids: Sequence[str]) -> list[Envelope]:
    """Those of these envelopes that are not finished."""
    found = connection.execute(_UNFINISHED, {"ids": ids}).mappings()
    return [envelope_of(row) for row in found]


def advance(connection: Connection, envelope: Envelope, filtered: int, **values: Any) -> bool:
    """Apply what matching decided about `envelope`, as it was read; False: it has changed."""
    own = {"own": envelope.id, "read": envelope.version, "more": filtered}
    new = {f"new_{name}": value for name, value in values.items()}
    return bool(connection.execute(_advance(tuple(values)), own | new).rowcount)


@cache
def _advance(names: tuple[str, ...]) -> Update:
    """An update of these columns, the same statement each time."""
    new = {name: bindparam(f"new_{name}", type_=envelopes.c[name].type) for name in names}
    raised = {
        "version": envelopes.c.version + 1,
        "filtered": envelopes.c.filtered + bindparam("more"),
        "lease": None,
    }
    as_read = envelopes.c.id == bindparam("own"), envelopes.c.version == bindparam("read")
    return update(envelopes).where(*as_read).values({**raised, **new})
