"""Runs, their jobs and their messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, insert, select, update

from zekt_bot.db import units
from zekt_bot.db.prepared import Prepared
from zekt_bot.db.rows import MESSAGE, RUN, job_of, message_of, run_of
from zekt_bot.db.sql import in_pages, insert_new, one_of, rows_of, upsert
from zekt_bot.db.tables import RUN_IS_OPEN, envelopes, jobs, messages, runs
from zekt_bot.domain.events import RunKey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.domain.events import Job, Message, Run


_KEY = tuple(runs.c[name] for name in RunKey._fields)
_NEW = {"state": "open", "version": 1, "hops": 0, "failures": 0}


def meet(connection: Connection, fresh: Mapping[RunKey, Mapping[str, Any]]) -> dict[RunKey, Run]:
    """The runs of these keys; `fresh` (id, correlation_id, account_id, received_at) if new.

    Their rows stay locked until the transaction ends.
    """
    units.run_left(connection)  # what its neighbours in this unit learned
    keys = sorted(fresh)  # every unit locks runs in this order
    insert_new(connection, runs, [{**fresh[key], **key._asdict(), **_NEW} for key in keys])
    found = _MET.run(connection, {"keys": keys}).mappings()
    return {run.key: run for run in map(run_of, found)}


_RUN = select(*(runs.c[name] for name in RUN))
_MET = Prepared(_RUN.where(rows_of(_KEY, "keys")).order_by(*_KEY).with_for_update())
_CHANGE = Prepared(
    update(runs)
    .where(runs.c.id == bindparam("own"))
    .values(version=runs.c.version + 1, lease=None),
    sets=True,
)
_ENVELOPE = Prepared(insert(envelopes))
_JOBS = Prepared(
    select(jobs).where(one_of(jobs.c.run, "ids")).order_by(jobs.c.started_at, jobs.c.job_id)
)
_RUNS = Prepared(_RUN.where(one_of(runs.c.id, "ids")))
_UNSENT = Prepared(
    select(*(messages.c[name] for name in MESSAGE if name != "body"))
    .outerjoin(envelopes, envelopes.c.message == messages.c.id)
    .where(one_of(messages.c.run, "ids"), envelopes.c.id.is_(None))
    .order_by(messages.c.id)
)


def by_key(connection: Connection, key: RunKey) -> Run | None:
    """The run of `key`, if anything of it came."""
    found = select(runs).where(*(runs.c[name] == value for name, value in key._asdict().items()))
    row = connection.execute(found).mappings().first()
    return run_of(row) if row else None


def reported(connection: Connection, run_id: str) -> str | None:
    """What a run has said of the delivery that it came of."""
    found = select(runs.c.reported).where(runs.c.id == run_id)
    said: str | None = connection.execute(found).scalar_one()
    return said


def ended(
    connection: Connection, repository_id: int, run_ids: Iterable[int]
) -> set[tuple[int, int]]:
    """Run and attempt of those runs whose end is known."""
    found: set[tuple[int, int]] = set()
    for some in in_pages(run_ids):
        rows = connection.execute(
            select(runs.c.run_id, runs.c.run_attempt).where(
                runs.c.repository_id == repository_id,
                runs.c.run_id.in_(some),
                runs.c.state != "open",
            )
        )
        found |= {(row.run_id, row.run_attempt) for row in rows}
    return found


def still_open(
    connection: Connection, repository_id: int, since: datetime, until: datetime, limit: int
) -> list[tuple[int, int]]:
    """Run and attempt of the newest runs heard of in that time whose end is not known."""
    rows = connection.execute(
        select(runs.c.run_id, runs.c.run_attempt)
        .where(
            runs.c.repository_id == repository_id,
            RUN_IS_OPEN,
            runs.c.received_at >= since,
            runs.c.received_at < until,
        )
        .order_by(runs.c.received_at.desc())
        .limit(limit)
    )
    return [(row.run_id, row.run_attempt) for row in rows]


def change(connection: Connection, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Set values by id and raise versions, later: what is decided about these is decided anew."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run_id, values in changes.items():
        alike.setdefault(tuple(values), []).append({"own": run_id, **values})
    for rows in alike.values():
        units.later(connection, _CHANGE, rows)


def put_jobs(connection: Connection, learned: Mapping[str, Job]) -> None:
    """Learn a job of each run; a completed one stays completed, whatever comes late."""
    rows = [{"run": run_id, **_job(job)} for run_id, job in learned.items()]
    upsert(connection, jobs, [row for row in rows if row["status"] == "completed"], _OF_JOB)
    insert_new(connection, jobs, [row for row in rows if row["status"] != "completed"])


def _job(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in job.__dataclass_fields__}


_OF_JOB = ("name", "status", "conclusion", "started_at", "completed_at")


def jobs_of(connection: Connection, run_ids: Sequence[str]) -> dict[str, list[Job]]:
    """Each run's jobs in the order in which they began."""
    if not run_ids:
        return {}
    found = _JOBS.run(connection, {"ids": run_ids}).mappings()
    by_run: dict[str, list[Job]] = {run_id: [] for run_id in run_ids}
    for row in found:
        by_run[row["run"]].append(job_of(row))
    return by_run


def runs_of(connection: Connection, ids: Sequence[str]) -> list[Run]:
    """The runs with these ids."""
    found = _RUNS.run(connection, {"ids": ids}).mappings()
    return [run_of(row) for row in found]


def unsent_messages(connection: Connection, run_ids: Sequence[str]) -> dict[str, list[Message]]:
    """Each run's messages that stand in no envelope yet, oldest first."""
    found = _UNSENT.run(connection, {"ids": run_ids}).mappings()
    by_run: dict[str, list[Message]] = {run_id: [] for run_id in run_ids}
    for row in found:
        by_run[row["run"]].append(message_of(row))
    return by_run


_UNREAD = {"body", "redactions"}
_MESSAGES = Prepared(
    select(*(column for column in messages.c if column.name not in _UNREAD))
    .where(one_of(messages.c.run, "ids"))
    .order_by(messages.c.id)
)
_MESSAGE = Prepared(insert(messages))


_IN_CLEAR = Prepared(
    select(messages.c.id).where(one_of(messages.c.id, "ids"), messages.c.shield.is_(None))
)


def in_clear(connection: Connection, message_ids: Sequence[str]) -> set[str]:
    """Those of these messages that are not encrypted."""
    return set(_IN_CLEAR.run(connection, {"ids": message_ids}).scalars()) if message_ids else set()


def messages_of(connection: Connection, run_ids: Collection[str]) -> dict[str, list[Message]]:
    """Each run's messages without their bodies, oldest first."""
    by_run: dict[str, list[Message]] = {run_id: [] for run_id in run_ids}
    if by_run:
        for row in _MESSAGES.run(connection, {"ids": run_ids}).mappings():
            by_run[row["run"]].append(message_of(row))
    return by_run


def add_messages(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert messages of runs that are held, later; none of them has the same already."""
    units.later(connection, _MESSAGE, rows)


def forget(connection: Connection, ids: Collection[str]) -> None:
    """Delete runs of which there is nothing else."""
    if ids:
        connection.execute(delete(runs).where(runs.c.id.in_(ids)))


def add_envelopes(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert envelopes, later."""
    units.later(connection, _ENVELOPE, rows)
