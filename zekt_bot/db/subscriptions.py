"""Subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from zekt_bot.db.rows import SUBSCRIPTION, RepositoryRows, labelled, subscription_of
from zekt_bot.db.sql import insert_new
from zekt_bot.db.tables import subscriptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from zekt_bot.domain.catalog import Repository
    from zekt_bot.domain.subscriptions import Subscription


def held(
    connection: Connection, service_id: str, repository_id: int, channel: str
) -> Subscription | None:
    """A repository's subscription to a service on a channel."""
    row = (
        connection.execute(
            select(*labelled("", subscriptions, SUBSCRIPTION))
            .where(
                subscriptions.c.service_id == service_id,
                subscriptions.c.repository_id == repository_id,
                subscriptions.c.channel == channel,
            )
            .with_for_update()
        )
        .mappings()
        .first()
    )
    return subscription_of(row) if row else None


def by_id(connection: Connection, subscription_id: str) -> Subscription | None:
    """The subscription with this id."""
    wanted = select(*labelled("", subscriptions, SUBSCRIPTION))
    found = connection.execute(wanted.where(subscriptions.c.id == subscription_id))
    row = found.mappings().first()
    return subscription_of(row) if row else None


def add(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Add a subscription; False: there is one already."""
    return insert_new(connection, subscriptions, [row]) == 1


def change(connection: Connection, subscription_id: str, **values: Any) -> None:
    """Change a subscription; its version rises."""
    connection.execute(
        update(subscriptions)
        .where(subscriptions.c.id == subscription_id)
        .values(version=subscriptions.c.version + 1, **values)
    )


def subscribers(
    connection: Connection, service_id: str, after: str, limit: int
) -> Sequence[tuple[Subscription, Repository]]:
    """Subscriptions of a service with their repositories, in pages by id."""
    consumers = RepositoryRows("r_")
    joined = consumers.joined(subscriptions, consumers.table.c.id == subscriptions.c.repository_id)
    found = connection.execute(
        select(*labelled("u_", subscriptions, SUBSCRIPTION), *consumers.columns)
        .select_from(joined)
        .where(subscriptions.c.service_id == service_id, subscriptions.c.id > after)
        .order_by(subscriptions.c.id)
        .limit(limit)
    ).mappings()
    page = []
    for row in found:
        held = subscription_of(row, "u_")
        if held is not None:
            page.append((held, consumers.read(row)))
    return page
