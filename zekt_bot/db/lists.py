"""What lists and detail pages read: rows as they are, newest first, in pages by id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from zekt_bot.db.tables import (
    accounts,
    attempts,
    audit,
    deliveries,
    envelopes,
    jobs,
    messages,
    repositories,
    runs,
    services,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, RowMapping, Select


def _rows(connection: Connection, statement: Select[Any]) -> list[RowMapping]:
    return list(connection.execute(statement).mappings())


def events(connection: Connection, limit: int, before: str | None = None) -> list[RowMapping]:
    """Runs that ended, with how many messages, envelopes and deliveries they made."""
    counts = [
        select(func.count())
        .select_from(messages)
        .where(messages.c.run == runs.c.id)
        .scalar_subquery()
        .label("messages"),
        select(func.count())
        .select_from(envelopes.join(deliveries, deliveries.c.envelope == envelopes.c.id))
        .where(envelopes.c.run == runs.c.id)
        .scalar_subquery()
        .label("deliveries"),
    ]
    statement = (
        select(runs, repositories.c.full_name, *counts)
        .outerjoin(repositories, repositories.c.id == runs.c.repository_id)
        .where(runs.c.state != "open")
        .order_by(runs.c.id.desc())
        .limit(limit)
    )
    return _rows(connection, statement.where(runs.c.id < before) if before else statement)


def event(
    connection: Connection, event_id: str
) -> tuple[RowMapping, Sequence[RowMapping], Sequence[RowMapping], Sequence[RowMapping]] | None:
    """One run, its jobs, its messages (bodies left out) and its deliveries.

    `event_id` is the run's, its correlation id, or that of one of its envelopes.
    """
    of_envelope = select(envelopes.c.run).where(envelopes.c.id == event_id)
    one = (
        select(runs, repositories.c.full_name)
        .outerjoin(repositories, repositories.c.id == runs.c.repository_id)
        .where(
            or_(
                runs.c.id == event_id,
                runs.c.correlation_id == event_id,
                runs.c.id.in_(of_envelope),
            )
        )
    )
    found = _rows(connection, one)
    if not found:
        return None
    run_id = found[0]["id"]
    bodiless = [column for column in messages.c if column.name != "body"]
    return (
        found[0],
        _rows(connection, select(jobs).where(jobs.c.run == run_id).order_by(jobs.c.job_id)),
        _rows(connection, select(*bodiless).where(messages.c.run == run_id)),
        _rows(connection, _deliveries().where(runs.c.id == run_id).order_by(deliveries.c.id)),
    )


def _deliveries() -> Select[Any]:
    target = repositories.alias("target")
    return (
        select(
            deliveries,
            runs.c.correlation_id,
            runs.c.run_number,
            runs.c.workflow_name,
            runs.c.html_url,
            runs.c.completed_at.label("event_at"),
            envelopes.c.event_type,
            envelopes.c.kind,
            repositories.c.full_name.label("source"),
            target.c.full_name.label("target"),
            services.c.slug,
            accounts.c.login.label("service_owner"),
        )
        .join(envelopes, envelopes.c.id == deliveries.c.envelope)
        .join(runs, runs.c.id == envelopes.c.run)
        .outerjoin(repositories, repositories.c.id == runs.c.repository_id)
        .outerjoin(target, target.c.id == deliveries.c.target_repository_id)
        .outerjoin(services, services.c.id == deliveries.c.service_id)
        .outerjoin(accounts, accounts.c.id == services.c.account_id)
    )


def delivery_page(
    connection: Connection, limit: int, state: str | None = None, before: str | None = None
) -> list[RowMapping]:
    """Deliveries with their run, service and consumer."""
    statement = _deliveries().order_by(deliveries.c.id.desc()).limit(limit)
    if state:
        statement = statement.where(deliveries.c.state == state)
    return _rows(connection, statement.where(deliveries.c.id < before) if before else statement)


def delivery(
    connection: Connection, delivery_id: str
) -> tuple[RowMapping, Sequence[RowMapping], Sequence[RowMapping]] | None:
    """One delivery, its attempts (errors sealed) and its audit rows."""
    found = _rows(connection, _deliveries().where(deliveries.c.id == delivery_id))
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
    return found[0], _rows(connection, tried), _rows(connection, history)
