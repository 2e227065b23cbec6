"""How the cluster does: who works, what waits and since when, and since when nothing was missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.db import backlog, coverage, mirror, processes
from zekt_bot.domain.access import decide
from zekt_bot.domain.recovery import whole
from zekt_bot.operations.heartbeat import DEAD_AFTER, MOST_OFF, taken_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.recovery import Coverage, Late
    from zekt_bot.operations.broker import Broker


_MOST_GAPS = 20  # are named
_COVERAGE = ("name", "no_gap_since", "covered_to", "checked_at", "problem")


async def status(broker: Broker, principal: Principal) -> dict[str, Any]:
    """What `/status` and `zekt status` show: `processes`, `waiting` and `coverage`, at `at`.

    `looked_until`: as far as all lists were read; `unread`: that one was not read in time, and why;
    `goes_on`: what it tells of is being taken in.
    `gaps`: how many `repositories` could not be compared, and the `first` of them since when.

    Raises:
        AccessDenied: this principal is no operator.
        StorageUnavailable: the database cannot be reached.
    """
    decide(principal, "status:read")
    now = broker.now()
    running, waiting, lists, (unread, first) = await broker.database.query(_facts)
    no_gap_since, looked_until = whole(lists)
    taken = taken_in(running, now)
    return {
        "at": now,
        "no_gap_since": no_gap_since,
        "looked_until": looked_until,
        "gaps": {
            "repositories": unread,
            "first": [{"repository": name, "since": since} for name, since in first],
        },
        "processes": [_process(row, now) for row in running],
        "waiting": [_waiting(row, now) for row in waiting],
        "coverage": [_coverage(each, each.late(now, taken)) for each in lists],
    }


def _facts(
    connection: Connection,
) -> tuple[
    list[Any],
    list[backlog.Waiting],
    list[Coverage],
    tuple[int, list[tuple[str, datetime]]],
]:
    return (
        list(processes.known(connection)),
        backlog.backlog(connection),
        coverage.every(connection),
        mirror.unread(connection, _MOST_GAPS),
    )


def _coverage(each: Coverage, late: Late | None) -> dict[str, Any]:
    said = {"unread": late and late.said, "goes_on": late is not None and late.goes_on}
    return {name: getattr(each, name) for name in _COVERAGE} | said


def _process(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    offset = row["clock_offset_us"]
    seconds = None if offset is None else round(offset / 1_000_000, 3)
    return {
        "id": row["id"],
        "kind": row["kind"],
        "host": row["host"],
        "pid": row["pid"],
        "version": row["version"],
        "started_at": row["started_at"],
        "beat_at": row["beat_at"],
        "age_seconds": round((now - row["beat_at"]).total_seconds(), 1),
        "alive": now - row["beat_at"] < DEAD_AFTER,
        "clock_offset_seconds": seconds,
        "clock_is_off": seconds is not None and abs(seconds) > MOST_OFF.total_seconds(),
        "hears": row["listening"],
        "figures": orjson.loads(row["figures"]),
    }


def _waiting(row: backlog.Waiting, now: datetime) -> dict[str, Any]:
    """`age_seconds`: since the oldest came; `late_seconds`: for how long the first has been due."""
    return {
        **row._asdict(),
        "age_seconds": _since(row.oldest_at, now),
        "late_seconds": _since(row.due_at, now),
    }


def _since(moment: datetime | None, now: datetime) -> float:
    return max(0.0, round((now - moment).total_seconds(), 1)) if moment else 0.0
