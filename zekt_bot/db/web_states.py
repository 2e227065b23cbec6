"""The `state` of a way to GitHub and back: single use, for one browser, for some minutes.

Its secrets are known by their SHA-256 only (`fingerprint`), so that who reads the database can
finish nobody's way.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sqlalchemy import delete, insert, select, update

from zekt_bot.db.tables import web_states

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

Standing = Literal["ours", "unknown", "expired", "used", "held", "other_browser"]


@dataclass(frozen=True, slots=True)
class State:
    """A new one; `hash` and `browser` are fingerprints, `body` is sealed."""

    hash: str
    purpose: str
    browser: str
    body: bytes | None
    now: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Return:
    """A browser that came back with a state. `until`: hold it so long; None: use it up."""

    hash: str
    purpose: str
    browser: str
    now: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """How it stands; only what is `ours` was taken, and gives its body."""

    standing: Standing
    body: bytes | None = None


def fingerprint(secret: str) -> str:
    """SHA-256 of a random secret, in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def place(hash_: str) -> tuple[str, str, str]:
    """Where the body of a state is sealed to (`Keyring.seal`)."""
    return "web_states", "body", hash_


def put(connection: Connection, rows: Sequence[State]) -> list[None]:
    """Keep new states, and forget those that are long over."""
    for row in rows:
        old = web_states.c.expires_at < row.now - (row.expires_at - row.now)
        connection.execute(delete(web_states).where(old))
        connection.execute(
            insert(web_states).values(
                hash=row.hash,
                purpose=row.purpose,
                browser=row.browser,
                body=row.body,
                expires_at=row.expires_at,
            )
        )
    return [None] * len(rows)


def take(connection: Connection, rows: Sequence[Return]) -> list[Found]:
    """Use states up, or hold them while GitHub is asked."""
    return [take_one(connection, row) for row in rows]


def take_one(connection: Connection, row: Return) -> Found:
    """As `take`, within another write. Who uses it up may have held it."""
    found = connection.execute(
        select(web_states).where(web_states.c.hash == row.hash).with_for_update()
    ).one_or_none()
    if found is None or found.purpose != row.purpose:
        return Found("unknown")
    if found.browser != row.browser:
        return Found("other_browser")
    if found.used_at is not None:
        return Found("used")
    if found.expires_at <= row.now:
        return Found("expired")
    if row.until and found.held_until is not None and found.held_until > row.now:
        return Found("held")
    values = {"held_until": row.until} if row.until else {"used_at": row.now}
    connection.execute(update(web_states).where(web_states.c.hash == row.hash).values(values))
    return Found("ours", found.body)


def let_go(connection: Connection, rows: Sequence[str]) -> list[None]:
    """Hold these states (by their fingerprints) no longer."""
    for hash_ in rows:
        held = web_states.c.hash == hash_
        connection.execute(update(web_states).where(held).values(held_until=None))
    return [None] * len(rows)
