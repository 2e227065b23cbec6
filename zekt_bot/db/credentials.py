"""The Apps' credentials: the environment's first, then the sealed table's."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from zekt_bot.config import AppCredentials
from zekt_bot.db import audit
from zekt_bot.db.sql import insert_if_new
from zekt_bot.db.tables import credentials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.clock import Clock
    from zekt_bot.config import App, Settings
    from zekt_bot.db.crypto import Keyring
    from zekt_bot.db.database import Database
    from zekt_bot.domain.audit import Entry

_AT_MOST_EVERY = timedelta(seconds=1)
_SECRETS = "webhook_secret"  # several, one a line
# The rows that an App may have; each is a field of `AppCredentials`.
NAMES = ("app_id", "client_id", "client_secret", "html_url", "private_key", "slug", _SECRETS)


Sealed = dict[str, Any]


class CredentialStore:
    """The one provider (`config.Credentials`). What the environment names, it decides."""

    def __init__(self, settings: Settings, database: Database, clock: Clock) -> None:
        """Read nothing yet."""
        self._environment = {"orchestrator": settings.orchestrator, "oauth": settings.oauth}
        self._database = database
        self._clock = clock
        self._known: dict[str, AppCredentials] = {}
        self._read_at: dict[str, datetime] = {}
        self._read_anew_at: dict[str, datetime] = {}
        self._anew = asyncio.Lock()

    async def get(self, app: App, *, anew: bool = False) -> AppCredentials:
        """The App's present credentials: what the table held within the last second.

        `anew`: what it holds now; who asks again within a second gets what that found.

        Raises:
            StorageUnavailable: they cannot be read.
        """
        if anew:
            return await self._get_anew(app)
        now = self._clock.now()
        known = self._known.get(app)
        if known and _is_recent(now, self._read_at.get(app)):
            return known
        self._read_at[app] = now  # whoever asks meanwhile gets what was known
        return await self._read(app)

    async def _get_anew(self, app: App) -> AppCredentials:
        async with self._anew:
            now = self._clock.now()
            if _is_recent(now, self._read_anew_at.get(app)):
                return await self.get(app)
            found = await self._read(app)
            self._read_anew_at[app] = self._read_at[app] = now
            return found

    async def _read(self, app: App) -> AppCredentials:
        stored = await self._database.query(self._stored, app)
        found = self._known[app] = _over(self._environment[app], stored)
        return found

    def _stored(self, connection: Connection, app: str) -> AppCredentials:
        mine = select(credentials).where(credentials.c.app == app).order_by(credentials.c.name)
        rows = connection.execute(mine).all()
        keyring = self._database.keyring
        values = {
            row.name: keyring.open(_place(app, row.name), row.body).decode()
            for row in rows
            if row.name in NAMES
        }
        several = values.pop(_SECRETS, "").split("\n")
        return AppCredentials(
            **values,
            webhook_secrets=tuple(secret.encode() for secret in several if secret),
            key_stored_at=next((row.stored_at for row in rows if row.name == "private_key"), None),
            version=",".join(f"{row.name}={row.version}" for row in rows),
        )


def _is_recent(now: datetime, then: datetime | None) -> bool:
    return then is not None and abs(now - then) < _AT_MOST_EVERY


def _over(own: AppCredentials, stored: AppCredentials) -> AppCredentials:
    """The environment's over the table's; if it names another App, nothing of the table's."""
    named = {
        each.name: getattr(own, each.name)
        for each in fields(own)
        if each.name != "version" and getattr(own, each.name)
    }
    if not named:
        return stored
    version = f"environment {stored.version}"
    if any(_differ(getattr(own, key), getattr(stored, key)) for key in ("app_id", "client_id")):
        stored = AppCredentials()
    at = None if own.private_key else stored.key_stored_at
    return replace(stored, **named, version=version, key_stored_at=at)


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def _place(app: str, name: str) -> tuple[str, str, str]:
    return "credentials", name, app


def seal(keyring: Keyring, app: App, values: Mapping[str, str], now: datetime) -> list[Sealed]:
    """The rows that hold these values (by `NAMES`) of an App, with a version of their own."""
    version = secrets.token_hex(8)
    return [
        {
            "app": app,
            "name": name,
            "body": keyring.seal(_place(app, name), value.encode()),
            "version": version,
            "stored_at": now,
        }
        for name, value in values.items()
    ]


def is_kept(connection: Connection, rows: list[Sealed]) -> bool:
    """Whether these very rows are what is stored."""
    one = credentials.c.app == rows[0]["app"], credentials.c.version == rows[0]["version"]
    return connection.execute(select(credentials.c.app).where(*one).limit(1)).first() is not None


def has(connection: Connection, app: App) -> bool:
    """Whether anything is stored of this App."""
    one = select(credentials.c.app).where(credentials.c.app == app).limit(1)
    return connection.execute(one).first() is not None


def remove(connection: Connection, app: App) -> bool:
    """Let an App have no stored credentials. False: it had none."""
    return bool(connection.execute(delete(credentials).where(credentials.c.app == app)).rowcount)


@dataclass(frozen=True, slots=True)
class Change:
    """A row of `seal` in the place of the one with the version `before` (None: there is none)."""

    row: Sealed
    before: str | None
    entry: Entry


def version(connection: Connection, app: App, name: str) -> str | None:
    """The version of one stored value; None: there is none."""
    one = credentials.c.app == app, credentials.c.name == name
    found: str | None = connection.execute(select(credentials.c.version).where(*one)).scalar()
    return found


def change(connection: Connection, rows: Sequence[Change]) -> list[bool]:
    """Exchange single values; False: another one than that of `before` is there."""
    return [_change(connection, row) for row in rows]


def _change(connection: Connection, new: Change) -> bool:
    one = credentials.c.app == new.row["app"], credentials.c.name == new.row["name"]
    if new.before is None:
        done = insert_if_new(connection, credentials, new.row)
    else:
        same = update(credentials).where(*one, credentials.c.version == new.before)
        done = bool(connection.execute(same.values(new.row)).rowcount)
    if done:
        audit.record(connection, new.entry)
    return done


def put(connection: Connection, app: App, rows: list[Sealed]) -> None:
    """Let an App have the credentials that `seal` made, and no other ones."""
    remove(connection, app)
    connection.execute(insert(credentials), rows)
