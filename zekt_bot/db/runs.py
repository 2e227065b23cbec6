"""Runs, their jobs and their messages."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select, update

from zekt_bot.db.rows import job_of, message_of, run_of
from zekt_bot.db.sql import in_pages, insert_new, one_of, upsert
from zekt_bot.db.tables import RUN_IS_OPEN, envelopes, jobs, messages, runs
from zekt_bot.domain.events import RunKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Update

    from zekt_bot.domain.events import Job, Message, Run


def meet(connection: Connection, key: RunKey, fresh: Mapping[str, Any]) -> Run:
    """The run of `key`; `fresh` (id, correlation_id, account_id, received_at) if it is new.

    The row stays locked until the transaction ends.
    """
    row = {**fresh, **key._asdict(), "state": "open", "version": 1, "hops": 0, "failures": 0}
    insert_new(connection, runs, [row])
    return run_of(connection.execute(_MET, key._asdict()).mappings().one())


_MET = (
    select(runs)
    .where(*(runs.c[name] == bindparam(name) for name in RunKey._fields))
    .with_for_update()
)
_ENVELOPE = insert(envelopes)
_JOBS = select(jobs).where(one_of(jobs.c.run, "ids")).order_by(jobs.c.started_at, jobs.c.job_id)
_RUNS = select(runs).where(one_of(runs.c.id, "ids"))
_UNSENT = (
    select(messages)
    .outerjoin(envelopes, envelopes.c.message == messages.c.id)
    .where(one_of(messages.c.run, "ids"), envelopes.c.id.is_(None))
    .order_by(messages.c.id)
)


def by_key(connection: Connection, key: RunKey) -> Run | None:
    """The run of `key`, if anything of it came."""
    found = select(runs).where(*(runs.c[name] == value for name, value in key._asdict().items()))
    row = connection.execute(found).mappings().first()
    return run_of(row) if row else None


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


def change(connection: Connection, run_id: str, **values: Any) -> None:
    """Set `values` and raise the version: whatever is decided about this run is decided anew."""
    new = {f"new_{name}": value for name, value in values.items()}
    connection.execute(_change(tuple(values)), new | {"own": run_id})


@cache
def _change(names: tuple[str, ...]) -> Update:
    """An update of these columns, the same statement each time."""
    new = {name: bindparam(f"new_{name}", type_=runs.c[name].type) for name in names}
    raised = {"version": runs.c.version + 1, "lease": None}
    return update(runs).where(runs.c.id == bindparam("own")).values({**raised, **new})


def put_job(connection: Connection, run_id: str, job: Job) -> None:
    """Learn a job; a completed one stays completed, whatever comes late."""
    row = {"run": run_id, **{name: getattr(job, name) for name in job.__dataclass_fields__}}
    if job.status == "completed":
        upsert(
            connection, jobs, row, ("name", "status", "conclusion", "started_at", "completed_at")
        )
        return
    insert_new(connection, jobs, [row])


def jobs_of(connection: Connection, run_ids: Sequence[str]) -> dict[str, list[Job]]:
    """Each run's jobs in the order in which they began."""
    found = connection.execute(_JOBS, {"ids": run_ids}).mappings()
    by_run: dict[str, list[Job]] = {run_id: [] for run_id in run_ids}
    for row in found:
        by_run[row["run"]].append(job_of(row))
    return by_run


def runs_of(connection: Connection, ids: Sequence[str]) -> list[Run]:
    """The runs with these ids."""
    found = connection.execute(_RUNS, {"ids": ids}).mappings()
    return [run_of(row) for row in found]


def unsent_messages(connection: Connection, run_ids: Sequence[str]) -> dict[str, list[Message]]:
    """Each run's messages that stand in no envelope yet, oldest first."""
    found = connection.execute(_UNSENT, {"ids": run_ids}).mappings()
    by_run: dict[str, list[Message]] = {run_id: [] for run_id in run_ids}
    for row in found:
        by_run[row["run"]].append(message_of(row))
    return by_run


def message_like(
    connection: Connection, run_id: str, event_type: str, sha256: str
) -> Message | None:
    """The message of this run with the same type and content."""
    found = (
        connection.execute(
            select(messages).where(
                messages.c.run == run_id,
                messages.c.event_type == event_type,
                messages.c.sha256 == sha256,
            )
        )
        .mappings()
        .first()
    )
    return message_of(found) if found else None


def add_message(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Insert a message; False: the run has the same one already."""
    return insert_new(connection, messages, [row]) == 1


@cache
def _settle(names: tuple[str, ...]) -> Update:
    return _change(names).where(runs.c.version == bindparam("read"))


def settle(
    connection: Connection,
    run: Run,
    values: Mapping[str, Any],
    new_envelopes: Sequence[Mapping[str, Any]],
    now: datetime,
) -> bool:
    """Apply what aggregation decided about `run`, as it was read; False: it has changed since."""
    own = {"own": run.id, "read": run.version}
    new = {f"new_{name}": value for name, value in values.items()}
    applied = connection.execute(_settle(tuple(values)), own | new).rowcount
    if applied and new_envelopes:
        rows = [{**row, "created_at": now, "due_at": now} for row in new_envelopes]
        connection.execute(_ENVELOPE, rows)
    return bool(applied)
