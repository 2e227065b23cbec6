"""The inbox: webhooks, stored before GitHub hears 202."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, case, select, update

from zekt_bot.db import units
from zekt_bot.db.prepared import Prepared
from zekt_bot.db.sql import insert_new, one_of
from zekt_bot.db.tables import inbox, repositories

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection


# News of consent.
_NEWS = ("installation", "installation_repositories", "repository")
_AHEAD = timedelta(days=3650)  # nothing has waited for longer
_IS_AHEAD = inbox.c.event.in_(_NEWS) & (inbox.c.due_at < inbox.c.received_at)
# `due_at` as a time: news of consent are due since they came.
DUE_SINCE = case((_IS_AHEAD, inbox.c.received_at), else_=inbox.c.due_at)


def due_from(event: str, now: datetime) -> datetime:
    """The `due_at` of a webhook that comes now: the longest due is taken first.

    News of consent go before all that waits, in the order in which they came: else what waits of
    somebody who took it back would go out first. One that is tried again waits like the rest.
    """
    return now - _AHEAD if event in _NEWS else now


class Part(NamedTuple):
    """What a known repository takes part as."""

    provider: bool
    consumer: bool


class Added(NamedTuple):
    """The ids that were new; and by App and GUID the rows that are there already, set aside."""

    new: set[str]
    aside: dict[tuple[str, str], str]


def add(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> Added:
    """Insert the rows whose App and GUID are new."""
    ids = {row["id"] for row in rows}
    in_order = sorted(rows, key=lambda row: (row["app"], row["guid"]))
    if insert_new(connection, inbox, in_order) == len(rows):
        return Added(ids, {})
    keys = {"apps": {row["app"] for row in rows}, "guids": {row["guid"] for row in rows}}
    found = _THERE.run(connection, keys).all()
    new = {row.id for row in found} & ids
    before = (row for row in found if row.id not in new and row.state == "set_aside")
    return Added(new, {(row.app, row.guid): row.id for row in before})


_THERE = Prepared(
    select(inbox.c.id, inbox.c.app, inbox.c.guid, inbox.c.state).where(
        one_of(inbox.c.app, "apps"), one_of(inbox.c.guid, "guids")
    )
)
_PARTS = Prepared(
    select(
        repositories.c.id,
        repositories.c.provider_enabled_at.is_not(None).label("provider"),
        repositories.c.consumer_enabled_at.is_not(None).label("consumer"),
    ).where(one_of(repositories.c.id, "ids"))
)
_LOADED = Prepared(
    select(
        inbox.c.id,
        inbox.c.app,
        inbox.c.event,
        inbox.c.action,
        inbox.c.guid,
        inbox.c.installation_id,
        inbox.c.account_id,
        inbox.c.observed,
        inbox.c.recovered,
        inbox.c.repository_id,
        inbox.c.run_id,
        inbox.c.run_attempt,
        inbox.c.raw,
        inbox.c.failures,
        inbox.c.lease,
        inbox.c.received_at,
    ).where(one_of(inbox.c.id, "ids"))
)
_PROCESSED = Prepared(
    update(inbox)
    .where(one_of(inbox.c.id, "ids"))
    .values(
        state="processed",
        processed_at=bindparam("now"),
        raw=None,
        reason=None,
        due_at=None,
        lease=None,
    )
)


def places(connection: Connection, held: ColumnElement[bool]) -> dict[str, datetime]:
    """The `due_at` to which news of consent among these rows go back that nobody failed about."""
    news = inbox.c.event.in_(_NEWS) & (inbox.c.failures == 0)
    chosen = select(inbox.c.id, inbox.c.event, inbox.c.received_at).where(held, news)
    return {row.id: due_from(row.event, row.received_at) for row in connection.execute(chosen)}


def taking_part(connection: Connection, ids: Iterable[int]) -> dict[int, Part]:
    """What the known ones of `ids` take part as: all that each webhook needs to know."""
    found = _PARTS.run(connection, {"ids": ids})
    return {row.id: Part(row.provider, row.consumer) for row in found}


def load(connection: Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The rows with their sealed bodies."""
    return _LOADED.run(connection, {"ids": ids}).mappings()


def known(connection: Connection, app: str, guids: Iterable[str]) -> set[str]:
    """Those of `guids` that the App's inbox has, whatever became of them."""
    asked = select(inbox.c.guid).where(inbox.c.app == app, inbox.c.guid.in_(list(guids)))
    return set(connection.execute(asked).scalars())


def processed(connection: Connection, ids: Sequence[str], now: datetime) -> None:
    """Mark rows as done, later: the body goes, the row stays for deduplication."""
    units.later(connection, _PROCESSED, [{"ids": ids, "now": now}])


def done(connection: Connection, rows: Sequence[tuple[str, datetime]]) -> list[None]:
    """Mark rows for which there is nothing to do."""
    processed(connection, [row_id for row_id, _ in rows], rows[0][1])
    return [None] * len(rows)
