"""How things stand now: versions, leases and pauses, in one statement.

Asked before each POST, and where facts that were read once may decide (`db/kept.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Text, cast, literal_column, null, select, union_all

from zekt_bot.db.prepared import Prepared
from zekt_bot.db.sql import one_of
from zekt_bot.db.tables import (
    accounts,
    deliveries,
    pauses,
    repositories,
    services,
    subscriptions,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Select

    from zekt_bot.domain.pauses import Subject


class Present(NamedTuple):
    """What moves when a row of what was asked for does, by its id.

    A repository's version begins anew after an erasure: with it stands when it was written. With a
    service's stands its owner's present login.
    """

    repositories: dict[int, tuple[int, datetime]]
    services: dict[str, tuple[int, str | None]]
    subscriptions: dict[str, int]
    leases: dict[str, str | None]
    on_hold: frozenset[Subject]


def _selects() -> list[Select[Any]]:
    """The first one names and types the columns: kind, key, version, word, moment."""
    nothing: list[ColumnElement[Any]] = [literal_column("0"), null(), null()]
    return [
        select(
            literal_column("'repository'").label("kind"),
            cast(repositories.c.id, Text).label("key"),
            repositories.c.version,
            cast(null(), Text).label("word"),
            repositories.c.updated_at.label("moment"),
        ).where(one_of(repositories.c.id, "repositories")),
        select(
            literal_column("'service'"),
            services.c.id,
            services.c.version,
            accounts.c.login,
            null(),
        )
        .select_from(services.outerjoin(accounts, accounts.c.id == services.c.account_id))
        .where(one_of(services.c.id, "services")),
        select(
            literal_column("'subscription'"),
            subscriptions.c.id,
            subscriptions.c.version,
            null(),
            null(),
        ).where(one_of(subscriptions.c.id, "subscriptions")),
        select(
            literal_column("'delivery'"),
            deliveries.c.id,
            literal_column("0"),
            deliveries.c.lease,
            null(),
        ).where(one_of(deliveries.c.id, "deliveries")),
        select(literal_column("'pause'"), pauses.c.subject, *nothing).where(
            pauses.c.resumed_at.is_(None)
        ),
    ]


_PRESENT = Prepared(union_all(*_selects()))


def present(
    connection: Connection,
    *,
    repositories: Collection[int] = (),
    services: Collection[str] = (),
    subscriptions: Collection[str] = (),
    deliveries: Collection[str] = (),
) -> Present:
    """How these stand, those that are there; and all that is on hold."""
    asked = {
        "repositories": repositories,
        "services": services,
        "subscriptions": subscriptions,
        "deliveries": deliveries,
    }
    found = Present({}, {}, {}, {}, frozenset())
    on_hold = set()
    for kind, key, version, word, moment in _PRESENT.run(connection, asked).tuples():
        if kind == "repository":
            found.repositories[int(key)] = version, moment
        elif kind == "service":
            found.services[key] = version, word
        elif kind == "subscription":
            found.subscriptions[key] = version
        elif kind == "delivery":
            found.leases[key] = word
        else:
            on_hold.add(key)
    return found._replace(on_hold=frozenset(on_hold))
