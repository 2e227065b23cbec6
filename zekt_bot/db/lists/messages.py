"""Messages, with the run that sent them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from zekt_bot.db.lists.deliveries import with_names
from zekt_bot.db.lists.parts import read, repository_id
from zekt_bot.db.tables import deliveries, envelopes, messages, repositories, runs

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping, Select

    from zekt_bot.domain.lists import MessageFilter, Page

_SEALED = (messages.c.body, messages.c.redactions)
_CLEAR = tuple(column for column in messages.c if column.name not in {"body", "redactions"})


_DELIVERIES = (
    select(func.count())
    .where(deliveries.c.envelope == messages.c.envelope_id)
    .correlate(messages)
    .scalar_subquery()
)


def page(connection: Connection, page: Page, wanted: MessageFilter) -> list[RowMapping]:
    """Messages without their bodies, newest first."""
    statement = _messages()
    if wanted.repository:
        statement = statement.where(runs.c.repository_id == repository_id(wanted.repository))
    if wanted.event_type:
        statement = statement.where(messages.c.event_type == wanted.event_type)
    if wanted.correlation_id:
        statement = statement.where(runs.c.correlation_id == wanted.correlation_id)
    if page.before:
        statement = statement.where(messages.c.id < page.before)
    return read(connection, statement.order_by(messages.c.id.desc()).limit(page.limit))


def one(connection: Connection, message_id: str) -> RowMapping | None:
    """One message, by its own id or that of its event; its body and redactions are sealed."""
    same = (messages.c.id == message_id) | (messages.c.envelope_id == message_id)
    return next(iter(read(connection, _messages().add_columns(*_SEALED).where(same))), None)


def sent(connection: Connection, envelope_id: str, limit: int) -> list[RowMapping]:
    """The first deliveries that were made of an envelope, with their names."""
    own = deliveries.c.envelope == envelope_id
    return read(connection, with_names().where(own).order_by(deliveries.c.id).limit(limit))


def _messages() -> Select[Any]:
    return (
        select(
            *_CLEAR,
            runs.c.correlation_id,
            runs.c.repository_id,
            runs.c.run_number,
            runs.c.workflow_name,
            runs.c.html_url,
            repositories.c.full_name,
            func.coalesce(runs.c.blocked_reason, envelopes.c.blocked_reason).label(
                "blocked_reason"
            ),
            envelopes.c.created_at.label("sent_on_at"),
            envelopes.c.filtered,
            _DELIVERIES.label("deliveries"),
        )
        .join(runs, runs.c.id == messages.c.run)
        .outerjoin(envelopes, envelopes.c.id == messages.c.envelope_id)
        .outerjoin(repositories, repositories.c.id == runs.c.repository_id)
    )
