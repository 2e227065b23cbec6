"""Audit rows: buffered in the unit, chained and inserted when its functions have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, select, update

from zekt_bot.db import units
from zekt_bot.db.prepared import Prepared
from zekt_bot.db.sql import insert_if_new, insert_new
from zekt_bot.db.tables import audit, audit_chains, principals
from zekt_bot.db.types import microseconds
from zekt_bot.domain.audit import GENESIS, GITHUB, SYSTEM, Entry, chain_hash, packed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

_NEW_CHAIN = select(func.count()).select_from(audit_chains)
_NOBODY = {SYSTEM, GITHUB}  # they have no name that could be erased
_ROWS = Prepared(insert(audit))
_FREE = Prepared(
    select(audit_chains.c.chain, audit_chains.c.head_seq, audit_chains.c.head_hash)
    .order_by(audit_chains.c.chain)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_HEAD = Prepared(
    update(audit_chains)
    .where(audit_chains.c.chain == bindparam("own"))
    .values(head_seq=bindparam("seq"), head_hash=bindparam("last"))
)


def record(connection: Connection, entry: Entry) -> None:
    """Write `entry` with this transaction."""
    units.of(connection).entries.append(entry)


def record_all(connection: Connection, rows: Sequence[Entry]) -> list[None]:
    """What `Database.write` is given where nothing but entries is written."""
    for entry in rows:
        record(connection, entry)
    return [None] * len(rows)


def flush(connection: Connection, now: datetime) -> None:
    """Chain and insert the buffered entries, with what was left for later."""
    if entries := units.of(connection).entries:
        _chain(connection, entries, now)
    units.run_left(connection)


def _chain(connection: Connection, entries: Sequence[Entry], now: datetime) -> None:
    chain, seq, previous = _take_chain(connection)
    at = microseconds(now)
    rows: list[dict[str, Any]] = []
    for entry in entries:
        seq += 1
        previous = chain_hash(previous, chain, seq, at, entry)
        rows.append(
            {
                "chain": chain,
                "seq": seq,
                "at": now,
                "actor": entry.actor,
                "verb": entry.verb,
                "correlation_id": entry.correlation_id,
                "delivery_id": entry.delivery_id,
                "account_id": entry.account_id,
                "repository_id": entry.repository_id,
                "details": packed(dict(entry.details)).decode(),
                "hash": previous,
            }
        )
    if people := sorted({entry.actor for entry in entries} - _NOBODY):
        # Another may be adding them: who waits for that has locked its lanes before, as everybody.
        units.run_left(connection)
        made = [{"id": actor, "name": actor, "first_seen_at": now} for actor in people]
        insert_new(connection, principals, made)
    units.later(connection, _HEAD, [{"own": chain, "seq": seq, "last": previous}])
    units.later(connection, _ROWS, rows)


def _take_chain(connection: Connection) -> tuple[str, int, str]:
    """Lock a chain that no other transaction holds, or begin a new one.

    So there are as many chains as transactions ever were open at once, and no connection has to
    remember which is its own (a pooler may swap connections underneath).
    """
    free = _FREE.run(connection).first()
    if free:
        return free.chain, free.head_seq, free.head_hash
    units.run_left(connection)  # as before new people: another may be making the same chain
    number = connection.execute(_NEW_CHAIN).scalar_one()
    while True:
        chain = f"chain-{number:04}"
        row = {
            "chain": chain,
            "first_seq": 1,
            "first_previous": GENESIS,
            "head_seq": 0,
            "head_hash": GENESIS,
        }
        if insert_if_new(connection, audit_chains, row):
            return chain, 0, GENESIS
        number += 1
