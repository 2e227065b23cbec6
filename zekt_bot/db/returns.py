"""Consent that GitHub's state gives: whether it stands, and that it is back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exists, update

from zekt_bot.db.rows import APP
from zekt_bot.db.tables import installations, repositories

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

_OWN = repositories.c


def consented() -> ColumnElement[bool]:
    """Whether the App is installed on a repository and not suspended, and it is not archived."""
    ours = (installations.c.id == _OWN.installation_id, installations.c.app == APP)
    return exists().where(*ours, installations.c.state == "active") & ~_OWN.archived


def note(connection: Connection, which: ColumnElement[bool]) -> None:
    """Note whose consent is back, of `which`: when it goes again, its days begin anew.

    Whoever changes what consent follows from calls this: it may be gone again before anybody looks.
    """
    lapsed = _OWN.lapsed_at.is_not(None) & _OWN.purging_since.is_(None)
    back = update(repositories).where(which, lapsed, consented())
    connection.execute(back.values(lapsed_at=None))
