"""Messages into the database: what was decided on still stands, what is there already, and how
much a run may send."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from zekt_bot.db import audit, runs, tables, units, usage, versions
from zekt_bot.domain.events import Message
from zekt_bot.domain.messages import MOST_BYTES_OF_A_RUN, MOST_LATE, MOST_OF_A_RUN
from zekt_bot.domain.quotas import Quota, Used

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.db.versions import Read
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.events import Run, RunKey
    from zekt_bot.domain.messages import MessagePolicy

Left = Literal["moved", "over_quota", "run_is_full", "run_is_over", "one_per_type"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A message that is stored: now, or (`duplicate`) by the same one before."""

    message_id: str
    event_id: str
    run: Run
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Storing:
    """A message on its way in. `run` is its run's row, should nothing of it be there yet.

    `over_quota`: what the audit hears if there is no more room; None: there is no quota.
    """

    key: RunKey
    run: Mapping[str, Any]
    message: Mapping[str, Any]
    entry: Entry
    now: datetime
    policy: MessagePolicy
    quota: Quota
    over_quota: Entry | None

    @property
    def counted(self) -> Used:
        """What it takes of its account's quota."""
        return Used(messages=1, bytes=self.message["size"])

    @property
    def one_per_type(self) -> bool:
        """Whether its service takes one message of each type."""
        service = self.policy.service
        return service is not None and service.profile.one_per_type


def store(connection: Connection, rows: Sequence[Storing]) -> list[Kept | Left]:
    """Store each, or say why not. Locks repositories, services, runs and usage in this order."""
    standing = _standing(connection, rows)
    taken = [row for row, stands in zip(rows, standing, strict=True) if stands]
    fresh = {row.key: _run(row) for row in reversed(taken)}
    met = runs.meet(connection, fresh) if fresh else {}
    known = runs.messages_of(connection, [run.id for run in met.values()])
    unit = _Unit(connection, met, known)
    answers: list[Kept | Left] = [
        unit.store(row) if stands else "moved" for row, stands in zip(rows, standing, strict=True)
    ]
    unit.finish({row["id"] for row in fresh.values()})
    return answers


def _run(row: Storing) -> dict[str, Any]:
    return {**row.run, "account_id": row.policy.repository.account_id}


def _standing(connection: Connection, rows: Sequence[Storing]) -> list[bool]:
    """Whether what each was decided on is still so; it is held, all rows' facts together."""
    read: list[Read] = [
        {
            tables.repositories: {each.repository.id: each.repository.version},
            tables.services: {each.service.id: each.service.version} if each.service else {},
        }
        for each in (row.policy for row in rows)
    ]
    return versions.stand(connection, read)


_TOLD = ("id", "envelope_id", "event_type", "sha256", "size", "created_at")


class _Unit:
    """What one transaction stores."""

    def __init__(
        self,
        connection: Connection,
        met: Mapping[RunKey, Run],
        known: Mapping[str, list[Message]],
    ) -> None:
        self._connection = connection
        self._met = met
        self._known = known
        self._new: list[dict[str, Any]] = []
        self._changes: dict[str, dict[str, Any]] = {}

    def store(self, row: Storing) -> Kept | Left:
        run = self._met[row.key]
        theirs = self._known[run.id]
        for each in theirs:
            if (each.event_type, each.sha256) == (row.message["event_type"], row.message["sha256"]):
                return Kept(each.id, each.envelope_id, run, duplicate=True)
        if run.was_over(row.now - MOST_LATE):
            return "run_is_over"
        if row.one_per_type and any(m.event_type == row.message["event_type"] for m in theirs):
            return "one_per_type"
        size = row.message["size"] + sum(each.size for each in theirs)
        if len(theirs) >= MOST_OF_A_RUN or size > MOST_BYTES_OF_A_RUN:
            return "run_is_full"
        if not self._has_room(row):
            return "over_quota"
        self._add(row, run)
        return Kept(row.message["id"], row.message["envelope_id"], run, duplicate=False)

    def _has_room(self, row: Storing) -> bool:
        """Whether its account's quota has room; it is counted in this transaction."""
        if row.over_quota is None:
            return True
        account_id = row.policy.repository.account_id
        if usage.hold(self._connection, account_id, row.now).leaves(row.quota, row.counted):
            usage.add(self._connection, account_id, row.now, row.counted)
            return True
        if usage.tell(self._connection, account_id, row.now):
            audit.record(self._connection, replace(row.over_quota, account_id=account_id))
        return False

    def _add(self, row: Storing, run: Run) -> None:
        self._new.append({**row.message, "run": run.id})
        told = {name: row.message[name] for name in _TOLD}
        self._known[run.id].append(Message(run_id=run.id, **told))
        self._changes[run.id] = _next(run, row.now)
        audit.record(self._connection, replace(row.entry, correlation_id=run.correlation_id))

    def finish(self, fresh: set[str]) -> None:
        """Write it. A run that was met for what is not stored leaves no trace."""
        runs.add_messages(self._connection, self._new)
        runs.change(self._connection, self._changes)
        if any(values.get("due_at") for values in self._changes.values()):
            units.wake(self._connection, "runs")
        unused = {run.id for run in self._met.values() if not self._known[run.id]}
        runs.forget(self._connection, unused & fresh)


def _next(run: Run, now: datetime) -> dict[str, Any]:
    """What a run does about a new message.

    One that still gathers keeps its time; one that was sent sends this after it; one that was set
    aside is tried anew, for this message was promised its way.
    """
    if run.state == "set_aside":
        state = "gathering" if run.aggregated_at is None else "done"
        return {"state": state, "due_at": now, "failures": 0, "reason": None}
    if run.state == "done" and run.blocked_reason is None:
        return {"due_at": now}
    return {}
