"""Deliveries, with their run, service and consumer by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from zekt_bot.db.lists.parts import UNAPPROVED, is_service, read, repository_id
from zekt_bot.db.tables import (
    accounts,
    attempts,
    audit,
    deliveries,
    envelopes,
    lanes,
    repositories,
    runs,
    services,
    subscriptions,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, RowMapping, Select

    from zekt_bot.domain.lists import DeliveryFilter, Page


def with_names() -> Select[Any]:
    """Every delivery, with what people ask about it."""
    target = repositories.alias("target")
    return (
        select(
            deliveries,
            runs.c.correlation_id,
            runs.c.repository_id.label("source_repository_id"),
            runs.c.run_number,
            runs.c.workflow_name,
            runs.c.workflow_path,
            runs.c.conclusion,
            runs.c.html_url,
            runs.c.completed_at.label("event_at"),
            envelopes.c.event_type,
            envelopes.c.kind,
            repositories.c.full_name.label("source"),
            target.c.full_name.label("target"),
            services.c.slug,
            services.c.alias,
            services.c.title,
            services.c.hidden_source,
            lanes.c.open_at.label("lane_opens_at"),
            accounts.c.login.label("service_owner"),
            or_(UNAPPROVED, deliveries.c.blocked_reason == "not_approved").label("unapproved"),
        )
        .join(envelopes, envelopes.c.id == deliveries.c.envelope)
        .join(runs, runs.c.id == envelopes.c.run)
        .outerjoin(lanes, lanes.c.name == deliveries.c.lane)
        .outerjoin(repositories, repositories.c.id == runs.c.repository_id)
        .outerjoin(target, target.c.id == deliveries.c.target_repository_id)
        .outerjoin(services, services.c.id == deliveries.c.service_id)
        .outerjoin(accounts, accounts.c.id == services.c.account_id)
        .outerjoin(subscriptions, subscriptions.c.id == deliveries.c.cause_id)
    )


def page(connection: Connection, page: Page, wanted: DeliveryFilter) -> list[RowMapping]:
    """Deliveries, newest first."""
    statement = with_names()
    if wanted.state:
        statement = statement.where(deliveries.c.state == wanted.state)
    if wanted.service:
        statement = statement.where(is_service(deliveries.c.service_id, wanted.service))
    if wanted.repository:
        target = repository_id(wanted.repository)
        statement = statement.where(deliveries.c.target_repository_id == target)
    if wanted.correlation_id:
        statement = statement.where(runs.c.correlation_id == wanted.correlation_id)
    if page.before:
        statement = statement.where(deliveries.c.id < page.before)
    return read(connection, statement.order_by(deliveries.c.id.desc()).limit(page.limit))


def one(
    connection: Connection, delivery_id: str
) -> tuple[RowMapping, Sequence[RowMapping], Sequence[RowMapping]] | None:
    """One delivery, its attempts (errors sealed) and its audit rows."""
    found = read(connection, with_names().where(deliveries.c.id == delivery_id))
    if not found:
        return None
    tried = select(attempts).where(attempts.c.delivery == delivery_id).order_by(attempts.c.n)
    history = (
        select(audit)
        .where(
            audit.c.correlation_id == found[0]["correlation_id"],
            func.coalesce(audit.c.delivery_id, delivery_id) == delivery_id,
        )
        .order_by(audit.c.at, audit.c.seq)
    )
    return found[0], read(connection, tried), read(connection, history)
