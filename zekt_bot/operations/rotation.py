"""Replacing secrets without a moment in which a webhook, a row or a request is lost."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from zekt_bot.db import audit, credentials, resealing
from zekt_bot.db.credentials import Change
from zekt_bot.domain.access import decide
from zekt_bot.errors import AppRejected, Conflict
from zekt_bot.github.keys import pem_of
from zekt_bot.operations.app_check import NAMES, settings_page

if TYPE_CHECKING:
    from zekt_bot.config import App, AppCredentials
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

# Every process reads the credentials again after a second.
_SPREAD = timedelta(seconds=2)
GRACE = timedelta(seconds=30)
_MOVED = "The credentials were changed meanwhile. Look at them, and run this again."


async def seal_anew(broker: Broker, principal: Principal) -> int:
    """Seal with the first key of ZEKT_SECRET_KEY what its other keys had sealed.

    Answers how many values were: afterwards the others open nothing any more. A running server
    goes on meanwhile, if it has the same keys in the same order.

    Raises:
        AccessDenied, StorageUnavailable.
        DecryptionFailed: no key opens a value; what came before it is done.
    """
    decide(principal, "server:rotate")
    total, database = 0, broker.database
    for sealed in resealing.COLUMNS:
        after, current = None, database.keyring.current
        while rows := await database.query(resealing.stale, sealed, current, after):
            page = resealing.anew(database.keyring, sealed, rows)
            total += await database.write(resealing.put, page, weight=len(rows))
            after = page.values[-1][0]
    details: dict[str, str | int] = {"values": total}
    entry = await broker.entry("person:secret_key:rotated", principal.actor, details=details)
    await database.write(audit.record_all, entry)
    return total


async def rotate_webhook_secret(
    broker: Broker, principal: Principal, app: App, grace: timedelta = GRACE
) -> None:
    """Give an App a new webhook secret, here and at GitHub.

    Both are taken until `grace` after GitHub has the new one, so that no webhook is refused. If
    GitHub does not say that it has, both are taken until this is run again.

    Raises:
        AccessDenied, GitHubError, StorageUnavailable.
        Conflict: the environment names the secret, there is no App here, or another rotation began.
    """
    decide(principal, "server:rotate")
    if broker.settings.credentials_of(app).webhook_secrets:
        raise Conflict(
            f"ZEKT_{app.upper()}_WEBHOOK_SECRET names it. Change it there: NEW,OLD, then at "
            "GitHub, then NEW."
        )
    before = await broker.database.query(credentials.version, app, "webhook_secret")
    held = await _stored(broker, app)
    new = secrets.token_hex(32)
    both = "\n".join([new, *(each.decode() for each in held.webhook_secrets)])
    added = await _change(broker, principal, app, ("webhook_secret", both), before)
    await broker.clock.sleep_until(broker.now() + _SPREAD)
    # Whoever came later tells GitHub later: what it signs with in the end is what they keep.
    if await broker.database.query(credentials.version, app, "webhook_secret") != added:
        raise Conflict(_MOVED)
    await broker.github.beside(app).change_webhook_secret(new)
    await broker.clock.sleep_until(broker.now() + grace)
    await _change(broker, principal, app, ("webhook_secret", new), added)


async def replace_private_key(broker: Broker, principal: Principal, app: App, pem: str) -> str:
    """Use another private key of the same App from now on, once GitHub has taken it.

    Answers GitHub's page where the former one is deleted.

    Raises:
        AccessDenied, GitHubError, StorageUnavailable.
        ConfigurationError: it is no private key.
        Conflict: the environment names the key, there is no App here, or GitHub refuses the key.
    """
    decide(principal, "server:rotate")
    if broker.settings.credentials_of(app).private_key:
        raise Conflict(f"ZEKT_{app.upper()}_PRIVATE_KEY names it. Change it there and restart.")
    before = await broker.database.query(credentials.version, app, "private_key")
    held = await _stored(broker, app)
    new = replace(held, private_key=pem_of(pem, app), key_stored_at=None)
    tried = broker.github.beside(app, _Fixed(new))
    try:
        answer = await tried.ask_as_app("/app")
    except AppRejected as error:
        raise Conflict(f"GitHub does not take this key for the {NAMES[app]}: {error}") from None
    if answer.status != 200:
        raise answer.error()
    await _change(broker, principal, app, ("private_key", pem_of(pem, app)), before)
    return settings_page(answer.mapping(), broker.settings.github_url)


class _Fixed:
    """Credentials that are not stored yet."""

    def __init__(self, found: AppCredentials) -> None:
        self._found = found

    async def get(self, app: App, *, anew: bool = False) -> AppCredentials:
        del app, anew
        return self._found


async def _stored(broker: Broker, app: App) -> AppCredentials:
    held = await broker.credentials.get(app, anew=True)
    if not await broker.database.query(credentials.has, app) or not held.app_id:
        raise Conflict(f"No {NAMES[app]} is stored here; what the environment names is set there.")
    return held


async def _change(
    broker: Broker, principal: Principal, app: App, told: tuple[str, str], before: str | None
) -> str:
    """Store (name, value), unless another than the version `before` is there; answers its own."""
    name, value = told
    (row,) = credentials.seal(broker.database.keyring, app, {name: value}, broker.now())
    details: dict[str, str | int] = {"app": app, "what": name}
    entry = await broker.entry("person:credential:changed", principal.actor, details=details)
    if not await broker.database.write(credentials.change, Change(row, before, entry)):
        raise Conflict(_MOVED)
    return str(row["version"])
