"""Sealing anew, with the first key of `ZEKT_SECRET_KEY`, what another one of them had sealed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import LargeBinary, bindparam, func, select, tuple_, update

from zekt_bot.db.tables import (
    attempts,
    credentials,
    envelopes,
    inbox,
    messages,
    sessions,
    subscriptions,
    web_states,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Column, Connection, Table

    from zekt_bot.db.crypto import Keyring

PAGE = 20  # a webhook's body may have 25 MB
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A column that holds sealed values."""

    table: Table
    column: Column[bytes]

    @property
    def name(self) -> str:
        """TABLE.COLUMN."""
        return f"{self.table.name}.{self.column.name}"

    def place(self, key: Key) -> tuple[str, str, str]:
        """Where the value of the row with this primary key is sealed to."""
        if self.table is credentials:
            app, name = key
            return "credentials", name, app
        return self.table.name, self.column.name, ":".join(map(str, key))


COLUMNS = (
    Sealed(credentials, credentials.c.body),
    Sealed(subscriptions, subscriptions.c.settings),
    Sealed(sessions, sessions.c.body),
    Sealed(web_states, web_states.c.body),
    Sealed(inbox, inbox.c.raw),
    Sealed(messages, messages.c.body),
    Sealed(messages, messages.c.redactions),
    Sealed(envelopes, envelopes.c.body),
    Sealed(attempts, attempts.c.error),
)


@dataclass(frozen=True, slots=True)
class Page:
    """Values of one column, each by its row's key: as it was, and sealed anew."""

    sealed: Sealed
    values: tuple[tuple[Key, bytes, bytes], ...]


def stale(
    connection: Connection, sealed: Sealed, current: bytes, after: Key | None
) -> list[tuple[Any, ...]]:
    """A page of rows (key and value) after the key `after` that another key has sealed."""
    keys = list(sealed.table.primary_key.columns)
    found = (
        select(*keys, sealed.column)
        .where(
            func.length(sealed.column) > 0,  # what is gone was emptied
            func.substr(sealed.column, 2, 4) != bindparam("current", current, LargeBinary),
        )
        .order_by(*keys)
        .limit(PAGE)
    )
    if after is not None:
        found = found.where(tuple_(*keys) > tuple_(*after))
    return [tuple(row) for row in connection.execute(found)]


def anew(keyring: Keyring, sealed: Sealed, rows: Sequence[tuple[Any, ...]]) -> Page:
    """These rows' values, sealed with the first key.

    Raises:
        DecryptionFailed: no key opens one.
    """
    values = []
    for row in rows:
        key, value = row[:-1], row[-1]
        place = sealed.place(key)
        values.append((key, value, keyring.seal(place, keyring.open(place, value))))
    return Page(sealed, tuple(values))


def put(connection: Connection, rows: Sequence[Page]) -> list[int]:
    """Keep them, where nothing else was written meanwhile; answers how many were kept."""
    return [sum(_put(connection, page.sealed, *each) for each in page.values) for page in rows]


def _put(connection: Connection, sealed: Sealed, key: Key, before: bytes, after: bytes) -> int:
    named = zip(sealed.table.primary_key.columns, key, strict=True)
    same = [column == value for column, value in named]
    change = update(sealed.table).where(*same, sealed.column == before)
    return connection.execute(change.values({sealed.column: after})).rowcount
