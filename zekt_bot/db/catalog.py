"""Allow-list, services and subscriptions."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, select, tuple_, update

from zekt_bot.db.rows import (
    ALLOWED,
    OWNER,
    SERVICE,
    SUBSCRIPTION,
    RepositoryRows,
    allowed_of,
    labelled,
    service_of,
    subscription_of,
)
from zekt_bot.db.sql import insert_new
from zekt_bot.db.tables import (
    accounts,
    allowed_workflows,
    services,
    subscriptions,
)

Workflow = tuple[int, str]  # repository id and path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from zekt_bot.domain.catalog import AllowedWorkflow, Repository, Service
    from zekt_bot.domain.subscriptions import Subscription


def allowed(
    connection: Connection, workflows: Iterable[Workflow]
) -> dict[Workflow, AllowedWorkflow]:
    """The allow-list entries of those of `workflows` that have one."""
    t = allowed_workflows
    wanted = tuple_(t.c.repository_id, t.c.path).in_(list(set(workflows)))
    found = connection.execute(select(*labelled("", t, ALLOWED)).where(wanted)).mappings()
    entries = [entry for row in found if (entry := allowed_of(row))]
    return {(entry.repository_id, entry.path): entry for entry in entries}


def allow(connection: Connection, entry: AllowedWorkflow, now: datetime) -> bool:
    """Set an allow-list entry; False: it stood there as it is."""
    t, key = allowed_workflows, {"repository_id": entry.repository_id, "path": entry.path}
    values = {
        name: value if isinstance(value, bool) else json.dumps(value)
        for name, value in asdict(entry.conditions).items()
    }
    if insert_new(connection, t, [{**key, **values, "created_at": now}]):
        return True
    differs = or_(*(t.c[name] != value for name, value in values.items()))
    same = and_(t.c.repository_id == entry.repository_id, t.c.path == entry.path)
    return bool(connection.execute(update(t).where(same, differs).values(values)).rowcount)


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


def _services(connection: Connection, which: ColumnElement[bool]) -> list[Service]:
    joined = services.outerjoin(accounts, accounts.c.id == services.c.account_id)
    columns = (*labelled("s_", services, SERVICE), *labelled("o_", accounts, OWNER))
    found = connection.execute(select(*columns).select_from(joined).where(which)).mappings()
    return [s for row in found if (s := service_of(row, "s_", row["o_login"]))]


def services_of(connection: Connection, workflows: Iterable[Workflow]) -> dict[Workflow, Service]:
    """The services that publish those of `workflows` that are published."""
    key = tuple_(services.c.repository_id, services.c.workflow_path)
    found = _services(connection, key.in_(list(set(workflows))))
    return {(service.repository_id, service.workflow_path): service for service in found}


def service_by_slug(connection: Connection, owner: str, slug: str) -> Service | None:
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


def add_service(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Add a service; False: its slug or its workflow is taken."""
    return insert_new(connection, services, [row]) == 1


def change_service(connection: Connection, service_id: str, **values: Any) -> None:
    """Change a service; its version rises."""
    connection.execute(
        update(services)
        .where(services.c.id == service_id)
        .values(version=services.c.version + 1, **values)
    )


def subscription(
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


def add_subscription(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Add a subscription; False: there is one already."""
    return insert_new(connection, subscriptions, [row]) == 1


def change_subscription(connection: Connection, subscription_id: str, **values: Any) -> None:
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
