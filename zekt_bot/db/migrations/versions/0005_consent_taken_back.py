"""When consent was taken back, what waits for it, and since when an App's key is known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from zekt_bot.db.types import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what this version needs; what is there stays as it is."""
    _setup()
    _withdrawals()


def _setup() -> None:
    op.add_column("credentials", sa.Column("stored_at", UtcDateTime(), nullable=True))


def _withdrawals() -> None:
    op.add_column("repositories", sa.Column("withdrawn_at", UtcDateTime(), nullable=True))
    where = sa.text("waits_for IS NOT NULL")
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["lane", "due_at"],
        sqlite_where=where,
        postgresql_where=where,
    )
