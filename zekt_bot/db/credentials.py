"""The Apps' credentials: the environment's first, then the sealed table's."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from zekt_bot.config import AppCredentials
from zekt_bot.db.tables import credentials

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.clock import Clock
    from zekt_bot.config import App, Settings
    from zekt_bot.db.database import Database

_AT_MOST_EVERY = timedelta(seconds=1)


class CredentialStore:
    """The one provider (`config.Credentials`). What the environment names, it decides."""

    def __init__(self, settings: Settings, database: Database, clock: Clock) -> None:
        """Read nothing yet."""
        self._environment = {"orchestrator": settings.orchestrator, "oauth": settings.oauth}
        self._database = database
        self._clock = clock
        self._known: dict[str, AppCredentials] = {}
        self._read_at: dict[str, datetime] = {}

    async def get(self, app: App) -> AppCredentials:
        """The App's present credentials: what the table held within the last second.

        Raises:
            StorageUnavailable: they cannot be read.
        """
        now = self._clock.now()
        known = self._known.get(app)
        if known and abs(now - self._read_at[app]) < _AT_MOST_EVERY:
            return known
        self._read_at[app] = now  # whoever asks meanwhile gets what was known
        stored = await self._database.query(self._stored, app)
        own = self._environment[app]
        if own.app_id or own.private_key or own.webhook_secrets:
            stored = replace(
                stored,
                app_id=own.app_id or stored.app_id,
                private_key=own.private_key or stored.private_key,
                webhook_secrets=own.webhook_secrets or stored.webhook_secrets,
                version=f"environment {stored.version}",
            )
        self._known[app] = stored
        return stored

    def _stored(self, connection: Connection, app: str) -> AppCredentials:
        mine = select(credentials).where(credentials.c.app == app).order_by(credentials.c.name)
        rows = connection.execute(mine).all()
        keyring = self._database.keyring
        values = {
            row.name: keyring.open(("credentials", row.name, app), row.body).decode()
            for row in rows
        }
        secrets = values.get("webhook_secret", "").split("\n")
        return AppCredentials(
            app_id=values.get("app_id"),
            private_key=values.get("private_key"),
            webhook_secrets=tuple(secret.encode() for secret in secrets if secret),
            version=",".join(f"{row.name}={row.version}" for row in rows),
        )
