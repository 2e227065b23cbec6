"""Every claim finds its rows by an index on both databases, however many rows lie beside them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from tests.db.rows import PACE, delivery_row, envelope_row, inbox_row, leased, plant, put, run_row
from tests.db.statements import Sent, hearing
from tests.factories import ran
from zekt_bot.db import (
    chores,
    deliveries,
    erasure,
    lanes,
    leases,
    outgoing,
    proofs,
    retention,
    runs,
    tables,
    versions,
)
from zekt_bot.db.deliveries import Hastening
from zekt_bot.db.erasure import Part
from zekt_bot.db.present import present
from zekt_bot.domain.events import Run, RunKey
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database

    Work = Callable[[Connection], object]

MANY = 5000
LANES = 100
BIG = ("inbox", "runs", "envelopes", "deliveries")
LATER = START + timedelta(seconds=30)
# Older than every row, whose ids tell no time: else all of them would have to be read.
OLD = retention.Batch(datetime.fromtimestamp(0, UTC), START, 200)


def claim_of(table: str) -> Work:
    claim = leases.Claim(table, START, LATER, "lea_1", limit=64)
    return lambda connection: leased(connection, [claim])


def claim_of_lanes(connection: Connection) -> object:
    claim = lanes.LaneClaim(START, LATER, "lea_1", 192, PACE)
    return leased(connection, [claim])


def purge_of(name: str) -> Work:
    return lambda connection: retention.STEPS[name](connection, [OLD])


SIXTEEN = [f"dlv_{n:026}" for n in range(16)]

RUN = Run("run_1", RunKey(2, 10, 1), "cor_1", "open", 1, 0, None)
FRESH = {
    RunKey(2, n, 1): {"id": f"run_{n}", "correlation_id": f"cor_{n}", "received_at": START}
    for n in range(10, 74)
}
NAMED = ran(event="repository_dispatch", display_title=f"Zekt {SIXTEEN[1]}")

# What is asked all the time, and how many statements that takes at least.
OFTEN: dict[str, tuple[Work, int]] = {
    "claim of the inbox": (claim_of("inbox"), 2),
    "claim of runs": (claim_of("runs"), 2),
    "claim of envelopes": (claim_of("envelopes"), 2),
    "claim of deliveries": (claim_of_lanes, 5),
    "runs by their keys": (lambda c: runs.meet(c, FRESH), 2),
    "what decided about a run": (
        lambda c: versions.stand(
            c, [{tables.repositories: {2: 1}, tables.runs: {"run_1": 1}}], to_change=tables.runs
        ),
        1,
    ),
    "what decided about an envelope": (
        lambda c: versions.stand(
            c,
            [
                {
                    tables.repositories: {2: 1, 3: 1},
                    tables.services: {"svc_1": 1},
                    tables.subscriptions: {"sub_1": 1},
                    tables.envelopes: {"evt_1": 1},
                }
            ],
        ),
        1,
    ),
    "next of the inbox": (lambda c: leases.next_due(c, "inbox"), 1),
    "next of the runs": (lambda c: leases.next_due(c, "runs"), 1),
    "next of the envelopes": (lambda c: leases.next_due(c, "envelopes"), 1),
    "next of the deliveries": (lambda c: leases.next_due(c, "deliveries"), 1),
    "sweep of the lanes": (lambda c: lanes.sweep(c, [START]), 1),
    "what waits in a lane": (
        lambda c: deliveries.hasten(c, [Hastening("github:1", 5, START)]),
        2,
    ),
    "probe": (lambda c: deliveries.probe(c, [("app", START)]), 1),
    "load of deliveries": (lambda c: outgoing.load(c, SIXTEEN), 1),
    "how deliveries stand": (lambda c: present(c, deliveries=SIXTEEN), 1),
    "hops of a run": (lambda c: proofs.bind(c, RUN, ran(event="workflow_run")), 2),
    "cause of a run": (lambda c: proofs.bind(c, RUN, ran(event="repository_dispatch")), 3),
    "cause by a title": (lambda c: proofs.bind(c, RUN, NAMED), 1),
    "proof": (lambda c: proofs.settle(c, [(SIXTEEN[1], proofs.Proving({}, START, (1, 1)))]), 3),
    "chore": (lambda c: chores.take(c, [("lanes", START, LATER)]), 3),
    "resume": (lambda c: deliveries.resume(c, [("app", START)]), 1),
    **{f"purge of {name}": (purge_of(name), 1) for name in retention.STEPS},
}


async def fill(database: Database, one_in: int) -> None:
    """Thousands of rows in every big table, of which one in `one_in` is due."""

    def due(number: int) -> dict[str, Any]:
        return {"due_at": START if number % one_in == 0 else None}

    numbers = range(2, MANY)
    await plant(database, *(delivery_row(n, f"github:{n}", **due(0)) for n in range(LANES)))
    await database.write(put, (tables.inbox, [inbox_row(n, **due(n)) for n in numbers]))
    await database.write(put, (tables.runs, [run_row(n, **due(n)) for n in numbers]))
    await database.write(put, (tables.envelopes, [envelope_row(n, n, **due(n)) for n in numbers]))
    more = [delivery_row(n, f"github:{n % LANES}", **due(n // LANES)) for n in range(LANES, MANY)]
    await database.write(put, (tables.deliveries, more))


def sent_by(connection: Connection, work: Work) -> list[Sent]:
    """The statements that `work` sends, exactly as they are sent."""
    with hearing(connection) as sent:
        work(connection)
    return sent


def explain(connection: Connection, rows: Sequence[Work]) -> list[list[list[str]]]:
    """For each work, its statements' plans as lines."""
    postgresql = connection.dialect.name == "postgresql"
    connection.execute(text("ANALYZE"))
    if postgresql:
        connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
    answers = []
    for work in rows:
        plans = []
        for statement, parameters in sent_by(connection, work):
            lines = own_plan(connection, statement, parameters)
            if postgresql:
                lines = [*lines, *generic_plan(connection, statement, len(parameters))]
            plans.append([str(line[-1]) for line in lines])
        answers.append(plans)
    return answers


def own_plan(connection: Connection, statement: str, parameters: Any) -> Sequence[Any]:
    """The plan for these very values."""
    word = "EXPLAIN" if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    return connection.exec_driver_sql(f"{word} {statement}", parameters).all()


def generic_plan(connection: Connection, statement: str, parameters: int) -> Sequence[Any]:
    """The plan that PostgreSQL keeps for a prepared statement that has run often."""
    connection.exec_driver_sql(f"PREPARE kept AS {statement}")
    nulls = "(" + ", ".join(["NULL"] * parameters) + ")" if parameters else ""
    lines = connection.exec_driver_sql(f"EXPLAIN EXECUTE kept{nulls}").all()
    connection.exec_driver_sql("DEALLOCATE kept")
    return lines


def walks(line: str) -> bool:
    """Whether a line of a plan reads a big table from one end to the other."""
    if "Seq Scan on" in line:
        return any(f"Seq Scan on {table}" in line for table in BIG)
    words = line.split()
    reads = words[0] in {"SCAN", "SEARCH"} and words[1] in (*BIG, "inner", "other", "later")
    # SQLite says SEARCH also when it seeks the least value by reading everything.
    return reads and ("INDEX" not in words or words[0] == "SCAN")


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("SCAN inbox", True),
        ("SEARCH inbox", True),
        ("SCAN deliveries USING INDEX ix_deliveries_due", True),
        ("SEARCH runs USING INDEX ix_runs_due (due_at<?)", False),
        ("SEARCH inner USING COVERING INDEX ix_deliveries_due (lane=?)", False),
        ("        ->  Seq Scan on deliveries  (cost=0.00..612.98 rows=15198 width=48)", True),
        ("        ->  Seq Scan on lanes  (cost=0.00..3.25 rows=64 width=9)", False),
    ],
)
def test_a_walk_is_told_from_a_search(line: str, bad: bool) -> None:
    assert walks(line) is bad


@pytest.mark.parametrize("one_in", [1, 50], ids=["all are due", "one in fifty is due"])
async def test_no_question_that_is_asked_often_reads_a_whole_table(
    database: Database, one_in: int
) -> None:
    await fill(database, one_in)
    for name, (work, statements) in OFTEN.items():
        plans = await database.write(explain, work)
        assert len(plans) >= statements, name
        bad = [line for plan in plans for line in plan if walks(line)]
        assert bad == [], name


@pytest.mark.parametrize("part", [erasure.drop_webhooks, erasure.drop_deliveries])
async def test_a_transaction_looks_for_what_a_purged_repository_still_gets_from_the_purge_on(
    database: Database, part: Callable[[Connection, list[Part]], list[int]]
) -> None:
    await fill(database, 50)
    its = Part(5, 1, 2, LATER + timedelta(days=30))

    def look(connection: Connection, _: Sequence[None]) -> list[list[str]]:
        connection.execute(text("ANALYZE"))
        sent = sent_by(connection, lambda c: part(c, [its]))
        return [[str(line[-1]) for each in sent for line in own_plan(connection, *each)]]

    plan = await database.write(look, None)
    assert plan
    assert [line for line in plan if walks(line)] == []
