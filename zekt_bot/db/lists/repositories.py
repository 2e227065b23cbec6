"""Repositories that Zekt has heard of, whether they take part or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from zekt_bot.db.rows import RepositoryRows

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from zekt_bot.domain.catalog import Repository
    from zekt_bot.domain.lists import Page, RepositoryFilter

_ROWS = RepositoryRows("r_")
_REPOSITORIES = select(*_ROWS.columns).select_from(_ROWS.joined())


def page(connection: Connection, page: Page, wanted: RepositoryFilter) -> list[Repository]:
    """By name."""
    own = _ROWS.table.c
    which = [own.full_name_lower > (page.before or "").lower()]
    if wanted.owner is not None:
        owner = wanted.owner.lower()
        which.append(own.full_name_lower.startswith(f"{owner}/", autoescape=True))
    if wanted.part is not None:
        which.append(own[f"{wanted.part}_enabled_at"].is_not(None))
    asked = _REPOSITORIES.where(*which).order_by(own.full_name_lower).limit(page.limit)
    return [_ROWS.read(row) for row in connection.execute(asked).mappings()]
