"""What ends when a repository gets another owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import update

from zekt_bot.db.tables import services, subscriptions

if TYPE_CHECKING:
    from sqlalchemy import Connection


def end_consent(connection: Connection, repository_id: int) -> None:
    """A repository has another owner: its services rest, its subscriptions must be asked anew."""
    own = services.c.repository_id == repository_id
    connection.execute(
        update(services)
        .where(own, services.c.published_at.is_not(None))
        .values(published_at=None, version=services.c.version + 1)
    )
    approved = subscriptions.c.state == "approved"
    connection.execute(
        update(subscriptions)
        .where(subscriptions.c.repository_id == repository_id, approved)
        .values(
            state="requested",
            approved_by=None,
            approved_at=None,
            version=subscriptions.c.version + 1,
        )
    )
