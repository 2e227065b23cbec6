"""Audit rows: buffered in the unit, chained and inserted when its functions have ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, bindparam, func, insert, select, update

from zekt_bot.db.prepared import Prepared, run_together
from zekt_bot.db.sql import insert_if_new, insert_new
from zekt_bot.db.tables import audit, audit_chains, principals
from zekt_bot.db.types import microseconds
from zekt_bot.domain.audit import GENESIS, GITHUB, SYSTEM, Entry, chain_hash, packed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.db.prepared import Call

_NEW_CHAIN = select(func.count()).select_from(audit_chains)
_NOTIFY = Prepared(select(func.pg_notify("zekt", bindparam("topics", type_=Text()))))
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


@dataclass(slots=True)
class Unit:
    """What one transaction gathers beside its rows."""

    entries: list[Entry] = field(default_factory=list)
    topics: set[str] = field(default_factory=set)
    left: list[Call] = field(default_factory=list)


def begin(connection: Connection) -> Unit:
    """Start with an empty buffer."""
    unit = Unit()
    connection.info["zekt_unit"] = unit
    return unit


def record(connection: Connection, entry: Entry) -> None:
    """Write `entry` with this transaction."""
    connection.info["zekt_unit"].entries.append(entry)


def record_all(connection: Connection, rows: Sequence[Entry]) -> list[None]:
    """What `Database.write` is given where nothing but entries is written."""
    for entry in rows:
        record(connection, entry)
    return [None] * len(rows)


def wake(connection: Connection, topic: str) -> None:
    """Wake whoever waits for `topic`, once this transaction is committed."""
    connection.info["zekt_unit"].topics.add(topic)


def later(connection: Connection, statement: Prepared, rows: Sequence[Mapping[str, Any]]) -> None:
    """Run it once a row when this function ends, in one round trip with what else was left.

    Nothing of the function looks at what it changes, or it calls `settle` first.
    """
    if rows:
        connection.info["zekt_unit"].left.append((statement, rows))


def settle(connection: Connection) -> None:
    """Run what was left for later."""
    unit: Unit = connection.info["zekt_unit"]
    left, unit.left = unit.left, []
    run_together(connection, left)


def flush(connection: Connection, now: datetime) -> None:
    """Chain and insert the buffered entries, with what was left for later."""
    unit: Unit = connection.info["zekt_unit"]
    if unit.entries:
        _chain(connection, unit.entries, now)
    settle(connection)


def notify(connection: Connection) -> None:
    """Wake other processes, once this transaction is committed."""
    unit: Unit = connection.info["zekt_unit"]
    if unit.topics and connection.dialect.name == "postgresql":
        _NOTIFY.run(connection, {"topics": ",".join(sorted(unit.topics))})


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
    insert_new(
        connection,
        principals,
        [
            {"id": actor, "name": actor, "first_seen_at": now}
            for actor in sorted({entry.actor for entry in entries} - _NOBODY)
        ],
    )
    later(connection, _HEAD, [{"own": chain, "seq": seq, "last": previous}])
    later(connection, _ROWS, rows)


def _take_chain(connection: Connection) -> tuple[str, int, str]:
    """Lock a chain that no other transaction holds, or begin a new one.

    So there are as many chains as transactions ever were open at once, and no connection has to
    remember which is its own (a pooler may swap connections underneath).
    """
    free = _FREE.run(connection).first()
    if free:
        return free.chain, free.head_seq, free.head_hash
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
