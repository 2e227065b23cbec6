"""What was set aside because its step failed too often, and how it is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, case, exists, or_, select, update

from zekt_bot.db import audit, units
from zekt_bot.db.leases import ASIDE, LEASED, hold
from zekt_bot.db.prepared import Prepared
from zekt_bot.db.sql import rows_of
from zekt_bot.db.tables import envelopes, inbox, messages, runs
from zekt_bot.domain.events import RunKey

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.config import App
    from zekt_bot.domain.audit import Entry

_MARKED = {
    name: tuple(LEASED[name].c[column] == mark for column, mark in marks.items())
    for name, marks in ASIDE.items()
}
# A plugin may block for the same reason: that is its answer, and no failure.
_MARKED["envelopes"] = (*_MARKED["envelopes"], envelopes.c.failures > 0)
_sent = envelopes.alias("sent")
# A message of the run, whose body is gone, was not sent: nobody can make its event any more.
_INCOMPLETE = exists().where(
    messages.c.run == runs.c.id,
    messages.c.body_gone_at.is_not(None),
    ~exists().where(_sent.c.message == messages.c.id),
)
_STANDS = {
    "inbox": (*_MARKED["inbox"], inbox.c.raw.is_not(None)),
    "runs": (*_MARKED["runs"], ~_INCOMPLETE),
    "envelopes": (*_MARKED["envelopes"], envelopes.c.body_gone_at.is_(None)),
}
_AGAIN: dict[str, dict[str, Any]] = {
    "inbox": {"state": "pending"},
    "runs": {"state": case((runs.c.aggregated_at.is_(None), "gathering"), else_="done")},
    "envelopes": {"blocked_reason": None},
}
_NOUNS = {"inbox": "webhook", "runs": "run", "envelopes": "envelope"}


class Aside(NamedTuple):
    """A row that was set aside; the correlation id of its run, if it is one's."""

    table: str
    id: str
    correlation_id: str | None = None

    @property
    def noun(self) -> str:
        """What the audit calls it."""
        return _NOUNS[self.table]


_TELLS_OF_A_RUN = inbox.c.event == "workflow_run", inbox.c.run_id.is_not(None)
_KEY = tuple(runs.c[name] for name in RunKey._fields)
_OF_RUNS = Prepared(
    select(*_KEY, runs.c.id, runs.c.state, runs.c.correlation_id, envelopes.c.id.label("envelope"))
    .outerjoin(envelopes, and_(envelopes.c.run == runs.c.id, *_STANDS["envelopes"]))
    .where(rows_of(_KEY, "keys"), or_(*_STANDS["runs"], envelopes.c.id.is_not(None)))
    .order_by(runs.c.id, envelopes.c.id)
)


def of_runs(connection: Connection, keys: Collection[RunKey]) -> dict[RunKey, list[Aside]]:
    """What of these runs is set aside: the run itself comes first, then its envelopes."""
    found: dict[RunKey, list[Aside]] = {}
    for *key, run_id, state, correlation_id, envelope_id in _OF_RUNS.run(
        connection, {"keys": keys}
    ).tuples():
        of_run = found.setdefault(RunKey(*key), [])
        if state == "set_aside" and not of_run:
            of_run.append(Aside("runs", run_id, correlation_id))
        if envelope_id is not None:
            of_run.append(Aside("envelopes", envelope_id, correlation_id))
    return found


def taken_up_by(connection: Connection, app: App, guids: Collection[str]) -> set[str]:
    """Those of an App's webhooks that take up what is set aside, if GitHub sends them again."""
    own = inbox.c.app == app, inbox.c.guid.in_(list(guids))
    key = tuple(inbox.c[name] for name in RunKey._fields)
    of_run = select(inbox.c.guid, *key).where(*own, *_TELLS_OF_A_RUN)
    told = {guid: RunKey(*key) for guid, *key in connection.execute(of_run)}
    waking = of_runs(connection, set(told.values())) if told else {}
    by_itself = connection.execute(select(inbox.c.guid).where(*own, *_STANDS["inbox"])).scalars()
    return {*by_itself, *(guid for guid, key in told.items() if key in waking)}


def is_any(connection: Connection, key: RunKey) -> bool:
    """Whether anything of this run is set aside, also what nobody can try again."""
    own = [column == value for column, value in zip(_KEY, key, strict=True)]
    of_it = exists().where(envelopes.c.run == runs.c.id, *_MARKED["envelopes"])
    found = select(runs.c.id).where(*own, or_(*_MARKED["runs"], of_it))
    return connection.execute(found).first() is not None


@dataclass(frozen=True, slots=True)
class Requeue:
    """Rows that were set aside and are to be tried again, each with what the audit is told."""

    rows: Sequence[tuple[Aside, Entry]]
    now: datetime


def requeue(connection: Connection, wishes: Sequence[Requeue]) -> list[bool]:
    """Make rows due that were set aside, as if they had never failed.

    False: none of them still is, or their bodies are gone.
    """
    hold(connection, [(row.table, row.id) for wish in wishes for row, _ in wish.rows])
    answers = []
    for wish in wishes:
        done = [_again(connection, *row, wish.now) for row in wish.rows]
        answers.append(any(done))
    return answers


def _again(connection: Connection, row: Aside, entry: Entry, now: datetime) -> bool:
    table = LEASED[row.table]
    again = {**_AGAIN[row.table], "failures": 0, "reason": None, "due_at": now}
    aside = update(table).where(table.c.id == row.id, *_STANDS[row.table])
    done = bool(connection.execute(aside.values(again)).rowcount)
    if done:
        audit.record(connection, entry)
        units.wake(connection, row.table)
    return done
