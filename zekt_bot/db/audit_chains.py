"""Audit chains as they stand, read in pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from zekt_bot.db.tables import audit, audit_chains
from zekt_bot.domain.audit_chains import Chain, Kept

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

PAGE = 1000


def chains(connection: Connection) -> list[Chain]:
    """Every chain: as many as transactions ever were open at once."""
    found = connection.execute(select(audit_chains).order_by(audit_chains.c.chain)).mappings()
    return [Chain(**row) for row in found]


def kept(connection: Connection, now: datetime) -> list[Kept]:
    """Every chain, with when some of its entries were made."""
    return [
        Kept(each, _times(connection, each) | {each.head_seq + 1: now})
        for each in chains(connection)
    ]


def _times(connection: Connection, chain: Chain) -> dict[int, datetime]:
    own = (audit.c.chain == chain.chain, audit.c.seq.in_(chain.marks()))
    found = select(audit.c.seq, audit.c.at).where(*own).order_by(audit.c.seq)
    return {row.seq: row.at for row in connection.execute(found)}


def one(connection: Connection, chain: str) -> Chain | None:
    """One chain, if it is there."""
    found = select(audit_chains).where(audit_chains.c.chain == chain)
    row = connection.execute(found).mappings().first()
    return Chain(**row) if row else None


def page(connection: Connection, chain: str, after: int, through: int) -> list[RowMapping]:
    """The next entries of a chain, as their rows stand."""
    own = (audit.c.chain == chain, audit.c.seq > after, audit.c.seq <= through)
    found = select(audit).where(*own).order_by(audit.c.seq).limit(PAGE)
    return list(connection.execute(found).mappings())


def hash_of(connection: Connection, chain: str, seq: int) -> str | None:
    """The hash that an entry has, if it is there."""
    found = select(audit.c.hash).where(audit.c.chain == chain, audit.c.seq == seq)
    return connection.execute(found).scalar_one_or_none()


def strays(connection: Connection, limit: int) -> list[tuple[str, int]]:
    """Entries that no chain has: beyond its ends, or of one that is not there."""
    outside = or_(
        audit_chains.c.chain.is_(None),
        audit.c.seq < audit_chains.c.first_seq,
        audit.c.seq > audit_chains.c.head_seq,
    )
    found = (
        select(audit.c.chain, audit.c.seq)
        .outerjoin(audit_chains, audit_chains.c.chain == audit.c.chain)
        .where(outside)
        .limit(limit)
    )
    return [(row.chain, row.seq) for row in connection.execute(found)]
