"""However many rows wait in a closed lane, a claim costs what it costs without them."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Integer, String, cast, insert, literal, select, text, update

from tests.db.rows import PACE, delivery_row, leased, plant
from tests.db.statements import hearing
from tests.figures import FIGURES
from zekt_bot.db import lanes, tables
from zekt_bot.db.lanes import LaneClaim
from zekt_bot.db.prepared import run_together
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database

FEW, WAITING = 500, 50_000
LEASE = timedelta(seconds=60)
_READ = text(
    "SELECT coalesce(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)), 0)"
    " FROM pg_stat_xact_user_tables"
)


class Cost(NamedTuple):
    """What a claim did: statements; rows read (PostgreSQL) or steps taken (SQLite)."""

    taken: int
    statements: int
    work: int


class _Undo(Exception):
    """Rolls the claim back, so that the next one meets the same rows."""


async def cost(database: Database) -> Cost:
    """What the next claim would cost."""
    seen: list[Cost] = []

    def measure(connection: Connection, rows: Sequence[LaneClaim]) -> list[None]:
        done = _Work(connection)
        with hearing(connection) as sent:
            (taken,) = leased(connection, rows)
        seen.append(Cost(len(taken), len(sent), done.since()))
        raise _Undo

    request = LaneClaim(START, START + LEASE, "lea_1", 64, PACE)
    with contextlib.suppress(_Undo):
        await database.write(measure, request)
    return seen[-1]


class _Work:
    """Counts what the database does in this transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._steps = connection, 0
        self._sqlite = connection.dialect.name == "sqlite"
        self._before = 0 if self._sqlite else int(connection.execute(_READ).scalar_one())
        self._watch(self._step if self._sqlite else None)

    def _watch(self, step: Any) -> None:
        if self._sqlite:
            raw: Any = self._connection.connection.dbapi_connection
            raw.set_progress_handler(step, 1)

    def _step(self) -> None:
        self._steps += 1

    def since(self) -> int:
        """How much since this was made."""
        self._watch(None)
        if self._sqlite:
            return self._steps
        return int(self._connection.execute(_READ).scalar_one()) - self._before


def crowd(connection: Connection, rows: Sequence[tuple[int, int]]) -> list[None]:
    """Put due copies of a delivery, with these numbers, into a closed lane."""
    first, last = rows[0]
    run_together(connection, [lanes.opening(connection, {"github:1": None}, START, PACE)])
    opens = START + timedelta(hours=1)
    closed = update(tables.lanes).where(tables.lanes.c.name == "github:1")
    connection.execute(closed.values(open_at=opens, next_ready_at=opens))
    numbers = select(literal(first, Integer).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < last))
    one = tables.deliveries.alias("one")
    own = {name: literal(f"{name[:3]}_") + cast(numbers.c.n, String) for name in ("id", "cause_id")}
    columns = [
        own.get(column.name, literal("github:1") if column.name == "lane" else one.c[column.name])
        for column in tables.deliveries.c
    ]
    model = select(one.c.id).order_by(one.c.id).limit(1).scalar_subquery()
    copies = select(*columns).select_from(numbers.join(one, one.c.id == model))
    connection.execute(insert(tables.deliveries).from_select(list(tables.deliveries.c), copies))
    connection.execute(text("ANALYZE"))
    return [None]


async def test_a_claim_reads_nothing_of_a_closed_lane(
    database: Database, record_property: Callable[[str, object], None]
) -> None:
    await plant(database, *(delivery_row(n, f"github:{n}") for n in range(2, 10)))
    await database.write(crowd, (1, FEW))
    before = await cost(database)
    await database.write(crowd, (FEW + 1, WAITING))
    after = await cost(database)
    assert before.taken == after.taken == 8
    assert after.statements == before.statements
    assert after.work <= before.work * 1.1
    costs = f"{after.statements} statements, {after.work / before.work:.2f} times the work"
    record_property(FIGURES, f"{WAITING} rows wait in a closed lane: {costs} of {FEW} rows")
