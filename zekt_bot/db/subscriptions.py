"""Subscriptions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, case, func, or_, select, update

from zekt_bot.db.prepared import Prepared
from zekt_bot.db.rows import (
    SUBSCRIPTION,
    RepositoryRows,
    filters_of,
    labelled,
    subscription_of,
)
from zekt_bot.db.sql import among, insert_if_new, one_of
from zekt_bot.db.tables import accounts, repositories, services, subscriptions
from zekt_bot.domain.subscriptions import ALIVE, Audience

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping, Select

    from zekt_bot.db.rows import Row
    from zekt_bot.domain.catalog import Repository
    from zekt_bot.domain.subscriptions import Subscription

_LISTED = (
    select(
        subscriptions,
        repositories.c.full_name.label("consumer"),
        repositories.c.account_id.label("consumer_account_id"),
        services.c.slug,
        services.c.repository_id.label("provider_id"),
        services.c.hidden_source,
        services.c.rests,
        func.coalesce(
            services.c.alias,
            case((services.c.hidden_source, services.c.former_alias), else_=accounts.c.login),
            "?",
        ).label("shown_owner"),
        services.c.event_types.label("declared"),
    )
    .join(repositories, repositories.c.id == subscriptions.c.repository_id)
    .join(services, services.c.id == subscriptions.c.service_id)
    .outerjoin(accounts, accounts.c.id == services.c.account_id)
)


def found(
    connection: Connection, service_id: str, repository_id: int, channel: str
) -> RowMapping | None:
    """A repository's subscription to a service on a channel, as its row stands."""
    key = and_(
        subscriptions.c.service_id == service_id,
        subscriptions.c.repository_id == repository_id,
        subscriptions.c.channel == channel,
    )
    return connection.execute(select(subscriptions).where(key)).mappings().first()


def between(connection: Connection, service_id: str, repository_id: int) -> bool:
    """Whether a repository is invited to a service, asks for it or has it."""
    live = and_(
        subscriptions.c.service_id == service_id,
        subscriptions.c.repository_id == repository_id,
        subscriptions.c.state.in_(ALIVE),
    )
    return connection.execute(select(subscriptions.c.id).where(live).limit(1)).first() is not None


def expired(connection: Connection, now: datetime, limit: int) -> list[RowMapping]:
    """Requests and invitations whose time is over."""
    over = and_(subscriptions.c.expires_at.is_not(None), subscriptions.c.expires_at <= now)
    found = (
        select(subscriptions, repositories.c.account_id.label("consumer_account_id"))
        .join(repositories, repositories.c.id == subscriptions.c.repository_id)
        .where(over)
        .order_by(subscriptions.c.id)  # as every unit locks them
        .limit(limit)
    )
    return list(connection.execute(found).mappings())


def page(
    connection: Connection,
    ends: tuple[int | None, str | None],
    states: tuple[str, ...],
    after: str,
    limit: int,
) -> list[RowMapping]:
    """Subscriptions by id, after the id `after`, with the service's and consumer's names.

    `ends`: of a repository, at either end, or of a service; None: of all.
    """
    repository_id, service_id = ends
    statement = _LISTED.where(subscriptions.c.id > after)
    if repository_id is not None:
        either = or_(
            subscriptions.c.repository_id == repository_id,
            services.c.repository_id == repository_id,
        )
        statement = statement.where(either)
    if service_id is not None:
        statement = statement.where(subscriptions.c.service_id == service_id)
    if states:
        statement = statement.where(subscriptions.c.state.in_(states))
    found = connection.execute(statement.order_by(subscriptions.c.id).limit(limit))
    return list(found.mappings())


def row(connection: Connection, subscription_id: str) -> RowMapping | None:
    """The subscription with this id, as its row stands."""
    one = select(subscriptions).where(subscriptions.c.id == subscription_id)
    return connection.execute(one).mappings().first()


def listed(connection: Connection, subscription_id: str) -> RowMapping | None:
    """One subscription as `page` gives it."""
    one = _LISTED.where(subscriptions.c.id == subscription_id)
    return connection.execute(one).mappings().first()


_BY_IDS = Prepared(
    select(*labelled("", subscriptions, (*SUBSCRIPTION, "settings"))).where(
        one_of(subscriptions.c.id, "ids")
    )
)


def by_ids(
    connection: Connection, ids: Sequence[str]
) -> dict[str, tuple[Subscription, bytes | None]]:
    """The subscriptions with these ids, and their channels' sealed settings."""
    found = _BY_IDS.run(connection, {"ids": ids}).mappings()
    return {row["id"]: (subscription_of(row), row["settings"]) for row in found}


def by_id(connection: Connection, subscription_id: str) -> Subscription | None:
    """The subscription with this id."""
    wanted = select(*labelled("", subscriptions, SUBSCRIPTION))
    found = connection.execute(wanted.where(subscriptions.c.id == subscription_id))
    held = found.mappings().first()
    return subscription_of(held) if held else None


def add(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Add a subscription; False: there is one already."""
    return insert_if_new(connection, subscriptions, values)


def change(connection: Connection, subscription_id: str, **values: Any) -> None:
    """Change a subscription; its version rises."""
    connection.execute(
        update(subscriptions)
        .where(subscriptions.c.id == subscription_id)
        .values(version=subscriptions.c.version + 1, **values)
    )


_CONSUMER = RepositoryRows("r_")
_SUBSCRIBER = select(*labelled("u_", subscriptions, SUBSCRIPTION), *_CONSUMER.columns)
_AT = _CONSUMER.table.c.id == subscriptions.c.repository_id
_AFTER = Prepared(
    _SUBSCRIBER.select_from(_CONSUMER.joined(subscriptions, _AT))
    .where(
        subscriptions.c.service_id == bindparam("service"),
        subscriptions.c.id > bindparam("after"),
    )
    .order_by(subscriptions.c.id)
    .limit(bindparam("limit"))
)


def _first_ones() -> Select[Any]:
    """As many of each of these services."""
    inner = subscriptions.alias("inner")
    first = (
        select(inner.c.id)
        .where(inner.c.service_id == services.c.id)
        .order_by(inner.c.id)
        .limit(bindparam("limit"))
        .correlate(services)
        .scalar_subquery()
    )
    theirs = services.join(subscriptions, among(subscriptions.c.id, first))
    return (
        _SUBSCRIBER.select_from(_CONSUMER.joined(theirs, _AT))
        .where(one_of(services.c.id, "services"))
        .order_by(subscriptions.c.id)
    )


_FIRST_ONES = Prepared(_first_ones())


def subscribers(
    connection: Connection, pages: Collection[tuple[str, str]], limit: int
) -> dict[tuple[str, str], list[tuple[Subscription, Repository]]]:
    """Subscriptions with their repositories, in pages by id.

    `pages`: of a service, those after an id. All services' first pages are one question.
    """
    found: dict[tuple[str, str], list[tuple[Subscription, Repository]]]
    found = {page: [] for page in pages}
    first = [service for service, after in pages if not after]
    if first:
        for row in _FIRST_ONES.run(connection, {"services": first, "limit": limit}).mappings():
            found[row["u_service_id"], ""].append(_subscriber(row))
    for service, after in found:
        if after:
            asked = {"service": service, "after": after, "limit": limit}
            rows = _AFTER.run(connection, asked).mappings()
            found[service, after] = [_subscriber(row) for row in rows]
    return found


def _subscriber(row: Row) -> tuple[Subscription, Repository]:
    return subscription_of(row, "u_"), _CONSUMER.read(row)


_LIKE = (subscriptions.c.service_id, subscriptions.c.event_types, subscriptions.c.filters)
_HEARING = (
    select(*_LIKE, func.count().label("number"))
    .select_from(
        _CONSUMER.joined(subscriptions, _CONSUMER.table.c.id == subscriptions.c.repository_id)
    )
    .where(
        one_of(subscriptions.c.service_id, "services"),
        subscriptions.c.state == "approved",
        subscriptions.c.paused_at.is_(None),
        _CONSUMER.takes_part,
    )
    .group_by(*_LIKE)
)
_AUDIENCE = Prepared(_HEARING)
_AMONG = Prepared(_HEARING.where(one_of(subscriptions.c.id, "ids")))


def audience(
    connection: Connection, service_ids: Collection[str], ids: Collection[str] | None = None
) -> list[Audience]:
    """How many approved subscriptions would hear something now, those that are alike together.

    `ids`: count only these.
    """
    if not service_ids:
        return []
    asked = {"services": service_ids} | ({} if ids is None else {"ids": ids})
    found = (_AUDIENCE if ids is None else _AMONG).run(connection, asked).mappings()
    return [
        Audience(
            row["service_id"],
            tuple(json.loads(row["event_types"])),
            filters_of(row["filters"]),
            row["number"],
        )
        for row in found
    ]
