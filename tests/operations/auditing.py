"""A chain of audit entries, what is kept of it outside, and somebody who writes behind Zekt."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from tests.stage import ME
from zekt_bot.db.audit import record_all
from zekt_bot.db.tables import audit, audit_chains
from zekt_bot.domain.audit import Entry
from zekt_bot.operations.audit_proof import checkpoint, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from tests.stage import Stage

LENGTH = 6
CHAIN = "chain-0000"
ENTRY = Entry("zekt:delivery:dispatched", "zekt", "cor_1", "dlv_1", 1, 2, {"status": 204})
SECOND = timedelta(seconds=1)


def do(connection: Connection, rows: Sequence[Callable[[Connection], object]]) -> list[None]:
    for work in rows:
        work(connection)
    return [None] * len(rows)


async def fill(stage: Stage, length: int = LENGTH, apart: timedelta = SECOND) -> None:
    """So many entries of one chain, the last one so long ago as they are apart."""
    for number in range(length):
        entry = replace(ENTRY, details={"status": 200 + number})
        await stage.broker.database.write(record_all, entry)
        stage.clock.advance(apart)


async def findings(stage: Stage, *kept: bytes) -> list[dict[str, Any]]:
    found = await verify(stage.broker, ME, kept)
    assert found["intact"] is (not found["findings"])
    return list(found["findings"])


async def keep(stage: Stage) -> bytes:
    return json.dumps(await checkpoint(stage.broker, ME)).encode()


def row_at(seq: int) -> Any:
    return (audit.c.chain == CHAIN) & (audit.c.seq == seq)


async def forged_beginning(stage: Stage, first: int) -> None:
    """What retention does, by somebody who is not it."""

    def work(connection: Connection) -> None:
        previous = connection.execute(select(audit.c.hash).where(row_at(first - 1))).scalar_one()
        connection.execute(delete(audit).where(audit.c.seq < first))
        values = {"first_seq": first, "first_previous": previous}
        connection.execute(update(audit_chains).values(values))

    await stage.broker.database.write(do, work)
