"""People's way in: what a browser carries to GitHub and back, the setup, the operators."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text

from zekt_bot.db.tables.base import metadata
from zekt_bot.db.types import UtcDateTime

# A `state` that GitHub is handed and hands back, known by its SHA-256 only. It is good once, until
# `expires_at`, and for the browser (SHA-256 of its cookie) that was given it.
web_states = Table(
    "web_states",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("purpose", String(40), nullable=False),
    Column("browser", String(64), nullable=False),
    Column("body", LargeBinary),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("used_at", UtcDateTime),
    # Somebody asks GitHub on behalf of it, until then at most.
    Column("held_until", UtcDateTime),
)

# One row: the first setup. Its token, and the browser that used it, are known by their SHA-256
# only, and gone when it has ended. `accounts`: the logins that are served, `-`: nobody,
# NULL: not decided yet.
setup = Table(
    "setup",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("token_hash", String(64)),
    Column("token_expires_at", UtcDateTime),
    Column("browser", String(64)),
    Column("browser_until", UtcDateTime),
    Column("accounts", Text),
    Column("began_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
)

# People who are operators beside those that the settings list.
operators = Table(
    "operators",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("login", Text, nullable=False),
    Column("since", UtcDateTime, nullable=False),
)

# Somebody who signed in. `shown_first`: what they chose to see first; NULL: not asked yet.
people = Table(
    "people",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("login", Text, nullable=False),
    Column("shown_first", String(20)),
    Column("first_seen_at", UtcDateTime, nullable=False),
)

# A browser that is signed in, by the SHA-256 of what its cookie holds. `body` is the person's
# token at GitHub, sealed; whoever renews it holds `lease` until `leased_until`.
sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("account_id", BigInteger, nullable=False),
    Column("device", String(100), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("token_expires_at", UtcDateTime),
    Column("version", Integer, nullable=False),
    Column("lease", String(40)),
    Column("leased_until", UtcDateTime),
)
Index("ix_sessions_account_id", sessions.c.account_id)
Index("ix_sessions_expires_at", sessions.c.expires_at)
