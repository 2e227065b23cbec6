"""Which delivery a run came of, and what its runs prove about a delivery."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    String,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    update,
)

from zekt_bot.db import audit, lanes, sequences, units
from zekt_bot.db.prepared import Prepared
from zekt_bot.db.sql import one_of
from zekt_bot.db.tables import RUN_HAS_HOPS, attempts, deliveries, envelopes, repositories, runs
from zekt_bot.domain.deliveries import SENDABLE, may_move
from zekt_bot.domain.proof import (
    EXACT,
    HOPS_WITHIN,
    LEEWAY,
    PROBABLE_WITHIN,
    BoundRun,
    Sent,
    hops_after,
    named_in,
    verdict,
)
from zekt_bot.domain.subscriptions import REPOSITORY_DISPATCH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Select

    from zekt_bot.db.rows import Row
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.deliveries import DeliveryState
    from zekt_bot.domain.events import Run, RunFacts
    from zekt_bot.domain.proof import BoundBy


_CAUSES = deliveries.join(envelopes, envelopes.c.id == deliveries.c.envelope).join(
    runs, runs.c.id == envelopes.c.run
)
_HERE = bindparam("here", type_=deliveries.c.target_repository_id.type)


class Binding(NamedTuple):
    """What a run came of, and how many deliveries led to it: columns of `runs`."""

    caused_by_delivery_id: str | None = None
    bound_by: BoundBy | None = None
    root_run_id: str | None = None
    hops: int = 0


def bind(connection: Connection, run: Run, facts: RunFacts) -> Binding:
    """What a run came of, as far as its news can tell; guessed hops never become fewer."""
    repository_id = run.key.repository_id
    if run.bound_by in EXACT and run.caused_by_delivery_id:
        return known(connection, repository_id, run.caused_by_delivery_id, run.bound_by)
    if facts.event == "workflow_run":
        around = _most_hops_around(connection, repository_id, facts.created_at)
        return Binding(hops=max(run.hops, around))
    if facts.event != "repository_dispatch":
        return Binding()
    named = _named(connection, repository_id, named_in(facts))
    if named:
        return Binding(named["id"], "title", named["root"], named["hops"] + 1)
    sent = _sent_before(connection, repository_id, facts)
    hops = max(run.hops, hops_after(sent))
    if len(sent.probable) == 1:
        return Binding(sent.probable[0], "probable", hops=hops)
    return Binding(hops=hops)


def as_said(connection: Connection, run: Run) -> Run:
    """The run with what another attempt of it is known by; its own word weighs most.

    An attempt of some jobs alone may not say it again, and what it came of is the same.
    """
    if run.key.run_attempt == 1 or run.bound_by in EXACT:
        return run
    given = {"here": run.key.repository_id, "run": run.key.run_id, "exact": EXACT}
    known = _KNOWN.run(connection, given).first()
    return run if known is None else replace(run, caused_by_delivery_id=known[0], bound_by=known[1])


def known(
    connection: Connection, repository_id: int, delivery_id: str, by: BoundBy = "token"
) -> Binding:
    """What a run of this repository came of for certain: by its own word, or as it is known."""
    named = _named(connection, repository_id, [delivery_id])
    if named is None:  # it was deleted by age meanwhile
        return Binding(delivery_id, by)
    return Binding(delivery_id, by, named["root"], named["hops"] + 1)


_KNOWN = Prepared(
    select(runs.c.caused_by_delivery_id, runs.c.bound_by)
    .where(
        runs.c.repository_id == _HERE,
        runs.c.run_id == bindparam("run", type_=runs.c.run_id.type),
        one_of(runs.c.bound_by, "exact"),
    )
    .order_by(runs.c.bound_by.desc(), runs.c.run_attempt)  # `token` before `title`
    .limit(1)
)
_AT_HAND = or_(
    deliveries.c.attempts > 0,
    deliveries.c.lease.is_not(None),
    deliveries.c.dispatched_at.is_not(None),
)
_SAID = (
    select(
        deliveries.c.id,
        deliveries.c.state,
        deliveries.c.consumer_account_id,
        runs.c.correlation_id,
    )
    .select_from(_CAUSES)
    .where(deliveries.c.target_repository_id == _HERE)
)
_SAID_BY_ID = Prepared(_SAID.where(deliveries.c.id == bindparam("name")))
_SAID_BY_CORRELATION = Prepared(_SAID.where(runs.c.correlation_id == bindparam("name"), _AT_HAND))


def said(connection: Connection, repository_id: int, name: str) -> Sequence[Any]:
    """Deliveries to this repository (id, state, consumer_account_id, correlation_id).

    `name` is the id of one, or of the run that they came of: then only what may have been sent.
    """
    statement = _SAID_BY_ID if name.startswith("dlv_") else _SAID_BY_CORRELATION
    return statement.run(connection, {"here": repository_id, "name": name}).all()


def with_hops(connection: Connection, run: Run) -> Run:
    """The run with its hops as they are known now: news of what led to it may have come later."""
    if run.facts is None:
        return run
    hops = bind(connection, run, run.facts).hops
    return replace(run, hops=hops) if hops > run.hops else run


_SINCE, _UNTIL, _JUST_BEFORE = (
    bindparam(name, type_=deliveries.c.dispatched_at.type) for name in ("since", "until", "just")
)
_NAMED = Prepared(
    select(
        deliveries.c.id,
        func.coalesce(runs.c.root_run_id, runs.c.id).label("root"),
        runs.c.hops,
    )
    .select_from(_CAUSES)
    .where(one_of(deliveries.c.id, "ids"), deliveries.c.target_repository_id == _HERE)
    .order_by(deliveries.c.id)
)


def _named(connection: Connection, repository_id: int, ids: Collection[str]) -> Row | None:
    """The first of these deliveries that went to this repository."""
    if not ids:
        return None
    found = _NAMED.run(connection, {"here": repository_id, "ids": ids}).mappings()
    return found[0] if found else None


def _sent(which: ColumnElement[bool], probable: ColumnElement[bool]) -> Select[Any]:
    of_type = envelopes.c.event_type == bindparam("title")
    likely = case((and_(of_type, probable), deliveries.c.id))
    return (
        select(
            func.max(case((of_type, runs.c.hops))),
            func.max(runs.c.hops),
            func.min(likely),
            func.max(likely),
        )
        .select_from(_CAUSES)
        .where(
            deliveries.c.target_repository_id == _HERE,
            deliveries.c.channel == REPOSITORY_DISPATCH,
            which,
        )
    )


def _tried(since: ColumnElement[Any]) -> ColumnElement[bool]:
    """An attempt on which GitHub acted, or may have: it refused nothing."""
    at, status = attempts.c.at, attempts.c.status
    acted = or_(status.is_(None), status < 300, status >= 500)
    mine = attempts.c.delivery == deliveries.c.id, at >= since, at <= _UNTIL, acted
    # Not EXISTS, which PostgreSQL may answer by reading all attempts.
    return select(func.count()).where(*mine).correlate(deliveries).scalar_subquery() > 0


def _sent_since(since: ColumnElement[Any]) -> ColumnElement[bool]:
    """Its last sending was then; or an earlier one, of what was sent again since."""
    return or_(and_(since <= _AT, _AT <= _UNTIL), and_(_AT > _UNTIL, _tried(since)))


_AT = deliveries.c.dispatched_at
_LATELY = Prepared(_sent(and_(_AT >= _SINCE, _sent_since(_SINCE)), _sent_since(_JUST_BEFORE)))
# GitHub may have acted on a POST whose answer nobody has written down yet, or that was no answer.
_LANE = literal("github:").concat(cast(repositories.c.installation_id, String))
_PACED = select(_LANE).where(repositories.c.id == _HERE).scalar_subquery()
_UNDER_WAY = Prepared(
    _sent(and_(deliveries.c.lease.is_not(None), deliveries.c.lane == _PACED), true())
)
_IS_RETRYING = deliveries.c.state == literal_column("'retrying'")  # as its index has it
_UNANSWERED = Prepared(
    _sent(
        and_(_IS_RETRYING, deliveries.c.updated_at >= _SINCE, _tried(_SINCE)), _tried(_JUST_BEFORE)
    )
)


def _sent_before(connection: Connection, repository_id: int, facts: RunFacts) -> Sent:
    """What was sent to this repository before the run was made, or is being sent now."""
    to_it = {"here": repository_id, "title": facts.display_title}
    around = to_it | {
        "since": facts.created_at - HOPS_WITHIN,
        "until": facts.created_at + LEEWAY,
        "just": facts.created_at - PROBABLE_WITHIN,
    }
    seen = [
        _LATELY.run(connection, around).one(),
        _UNANSWERED.run(connection, around).one(),
        _UNDER_WAY.run(connection, to_it).one(),
    ]
    return Sent(
        of_type=_most(row[0] for row in seen),
        of_any=_most(row[1] for row in seen),
        probable=tuple({name for row in seen for name in row[2:] if name is not None}),
    )


def _most(counts: Iterable[int | None]) -> int | None:
    return max((count for count in counts if count is not None), default=None)


_AROUND = [
    select(func.max(runs.c.hops)).where(
        runs.c.repository_id == _HERE, RUN_HAS_HOPS, at >= _SINCE, at <= _UNTIL
    )
    for at in (runs.c.created_at, runs.c.completed_at)
]


def _most_hops_around(connection: Connection, repository_id: int, moment: datetime) -> int:
    """The most hops of this repository's runs that were made or ended before this moment."""
    around = {"since": moment - HOPS_WITHIN, "until": moment + LEEWAY}
    found = (
        connection.execute(each, around | {"here": repository_id}).scalar_one() for each in _AROUND
    )
    return _most(found) or 0


class Proving(NamedTuple):
    """A run's news for the audit: an entry for each state that it may prove.

    `run`: its id and attempt.
    """

    entries: Mapping[DeliveryState, Entry]
    now: datetime
    run: tuple[int, int]


_WAITING = Prepared(
    select(deliveries.c.lane, deliveries.c.id).where(
        one_of(deliveries.c.id, "ids"),
        or_(one_of(deliveries.c.state, "sendable"), deliveries.c.sequence_key.is_not(None)),
    )
)
_SETTLED = Prepared(
    select(deliveries)
    .where(one_of(deliveries.c.id, "ids"))
    .order_by(deliveries.c.id)
    .with_for_update()
)
_BOUND = Prepared(
    select(
        runs.c.caused_by_delivery_id,
        runs.c.run_id,
        runs.c.run_attempt,
        runs.c.status,
        runs.c.conclusion,
        runs.c.reported,
    ).where(one_of(runs.c.caused_by_delivery_id, "ids"), one_of(runs.c.bound_by, "exact"))
)


def settle(connection: Connection, told: Iterable[tuple[str, Proving]]) -> None:
    """Move each delivery (with news that may have proved something) to where its runs say.

    The audit hears of the run that says so, where several told of one delivery. Lanes before
    deliveries: everybody locks in this order.
    """
    of: dict[str, list[Proving]] = {}
    for delivery_id, news in told:
        of.setdefault(delivery_id, []).append(news)
    ids = sorted(of)
    if not ids:
        return
    units.run_left(connection)  # what the runs say is read below
    freed = {
        row.lane: of[row.id][0].now
        for row in _WAITING.run(connection, {"ids": ids, "sendable": SENDABLE})
    }
    if freed:
        lanes.wake(connection, freed)
        units.wake(connection, "deliveries")
    found = _SETTLED.run(connection, {"ids": ids}).mappings()
    bound = _bound(connection, ids)
    moved = {}
    for row in found:
        its_runs = bound.get(row["id"], [])
        to = verdict(its_runs)
        if to is not None and to != row["state"] and may_move(row["state"], to):
            news = _who_says(to, of[row["id"]], its_runs)
            _move(connection, row, to, news)
            moved[row["sequence_key"]] = news.now
    sequences.advance(connection, {key: now for key, now in moved.items() if key})


def _bound(connection: Connection, ids: Collection[str]) -> dict[str, list[BoundRun]]:
    bound: dict[str, list[BoundRun]] = {}
    for row in _BOUND.run(connection, {"ids": ids, "exact": EXACT}):
        bound.setdefault(row[0], []).append(BoundRun(*row[1:]))
    return bound


def _who_says(to: DeliveryState, told: Sequence[Proving], bound: Sequence[BoundRun]) -> Proving:
    """The news of a run that says this by itself, or else the last."""
    alike = {each[:2] for each in bound if verdict([each]) == to}
    return next((news for news in told if news.run in alike), told[-1])


def _move(connection: Connection, row: Row, to: DeliveryState, news: Proving) -> None:
    """It is sent no more: a worker that holds it finds its lease gone."""
    values: dict[str, Any] = {
        "state": to,
        "updated_at": news.now,
        "dispatched_at": row["dispatched_at"] or news.now,
        **dict.fromkeys(("due_at", "lease", "prove_by", "waits_for", "reason", "blocked_reason")),
    }
    connection.execute(update(deliveries).where(deliveries.c.id == row["id"]).values(values))
    cause = select(runs.c.correlation_id).where(
        runs.c.id
        == select(envelopes.c.run).where(envelopes.c.id == row["envelope"]).scalar_subquery()
    )
    about = {
        "correlation_id": connection.execute(cause).scalar_one(),
        "delivery_id": row["id"],
        "account_id": row["consumer_account_id"],
        "repository_id": row["target_repository_id"],
    }
    audit.record(connection, replace(news.entries[to], **about))
