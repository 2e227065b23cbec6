"""Making the Apps at GitHub of their manifests, and keeping what GitHub gives for them.

Source: https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from zekt_bot.db import credentials, web_states
from zekt_bot.db import setup as rows
from zekt_bot.db.web_states import Return, State, fingerprint
from zekt_bot.domain.access import decide
from zekt_bot.domain.audit import machine_word
from zekt_bot.domain.names import check_login
from zekt_bot.errors import (
    Conflict,
    GitHubAnswered,
    GitHubError,
    InvalidInput,
    MalformedEvent,
    StorageUnavailable,
)
from zekt_bot.github.manifest import LONGEST_NAME, manifest
from zekt_bot.operations import fields
from zekt_bot.operations.setup import names_app

if TYPE_CHECKING:
    from zekt_bot.config import App, Settings
    from zekt_bot.db.setup import NewApp
    from zekt_bot.db.web_states import Standing
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

STATE_LIFE = timedelta(hours=1)  # as long as GitHub's code is good
_HELD = timedelta(seconds=60)  # longer than GitHub is waited for, and than the write is tried
_TRIES = 10
_CODE = re.compile(r"[A-Za-z0-9_-]{1,100}")
_SAID: dict[Standing, str] = {
    "unknown": (
        "This answer from GitHub belongs to no step that was begun here. Nothing was stored. "
        "Start this step again."
    ),
    "other_browser": (
        "This answer from GitHub belongs to another browser. Nothing was stored. Start this step "
        "again."
    ),
    "used": "This step was done already with this very answer. Go on with the next one.",
    "held": "This answer is being looked into right now. Wait a minute and load this page again.",
    "expired": (
        "GitHub's answer came too late: it is good for an hour. Delete the App at GitHub and "
        "create it again."
    ),
}
_TOO_LATE = (
    "GitHub does not know this code (any more): it is good once and for an hour. Nothing was "
    "stored. If the App is listed at GitHub, delete it there, then start this step again."
)
_TAKEN = (
    "There is such an App already: go on with the next step. If it was a mistake, delete it at "
    "GitHub and let Zekt forget it; then make another one."
)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a person decides of a new App. `hook_url`: a webhook proxy before this server."""

    name: str
    organization: str = ""
    hook_url: str = ""


@dataclass(frozen=True, slots=True)
class Handover:
    """A form that the person's browser posts to GitHub: the field `manifest`, to `action`."""

    action: str
    manifest: str


def suggested_name(app: App) -> str:
    """The name that `app.yml` has."""
    return str(manifest(app, "")["name"])


async def begin(
    broker: Broker, principal: Principal, app: App, draft: Draft, browser: str
) -> Handover:
    """Fill an App's manifest in, and remember this browser's way to GitHub and back.

    Raises:
        AccessDenied, InvalidInput, StorageUnavailable.
        Conflict: there is such an App already, or the environment names it.
    """
    decide(principal, "server:setup")
    await _refuse_second(broker, app)
    told = _filled(broker, app, draft)
    state, now = secrets.token_urlsafe(32), broker.now()
    way = State(
        fingerprint(state), _purpose(app), fingerprint(browser), None, now, now + STATE_LIFE
    )
    await broker.database.write(web_states.put, way)
    base = broker.settings.github_url
    if draft.organization:
        base = f"{base}/organizations/{_organization(draft)}"
    action = f"{base}/settings/apps/new?{urlencode({'state': state})}"
    return Handover(action, json.dumps(told))


async def _refuse_second(broker: Broker, app: App) -> None:
    prefix = f"ZEKT_{app.upper()}"
    if names_app(broker.settings, app):
        raise Conflict(f"This App comes from {prefix}_APP_ID and its like. Change it there.")
    if alone := _alone_in_environment(broker.settings, app):
        raise Conflict(
            f"{alone} is set, and would win over the secret that GitHub is given: take it out of "
            "the environment, or name the whole App there."
        )
    if await broker.database.query(credentials.has, app):
        raise Conflict(_TAKEN)


def _alone_in_environment(settings: Settings, app: App) -> str:
    """The variable of a secret whose App the environment does not name."""
    own = settings.credentials_of(app)
    found = {"WEBHOOK_SECRET": own.webhook_secrets, "CLIENT_SECRET": own.client_secret}
    return next((f"ZEKT_{app.upper()}_{name}" for name, value in found.items() if value), "")


def _filled(broker: Broker, app: App, draft: Draft) -> dict[str, Any]:
    name = draft.name.strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        raise InvalidInput(f"An App's name has 1 to {LONGEST_NAME} characters.", field="name")
    told = manifest(app, broker.settings.public_url)
    told["name"] = name
    if draft.hook_url:
        parts = urlsplit(draft.hook_url)
        if parts.scheme != "https" or not parts.hostname:
            raise InvalidInput("A webhook proxy's address begins with https://.", field="hook_url")
        told["hook_attributes"]["url"] = draft.hook_url
    return told


def _organization(draft: Draft) -> str:
    try:
        return check_login(draft.organization)
    except InvalidInput as error:
        raise InvalidInput(str(error), field="organization") from None


def _purpose(app: App) -> str:
    return f"setup:{app}"


async def created(
    broker: Broker, principal: Principal, app: App, answer: tuple[str, str], browser: str
) -> None:
    """Exchange what GitHub brought back, `(code, state)`, for the App's secrets, and keep them.

    GitHub is asked by one process, once. All is stored in one write, or nothing. If GitHub does
    not answer, or is not well, the same may be tried again within the hour.

    Raises:
        AccessDenied, GitHubError, StorageUnavailable.
        Conflict: the state or the code is wrong, replayed or too old.
    """
    decide(principal, "server:setup")
    code, state = answer
    back = Return(fingerprint(state), _purpose(app), fingerprint(browser), broker.now())
    await _hold(broker, back)
    try:
        told = await broker.github.convert(code) if _CODE.fullmatch(code) else None
    except GitHubError:
        await broker.database.write(web_states.let_go, back.hash)
        raise
    if told is None:
        await broker.database.write(web_states.take, back)
        raise Conflict(_TOO_LATE)
    values = _values(told)
    details: dict[str, str | int] = {
        "app": app,
        "app_id": int(values["app_id"]),
        "slug": machine_word(values["slug"]),
    }
    entry = await broker.entry("person:app:created", principal.actor, details=details)
    sealed = credentials.seal(broker.database.keyring, app, values, broker.now())
    await _keep(broker, rows.NewApp(app, back, sealed, entry))
    await broker.credentials.get(app, anew=True)


async def _hold(broker: Broker, back: Return) -> None:
    holding = Return(back.hash, back.purpose, back.browser, back.now, back.now + _HELD)
    found = await broker.database.write(web_states.take, holding)
    if found.standing != "ours":
        raise Conflict(_SAID[found.standing])


async def _keep(broker: Broker, new: NewApp) -> None:
    """GitHub tells the secrets once only: a database that is away for a moment loses none."""
    for left in reversed(range(_TRIES)):
        try:
            standing = await broker.database.write(rows.put_app, new)
        except StorageUnavailable:
            if not left:
                raise
            await broker.clock.sleep_until(broker.now() + timedelta(seconds=1))
        else:
            break
    if standing == "used" and await broker.database.query(credentials.is_kept, new.rows):
        return  # by a try of ours whose outcome was not known
    if standing != "ours":
        raise Conflict(_TAKEN if standing == "taken" else _TOO_LATE)


async def forget(broker: Broker, principal: Principal, app: App) -> bool:
    """Delete what is stored of an App, so that another one can be made. False: nothing was.

    Raises:
        AccessDenied, StorageUnavailable.
    """
    decide(principal, "server:setup")
    entry = await broker.entry("person:app:forgotten", principal.actor, details={"app": app})
    forgotten = await broker.database.write(rows.forget_app, (app, entry))
    await broker.credentials.get(app, anew=True)
    return forgotten


def _values(told: dict[str, Any]) -> dict[str, str]:
    """GitHub's answer as it is kept.

    Raises:
        GitHubAnswered: it is not what GitHub promises.
    """
    try:
        return {
            "app_id": str(fields.number(told, "id")),
            "slug": fields.text(told, "slug", 100),
            "html_url": fields.text(told, "html_url"),
            "client_id": fields.text(told, "client_id", 100),
            "client_secret": fields.text(told, "client_secret", 200),
            "private_key": fields.text(told, "pem", 20_000),
            "webhook_secret": fields.text(told, "webhook_secret", 200),
        }
    except MalformedEvent as error:
        raise GitHubAnswered(201, f"{error}, which GitHub promises") from None
