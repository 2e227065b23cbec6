"""Whole tables in pages, oldest first: for the export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, literal, select, tuple_

from zekt_bot.db.lists.deliveries import with_names
from zekt_bot.db.lists.parts import read
from zekt_bot.db.tables import audit, deliveries, repositories, runs

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, RowMapping, Select

    from zekt_bot.domain.lists import Span

PAGE = 500
_EVENTS = select(runs, repositories.c.full_name.label("source")).outerjoin(
    repositories, repositories.c.id == runs.c.repository_id
)


def events(connection: Connection, span: Span, after: RowMapping | None) -> list[RowMapping]:
    """Runs that ended, by id; a span is of when they were first heard of."""
    of_time = _within(runs.c.received_at, span)
    statement = _EVENTS.where(runs.c.state != "open", of_time)
    return _by_id(connection, statement, runs.c.id, after)


def sent(connection: Connection, span: Span, after: RowMapping | None) -> list[RowMapping]:
    """Deliveries by id, with what people ask about them; a span is of when they were made."""
    statement = with_names().where(_within(deliveries.c.created_at, span))
    return _by_id(connection, statement, deliveries.c.id, after)


def entries(connection: Connection, span: Span, after: RowMapping | None) -> list[RowMapping]:
    """Audit entries by time, chain and number."""
    statement = select(audit).where(_within(audit.c.at, span))
    if after is not None:
        types = (audit.c.at.type, audit.c.chain.type, audit.c.seq.type)
        values = (after["at"], after["chain"], after["seq"])
        last = tuple_(*(literal(*each) for each in zip(values, types, strict=True)))
        here = tuple_(audit.c.at, audit.c.chain, audit.c.seq)
        statement = statement.where(audit.c.at >= after["at"], here > last)
    order = (audit.c.at, audit.c.chain, audit.c.seq)
    return read(connection, statement.order_by(*order).limit(PAGE))


def _within(column: ColumnElement[Any], span: Span) -> ColumnElement[bool]:
    bounds: list[ColumnElement[bool]] = [column.is_not(None)]
    if span.since:
        bounds.append(column >= span.since)
    if span.until:
        bounds.append(column < span.until)
    return and_(*bounds)


def _by_id(
    connection: Connection,
    statement: Select[Any],
    column: ColumnElement[str],
    after: RowMapping | None,
) -> list[RowMapping]:
    if after is not None:
        statement = statement.where(column > after["id"])
    return read(connection, statement.order_by(column).limit(PAGE))
