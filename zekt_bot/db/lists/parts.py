"""What every list's statement is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, literal_column, or_, select

from zekt_bot.db.tables import accounts, deliveries, repositories, services, subscriptions

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, RowMapping, ScalarSelect, Select

# Its consumer was not approved when it came: whoever approves (anew) approves what comes from then
# on. Where another reason was found first, or none yet, nothing says so but that it was never sent.
# As text: it is grouped by.
UNAPPROVED = and_(
    or_(
        deliveries.c.blocked_reason == literal_column("'not_approved'"),
        deliveries.c.attempts == literal_column("0"),
    ),
    or_(
        subscriptions.c.state.is_distinct_from(literal_column("'approved'")),
        subscriptions.c.approved_at > deliveries.c.created_at,
    ),
)


def read(connection: Connection, statement: Select[Any]) -> list[RowMapping]:
    """The rows that `statement` finds."""
    return list(connection.execute(statement).mappings())


def repository_id(full_name: str) -> ScalarSelect[int]:
    """The id of the repository last known as OWNER/REPO, in any case."""
    t = repositories.alias()
    named = select(t.c.id).where(t.c.full_name_lower == full_name.lower())
    return named.order_by(t.c.updated_at.desc()).limit(1).scalar_subquery()


def account_id(login: str) -> ScalarSelect[int]:
    """The id of the account last known under this login, in any case."""
    t = accounts.alias()
    named = select(t.c.id).where(t.c.login_lower == login.lower())
    return named.order_by(t.c.updated_at.desc()).limit(1).scalar_subquery()


def is_service(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Whether `column` is the id of the service OWNER/SLUG; a login goes before an alias."""
    owner, _, slug = name.partition("/")
    login = account_id(owner)
    aliased = and_(login.is_(None), func.lower(services.c.alias) == owner.lower())
    holds = or_(services.c.account_id == login, aliased)
    return column.in_(select(services.c.id).where(services.c.slug == slug, holds))
