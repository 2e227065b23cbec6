"""Services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, exists, func, select, update

from zekt_bot.db.prepared import Prepared
from zekt_bot.db.rows import SERVICE, admitted, labelled, service_of
from zekt_bot.db.sql import insert_if_new, one_of, rows_of
from zekt_bot.db.tables import accounts, aliases, services

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping, Select

    from zekt_bot.db.rows import Row
    from zekt_bot.db.workflows import Workflow
    from zekt_bot.domain.catalog import Service


_SERVICES = (
    select(*labelled("s_", services, SERVICE), accounts.c.login.label("owner"))
    .select_from(services.outerjoin(accounts, accounts.c.id == services.c.account_id))
    .order_by(services.c.id)
)
_PUBLISH = _SERVICES.where(
    rows_of((services.c.repository_id, services.c.workflow_path), "workflows")
)
_OF_WORKFLOWS = Prepared(_PUBLISH)
_GONE = Prepared(_PUBLISH.where(services.c.rests == "workflow_gone"))
_BY_IDS = Prepared(_SERVICES.where(one_of(services.c.id, "ids")))


def _found(connection: Connection, statement: Prepared, given: Mapping[str, Any]) -> list[Service]:
    return _services(statement.run(connection, given).mappings())


def _read(connection: Connection, statement: Select[Any]) -> list[Service]:
    return _services(connection.execute(statement).mappings())


def _services(rows: Iterable[Row]) -> list[Service]:
    return [service_of(row, "s_", row["owner"]) for row in rows]


def of_workflows(connection: Connection, workflows: Iterable[Workflow]) -> dict[Workflow, Service]:
    """The services that publish those of `workflows` that are published."""
    found = _found(connection, _OF_WORKFLOWS, {"workflows": set(workflows)})
    return {(service.repository_id, service.workflow_path): service for service in found}


def by_ids(connection: Connection, ids: Sequence[str]) -> dict[str, Service]:
    """The services with these ids."""
    return {each.id: each for each in _found(connection, _BY_IDS, {"ids": ids})}


def by_id(connection: Connection, service_id: str) -> Service | None:
    """The service with this id."""
    return by_ids(connection, [service_id]).get(service_id)


def by_name(connection: Connection, owner: str, slug: str) -> Service | None:
    """The service `OWNER/SLUG`. A login is its present holder's, and goes before an alias."""
    name = owner.lower()
    holder = (
        select(accounts.c.id)
        .where(accounts.c.login_lower == name)
        .order_by(accounts.c.updated_at.desc())
        .limit(1)
    )
    account_id = connection.execute(holder).scalar_one_or_none()
    if account_id is not None:
        whose = services.c.account_id == account_id
    else:  # only what shows the alias: it must not lead to its owner's other services
        known = select(aliases.c.account_id).where(aliases.c.name_lower == name).scalar_subquery()
        whose = and_(services.c.account_id == known, func.lower(services.c.alias) == name)
    return next(iter(_read(connection, _SERVICES.where(whose, services.c.slug == slug))), None)


def page(
    connection: Connection, limit: int, after: str, repository_id: int | None, public: bool
) -> list[Service]:
    """Services by id, after the id `after`; `public`: only those that the directory names."""
    which = services.c.id > after
    if repository_id is not None:
        which = and_(which, services.c.repository_id == repository_id)
    if public:
        which = and_(
            which,
            services.c.published_at.is_not(None),
            services.c.listed,
            services.c.visibility == "public",
            admitted(accounts),
        )
    return _read(connection, _SERVICES.where(which).limit(limit))


def claim_alias(connection: Connection, alias: str, account_id: int, now: datetime) -> bool:
    """Let an alias belong to an account; False: it is, or is the login of, another one's."""
    name = alias.lower()
    login = select(accounts.c.id).where(accounts.c.login_lower == name, accounts.c.id != account_id)
    if connection.execute(login).first():
        return False
    row = {"name_lower": name, "name": alias, "account_id": account_id, "created_at": now}
    while True:
        insert_if_new(connection, aliases, row)
        holder = _lock_alias(connection, name)
        if holder is not None:  # else it was freed between the two statements
            return holder == account_id


def free_alias(connection: Connection, alias: str) -> None:
    """Give an alias back if no service shows it any longer."""
    name = alias.lower()
    _lock_alias(connection, name)  # who claims it meanwhile is seen by the next statement
    shown = select(services.c.id).where(func.lower(services.c.alias) == name)
    connection.execute(delete(aliases).where(aliases.c.name_lower == name, ~exists(shown)))


def _lock_alias(connection: Connection, name: str) -> int | None:
    """Whose it is, until this transaction ends."""
    row = select(aliases.c.account_id).where(aliases.c.name_lower == name).with_for_update()
    return connection.execute(row).scalar_one_or_none()


def showing(
    connection: Connection, login: str, account_id: int, *, lock: bool = False
) -> list[RowMapping]:
    """Services of others that show this login as their alias and do not rest for it yet, by id."""
    which = and_(
        func.lower(services.c.alias) == login.lower(),
        services.c.account_id != account_id,
        services.c.rests.is_distinct_from("alias_taken"),
    )
    found = select(services).where(which).order_by(services.c.id)
    return list(connection.execute(found.with_for_update() if lock else found).mappings())


def add(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Add a service; False: its slug or its workflow is taken."""
    return insert_if_new(connection, services, row)


def change(connection: Connection, service_id: str, **values: Any) -> None:
    """Change a service; its version rises."""
    connection.execute(
        update(services)
        .where(services.c.id == service_id)
        .values(version=services.c.version + 1, **values)
    )


def watched(connection: Connection, after: int, limit: int) -> list[int]:
    """Ids of repositories that have published services, `limit` of them after the id `after`."""
    which = and_(services.c.published_at.is_not(None), services.c.repository_id > after)
    found = select(services.c.repository_id).where(which).distinct()
    page = found.order_by(services.c.repository_id).limit(limit)
    return list(connection.execute(page).scalars())


def published_by(connection: Connection, repository_id: int) -> list[Service]:
    """The published services of a repository."""
    own = services.c.repository_id == repository_id
    return _read(connection, _SERVICES.where(own, services.c.published_at.is_not(None)))


def gone(connection: Connection, workflows: Iterable[Workflow]) -> list[Service]:
    """The services that rest because GitHub had these workflows no longer."""
    ran = set(workflows)
    return _found(connection, _GONE, {"workflows": ran}) if ran else []
