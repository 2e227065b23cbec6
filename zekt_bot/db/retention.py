"""Deleting by age, a small batch at a time, in the order of the foreign keys.

Every step answers how many rows it deleted; fewer than asked for: nothing is left. What is not
final stays, however old. Ids are ordered by time, so that the primary key finds the oldest rows.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, tuple_, update

from zekt_bot.db.tables import (
    attempts,
    audit,
    audit_chains,
    deliveries,
    envelopes,
    inbox,
    jobs,
    messages,
    refused_messages,
    replays,
    runs,
    sessions,
    subscriptions,
    usage,
    web_states,
)
from zekt_bot.domain.deliveries import FINAL
from zekt_bot.domain.ids import first_id
from zekt_bot.domain.quotas import day_of
from zekt_bot.domain.subscriptions import OVER, STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Column, ColumnElement, Connection, Row, ScalarSelect, Select, Table

    from zekt_bot.domain.ids import Kind

    Work = Callable[[Connection, "Batch"], int]

_FINAL = sorted(FINAL)
_STANDS_STILL = ("done", "set_aside")
# What waits for a run's end waits so long: GitHub ends it after 35 days, whose webhook is then due.
# Source: https://docs.github.com/actions/reference/limits
LONGEST_RUN = timedelta(days=36)


@dataclass(frozen=True, slots=True)
class Batch:
    """At most `limit` rows from before `before`."""

    before: datetime
    now: datetime
    limit: int


def step(work: Work) -> Callable[[Connection, Sequence[Batch]], list[int]]:
    """A step of the writer: it deletes one batch a row."""

    def run(connection: Connection, rows: Sequence[Batch]) -> list[int]:
        return [work(connection, row) for row in rows]

    return run


def _first(column: ColumnElement[Any], *conditions: ColumnElement[bool]) -> ScalarSelect[Any]:
    """The least of `column` that fits, asked of an index for each row.

    Not EXISTS, which PostgreSQL would answer by reading all rows of the other table.
    """
    return select(func.min(column)).where(*conditions).scalar_subquery()


def _rests(table: Table) -> ColumnElement[bool]:
    """Nobody works on it, and it waits for no time."""
    return table.c.due_at.is_(None) & table.c.lease.is_(None)


def _settled() -> ColumnElement[bool]:
    """Deliveries of which nothing more is sent, and that wait for no run to confirm them."""
    own = deliveries.c
    return own.state.in_(_FINAL) & _rests(deliveries) & own.prove_by.is_(None)


def _old(table: Table, prefix: Kind, batch: Batch) -> Select[Any]:
    """Ids of rows that were made before, the oldest first."""
    own = (table.c.id < first_id(prefix, batch.before), table.c.created_at < batch.before)
    return select(table.c.id).where(*own).order_by(table.c.id)


def _blocked(table: Table, at: Column[Any], batch: Batch) -> Select[Any]:
    """Ids of what was blocked before, the oldest first."""
    own = (table.c.blocked_reason.is_not(None), at < batch.before)
    return select(table.c.id).where(*own).order_by(at)


def _locked(connection: Connection, found: Select[Any]) -> list[Any]:
    """The first column of rows that nobody else holds; they are held from here on."""
    return list(connection.execute(found.with_for_update(skip_locked=True)).scalars())


def _attempts(connection: Connection, batch: Batch) -> int:
    own = deliveries.c.id == attempts.c.delivery
    final = _first(deliveries.c.id, own, _settled())
    found = (
        select(attempts.c.delivery, attempts.c.n)
        .where(attempts.c.delivery < first_id("dlv", batch.before), attempts.c.at < batch.before)
        .where(final.is_not(None))
        .order_by(attempts.c.delivery)
        .limit(batch.limit)
    )
    keys = [tuple(row) for row in connection.execute(found)]
    if keys:
        own = tuple_(attempts.c.delivery, attempts.c.n).in_(keys)
        connection.execute(delete(attempts).where(own))
    return len(keys)


def _deliveries(connection: Connection, batch: Batch) -> int:
    return _drop_deliveries(connection, _old(deliveries, "dlv", batch), batch)


def _blocked_deliveries(connection: Connection, batch: Batch) -> int:
    found = _blocked(deliveries, deliveries.c.updated_at, batch)
    return _drop_deliveries(connection, found, batch)


def _drop_deliveries(connection: Connection, found: Select[Any], batch: Batch) -> int:
    """Not the one that keeps an ordered subscription waiting: the next would go without it."""
    over = found.where(_settled(), deliveries.c.sequence_key.is_(None))
    ids = _locked(connection, over.limit(batch.limit))
    delete_deliveries(connection, ids)
    return len(ids)


def delete_deliveries(connection: Connection, ids: Sequence[str]) -> None:
    """Delete deliveries with all that refers to them."""
    if ids:
        connection.execute(delete(attempts).where(attempts.c.delivery.in_(ids)))
        connection.execute(delete(deliveries).where(deliveries.c.id.in_(ids)))


def _envelopes(connection: Connection, batch: Batch) -> int:
    return _drop_envelopes(connection, _old(envelopes, "evt", batch), batch)


def _blocked_envelopes(connection: Connection, batch: Batch) -> int:
    return _drop_envelopes(connection, _blocked(envelopes, envelopes.c.created_at, batch), batch)


def _drop_envelopes(connection: Connection, found: Select[Any], batch: Batch) -> int:
    unsent = _first(deliveries.c.id, deliveries.c.envelope == envelopes.c.id).is_(None)
    ids = _locked(connection, found.where(_rests(envelopes), unsent).limit(batch.limit))
    # A statement of its own, after the lock: a replay may have been added until then.
    if ids:
        connection.execute(delete(envelopes).where(envelopes.c.id.in_(ids), unsent))
    return len(ids)


def _runs(connection: Connection, batch: Batch) -> int:
    """Runs that never ended too, once none can go on."""
    found = select(runs.c.id).where(runs.c.received_at < batch.before)
    return _drop_runs(connection, found.order_by(runs.c.received_at), batch)


def _blocked_runs(connection: Connection, batch: Batch) -> int:
    """Not those that tell what became of a delivery: they stay as long as events do."""
    proves_nothing = runs.c.caused_by_delivery_id.is_(None)
    found = _blocked(runs, runs.c.received_at, batch).where(proves_nothing)
    return _drop_runs(connection, found, batch)


def _runs_aside(connection: Connection, batch: Batch) -> int:
    aside = (runs.c.reason.is_not(None), runs.c.state == "set_aside")
    found = select(runs.c.id).where(*aside, runs.c.received_at < batch.before)
    return _drop_runs(connection, found.order_by(runs.c.received_at), batch)


def _drop_runs(connection: Connection, found: Select[Any], batch: Batch) -> int:
    """Their time counts from their end; one that goes on may still be waited for."""
    nothing = _first(envelopes.c.id, envelopes.c.run == runs.c.id).is_(None)
    over = (runs.c.state != "open") | (runs.c.received_at < batch.now - LONGEST_RUN)
    old = found.where(_rests(runs), nothing, over, _ended() < batch.before)
    ids = _locked(connection, old.limit(batch.limit))
    delete_runs(connection, ids)
    return len(ids)


def _ended() -> ColumnElement[datetime]:
    """When a run's end was heard of, by what was decided then; else when the run was."""
    return func.coalesce(runs.c.gather_until, runs.c.received_at)


def delete_runs(connection: Connection, ids: Sequence[str]) -> None:
    """Delete runs that have no envelope, with their jobs and messages."""
    for table, run in ((jobs, jobs.c.run), (messages, messages.c.run), (runs, runs.c.id)):
        if ids:
            connection.execute(delete(table).where(run.in_(ids)))


def _payloads(connection: Connection, batch: Batch) -> int:
    """Bodies of envelopes and of their messages; the rows stay."""
    own = deliveries.c.envelope == envelopes.c.id
    over = _first(deliveries.c.id, own, ~_settled()).is_(None)
    kept = (envelopes.c.body_gone_at.is_(None), envelopes.c.created_at < batch.before)
    found = select(envelopes.c.id).where(*kept, _rests(envelopes), over)
    ids = _locked(connection, found.order_by(envelopes.c.created_at).limit(batch.limit))
    if not ids:
        return 0
    # A statement of its own, after the lock: a replay may have been added until then.
    gone: dict[str, Any] = {"body": b"", "body_gone_at": batch.now}
    connection.execute(update(envelopes).where(envelopes.c.id.in_(ids), over).values(gone))
    theirs = select(envelopes.c.message).where(
        envelopes.c.id.in_(ids), envelopes.c.body_gone_at.is_not(None)
    )
    gone["redactions"] = None
    connection.execute(update(messages).where(messages.c.id.in_(theirs)).values(gone))
    return len(ids)


def _unsent_messages(connection: Connection, batch: Batch) -> int:
    """Bodies of messages of which nothing was made, because their run went nowhere.

    They are there for the least that is set, a day, past its webhook: an operator may mend it.
    """
    nothing = _first(envelopes.c.id, envelopes.c.message == messages.c.id).is_(None)
    still = (runs.c.id == messages.c.run, runs.c.state.in_(_STANDS_STILL), _rests(runs))
    over = _first(runs.c.id, *still, _ended() < batch.before).is_not(None)
    kept = (messages.c.body_gone_at.is_(None), messages.c.created_at < batch.before)
    found = select(messages.c.id).where(*kept, over, nothing)
    ids = _locked(connection, found.order_by(messages.c.created_at).limit(batch.limit))
    gone = update(messages).where(messages.c.id.in_(ids))
    if ids:
        emptied = {"body": b"", "body_gone_at": batch.now, "redactions": None}
        connection.execute(gone.values(emptied))
    return len(ids)


def _inbox(state: str) -> Work:
    def work(connection: Connection, batch: Batch) -> int:
        own = (inbox.c.received_at < batch.before, inbox.c.state == state, _rests(inbox))
        found = select(inbox.c.id).where(*own).order_by(inbox.c.received_at)
        ids = _locked(connection, found.limit(batch.limit))
        if ids:
            connection.execute(delete(inbox).where(inbox.c.id.in_(ids)))
        return len(ids)

    return work


def _audit(connection: Connection, batch: Batch) -> int:
    """The beginning of a chain, which remembers where it begins from then on.

    One chain at a time is held: who finds all chains held begins a new one.
    """
    first = (audit.c.chain == audit_chains.c.chain) & (audit.c.seq == audit_chains.c.first_seq)
    chain = connection.execute(
        select(audit_chains.c.chain, audit_chains.c.first_seq)
        .join(audit, first)
        .where(audit.c.at < batch.before)
        .limit(1)
        .with_for_update(skip_locked=True, of=audit_chains)
    ).first()
    return _cut(connection, chain, batch) if chain else 0


def _cut(connection: Connection, chain: Row[str, int], batch: Batch) -> int:
    """Nothing that stands before the chain's beginning: somebody put it there."""
    own = (audit.c.chain == chain.chain) & (audit.c.seq >= chain.first_seq)
    found = select(audit.c.seq, audit.c.at, audit.c.hash).where(own).order_by(audit.c.seq)
    page = connection.execute(found.limit(batch.limit))
    old = list(itertools.takewhile(lambda row: row.at < batch.before, page))
    last = old[-1]
    connection.execute(delete(audit).where(own, audit.c.seq <= last.seq))
    connection.execute(
        update(audit_chains)
        .where(audit_chains.c.chain == chain.chain)
        .values(first_seq=last.seq + 1, first_previous=last.hash)
    )
    return batch.limit  # another chain may have more


def _subscriptions(connection: Connection, batch: Batch) -> int:
    """Those that are over, counted from when a batch first saw it."""
    own = subscriptions.c
    states = {True: sorted(OVER), False: sorted(set(STATES) - OVER)}
    for over, seen_at in ((True, batch.now), (False, None)):
        unseen = own.over_at.is_(None) if over else own.over_at.is_not(None)
        found = select(own.id).where(own.state.in_(states[over]), unseen).limit(batch.limit)
        ids = _locked(connection, found)
        if ids:
            change = update(subscriptions).where(own.id.in_(ids))
            connection.execute(change.values(over_at=seen_at))
    old = (own.state.in_(states[True]), own.over_at < batch.before)
    ids = _locked(connection, select(own.id).where(*old).limit(batch.limit))
    if ids:
        connection.execute(delete(subscriptions).where(own.id.in_(ids)))
    return len(ids)


def _replays(connection: Connection, batch: Batch) -> int:
    own = (replays.c.id < first_id("rpl", batch.before), replays.c.finished_at < batch.before)
    found = select(replays.c.id).where(*own).order_by(replays.c.id).limit(batch.limit)
    ids = _locked(connection, found)
    if ids:
        connection.execute(delete(replays).where(replays.c.id.in_(ids)))
    return len(ids)


def _refused_messages(connection: Connection, batch: Batch) -> int:
    own = refused_messages.c
    found = select(own.id).where(own.last_at < batch.before).order_by(own.last_at)
    ids = _locked(connection, found.limit(batch.limit))
    if ids:
        connection.execute(delete(refused_messages).where(own.id.in_(ids)))
    return len(ids)


def _usage(connection: Connection, batch: Batch) -> int:
    """A row an account and day: few, so all that are old at once."""
    old = delete(usage).where(usage.c.day < day_of(batch.before))
    return min(int(connection.execute(old).rowcount), batch.limit - 1)


def _expired(table: Table) -> Work:
    """Rows, known by a hash, whose end has passed."""

    def work(connection: Connection, batch: Batch) -> int:
        own = table.c.expires_at < batch.before
        found = select(table.c.hash).where(own).order_by(table.c.expires_at)
        hashes = _locked(connection, found.limit(batch.limit))
        if hashes:
            connection.execute(delete(table).where(table.c.hash.in_(hashes)))
        return len(hashes)

    return work


# In the order of the foreign keys: who refers goes before what it refers to.
STEPS: dict[str, Callable[[Connection, Sequence[Batch]], list[int]]] = {
    "attempts": step(_attempts),
    "blocked_deliveries": step(_blocked_deliveries),
    "deliveries": step(_deliveries),
    "payloads": step(_payloads),
    "unsent_messages": step(_unsent_messages),
    "blocked_envelopes": step(_blocked_envelopes),
    "envelopes": step(_envelopes),
    "blocked_runs": step(_blocked_runs),
    "runs_set_aside": step(_runs_aside),
    "runs": step(_runs),
    "webhooks": step(_inbox("processed")),
    "webhooks_set_aside": step(_inbox("set_aside")),
    "subscriptions": step(_subscriptions),
    "replays": step(_replays),
    "refused_messages": step(_refused_messages),
    "usage": step(_usage),
    "sessions": step(_expired(sessions)),
    "web_states": step(_expired(web_states)),
    "audit": step(_audit),
}
