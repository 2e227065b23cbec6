"""Services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, select, tuple_, update

from zekt_bot.db.rows import OWNER, SERVICE, labelled, service_of
from zekt_bot.db.sql import insert_new
from zekt_bot.db.tables import accounts, services

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import ColumnElement, Connection

    from zekt_bot.db.workflows import Workflow
    from zekt_bot.domain.catalog import Service


def _services(connection: Connection, which: ColumnElement[bool]) -> list[Service]:
    joined = services.outerjoin(accounts, accounts.c.id == services.c.account_id)
    columns = (*labelled("s_", services, SERVICE), *labelled("o_", accounts, OWNER))
    found = connection.execute(select(*columns).select_from(joined).where(which)).mappings()
    return [s for row in found if (s := service_of(row, "s_", row["o_login"]))]


def of_workflows(connection: Connection, workflows: Iterable[Workflow]) -> dict[Workflow, Service]:
    """The services that publish those of `workflows` that are published."""
    key = tuple_(services.c.repository_id, services.c.workflow_path)
    found = _services(connection, key.in_(list(set(workflows))))
    return {(service.repository_id, service.workflow_path): service for service in found}


def by_name(connection: Connection, owner: str, slug: str) -> Service | None:
    """The service `OWNER/SLUG`; a login is its present holder's."""
    holder = (
        select(accounts.c.id)
        .where(accounts.c.login_lower == owner.lower())
        .order_by(accounts.c.updated_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    which = and_(services.c.account_id == holder, services.c.slug == slug)
    return next(iter(_services(connection, which)), None)


def add(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Add a service; False: its slug or its workflow is taken."""
    return insert_new(connection, services, [row]) == 1


def change(connection: Connection, service_id: str, **values: Any) -> None:
    """Change a service; its version rises."""
    connection.execute(
        update(services)
        .where(services.c.id == service_id)
        .values(version=services.c.version + 1, **values)
    )
