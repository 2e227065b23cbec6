"""What ends when a repository gets another owner."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from sqlalchemy import or_, select, update

from zekt_bot.db import services as service_rows
from zekt_bot.db.tables import services, subscriptions

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LONGEST_SLUG = 64


def end_consent(connection: Connection, repository_id: int, account_id: int) -> None:
    """The former owner's consent ends: services rest and move, subscriptions are asked anew.

    Both those to the repository's services and those of the repository itself. An alias was the
    former owner's and stays with them.
    """
    own = services.c.repository_id == repository_id
    moved = connection.execute(
        select(services.c.id, services.c.slug, services.c.alias)
        .where(own)
        .order_by(services.c.id)
        .with_for_update()
    ).all()
    for service_id, slug, alias in moved:
        service_rows.change(
            connection,
            service_id,
            account_id=account_id,
            slug=_free_slug(connection, account_id, slug),
            alias=None,
            approves="[]",
            published_at=None,
            rests="transferred",
        )
        if alias:
            service_rows.free_alias(connection, alias)
    theirs = subscriptions.c.service_id.in_([service_id for service_id, _, _ in moved])
    connection.execute(  # the new owner invited nobody
        update(subscriptions)
        .where(theirs, subscriptions.c.state == "invited")
        .values(state="ended", expires_at=None, version=subscriptions.c.version + 1)
    )
    connection.execute(
        update(subscriptions)
        .where(or_(subscriptions.c.repository_id == repository_id, theirs))
        .where(subscriptions.c.state == "approved")
        .values(
            state="requested",
            approved_by=None,
            approved_account_id=None,
            approved_at=None,
            version=subscriptions.c.version + 1,
        )
    )


def _free_slug(connection: Connection, account_id: int, slug: str) -> str:
    """The slug, or with `-2`, `-3` … where the new owner has such a service."""
    root = slug[: _LONGEST_SLUG - 4].rstrip("-")
    wanted = itertools.chain([slug], (f"{root}-{number}" for number in itertools.count(2)))
    taken = select(services.c.slug).where(services.c.account_id == account_id)
    held = set(connection.execute(taken).scalars())
    return next(each for each in wanted if each not in held)
