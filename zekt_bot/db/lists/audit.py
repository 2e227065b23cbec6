"""Audit entries of all chains in one order: newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, func, literal, select, tuple_

from zekt_bot.db.lists.parts import account_id, read, repository_id
from zekt_bot.db.tables import accounts, audit, audit_chains, principals, repositories
from zekt_bot.domain.lists import audit_key

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, RowMapping, Select

    from zekt_bot.domain.lists import AuditFilter, Page

# Entries of one transaction have one time; chain and number tell them apart.
_PLACE = tuple_(audit.c.at, audit.c.chain, audit.c.seq)


def page(connection: Connection, page: Page, wanted: AuditFilter) -> list[RowMapping]:
    """Entries, newest first."""
    statement = _entries().where(*_fitting(wanted))
    if page.before:
        chain, seq = audit_key(page.before)
        at = select(audit.c.at).where(audit.c.chain == chain, audit.c.seq == seq).scalar_subquery()
        key = tuple_(at, chain, literal(seq, BigInteger))
        statement = statement.where(audit.c.at <= at, key > _PLACE)
    order = (audit.c.at.desc(), audit.c.chain.desc(), audit.c.seq.desc())
    return read(connection, statement.order_by(*order).limit(page.limit))


def one(connection: Connection, chain: str, seq: int) -> tuple[RowMapping, str | None] | None:
    """One entry, and its predecessor's hash (None: that entry is not there)."""
    own = audit.c.chain == chain
    found = read(connection, _entries().where(own, audit.c.seq == seq))
    if not found:
        return None
    before = select(audit.c.hash).where(own, audit.c.seq == seq - 1)
    first = select(audit_chains.c.first_previous).where(
        audit_chains.c.chain == chain, audit_chains.c.first_seq == seq
    )
    previous: str | None = connection.execute(first).scalar_one_or_none()
    return found[0], previous or connection.execute(before).scalar_one_or_none()


def _entries() -> Select[Any]:
    return (
        select(
            audit,
            func.coalesce(principals.c.name, audit.c.actor).label("name"),
            repositories.c.full_name,
            accounts.c.login,
        )
        .outerjoin(principals, principals.c.id == audit.c.actor)
        .outerjoin(repositories, repositories.c.id == audit.c.repository_id)
        .outerjoin(accounts, accounts.c.id == audit.c.account_id)
    )


def _fitting(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.actor:
        conditions.append(_fits(audit.c.actor, wanted.actor))
    if wanted.verb:
        conditions.append(_fits(audit.c.verb, wanted.verb))
    if wanted.account:
        conditions.append(audit.c.account_id == account_id(wanted.account))
    if wanted.repository:
        conditions.append(audit.c.repository_id == repository_id(wanted.repository))
    if wanted.correlation_id:
        conditions.append(audit.c.correlation_id == wanted.correlation_id)
    if wanted.since:
        conditions.append(audit.c.at >= wanted.since)
    if wanted.until:
        conditions.append(audit.c.at < wanted.until)
    return conditions


def _fits(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """Equal, but that a star stands for any part."""
    if "*" not in pattern:
        return column == pattern
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.like(escaped.replace("*", "%"), escape="\\")
