"""The audit chains, and what the server keeps of itself."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from zekt_bot.db.tables.base import ID, id_column, metadata
from zekt_bot.db.types import UtcDateTime

principals = Table(
    "principals",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("name", Text),
    Column("first_seen_at", UtcDateTime, nullable=False),
)

audit_chains = Table(
    "audit_chains",
    metadata,
    Column("chain", String(40), primary_key=True),
    Column("first_seq", BigInteger, nullable=False),
    Column("first_previous", String(64), nullable=False),
    Column("head_seq", BigInteger, nullable=False),
    Column("head_hash", String(64), nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("chain", String(40), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("verb", String(120), nullable=False),
    Column("correlation_id", ID),
    Column("delivery_id", ID),
    Column("account_id", BigInteger),
    Column("repository_id", BigInteger),
    Column("details", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)
Index("ix_audit_at", audit.c.at)
Index("ix_audit_correlation", audit.c.correlation_id)

chores = Table(
    "chores",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("due_at", UtcDateTime, nullable=False),
    Column("lease", String(40)),
)

# What was read from GitHub so that nothing is missed: `hook_deliveries` and `runs`. Nothing is
# missing from `no_gap_since` to `covered_to`; `cursor` is where a pass under way goes on.
coverage = Table(
    "coverage",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("no_gap_since", UtcDateTime),
    Column("covered_to", UtcDateTime),
    Column("cursor", Text),
    Column("checked_at", UtcDateTime),
    Column("problem", Text),
)

# A server or worker that runs, or lately did: each writes its own row every few seconds.
processes = Table(
    "processes",
    metadata,
    id_column(),
    Column("kind", String(20), nullable=False),
    Column("host", String(100), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(40), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("beat_at", UtcDateTime, nullable=False),
    # How far the database's clock is before this process's; NULL on SQLite: it is the same one.
    Column("clock_offset_us", BigInteger),
    # Whether it hears of other processes' commits; NULL until it has tried.
    Column("listening", Boolean),
    # What it counted and timed since its start, as JSON.
    Column("figures", Text, nullable=False),
)

# A plugin that a process stopped asking, because its calls did not return.
plugin_faults = Table(
    "plugin_faults",
    metadata,
    Column("process", String(120), primary_key=True),
    Column("plugin", String(200), primary_key=True),
    Column("hook", String(60), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("app", String(20), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("version", String(40), nullable=False),
    Column("stored_at", UtcDateTime),
)

# What an account has had on a day of UTC, counted only if a quota of it is set.
usage = Table(
    "usage",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("day", String(10), primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("messages", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("told_at", UtcDateTime),
)
