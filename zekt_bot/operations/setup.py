"""The first setup: what is done, what is next, and who may do it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from zekt_bot.db import operators
from zekt_bot.db import setup as rows
from zekt_bot.db.admissions import NOBODY
from zekt_bot.db.web_states import fingerprint
from zekt_bot.domain.access import Operator, Person, decide
from zekt_bot.domain.audit import SYSTEM
from zekt_bot.domain.names import check_login
from zekt_bot.errors import AccessDenied, Conflict, InvalidInput
from zekt_bot.operations import accounts
from zekt_bot.operations.sessions import is_operator

if TYPE_CHECKING:
    from datetime import datetime

    from zekt_bot.config import App, AppCredentials, Settings
    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.sessions import Session
    from zekt_bot.operations.broker import Broker

LINK_LIFE = timedelta(hours=24)
BROWSER_LIFE = timedelta(hours=12)
MOST_ACCOUNTS = 200
APPS: tuple[App, ...] = ("oauth", "orchestrator")
DEAD_LINK = (
    "This setup link no longer works: it was used, is older than a day, or a newer one was made. "
    "Print a new one on the server: `zekt setup-link`."
)
OVER = (
    "The setup is finished: operators sign in and open /setup. If none can, set ZEKT_OPERATORS, or "
    "open it once more: `zekt setup-link --again`."
)
Step = Literal["oauth", "orchestrator", "operator", "accounts", "install", "finished"]
Concern = Literal["localhost", "http"]
_LACKING: dict[Step, str] = {
    "oauth": "The sign-in App is not there yet.",
    "orchestrator": "The orchestration App is not there yet.",
    "operator": "Nobody has signed in to be the operator.",
    "accounts": "Whose repositories are served is not decided.",
}


@dataclass(frozen=True, slots=True)
class AppProgress:
    """How far one App is. Links are built on `html_url` alone."""

    app: App
    done: bool
    from_environment: bool
    app_id: str | None
    slug: str | None
    html_url: str | None
    is_classic: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """What is done.

    `accounts`: the logins served, () for everybody, None: not decided, and until then nobody once
    the orchestration App is there.

    `operators`: logins, those of the settings first.
    """

    public_url: str
    concern: Concern | None
    oauth: AppProgress
    orchestrator: AppProgress
    operators: tuple[str, ...]
    accounts: tuple[str, ...] | None
    accounts_from_environment: bool
    until: datetime | None
    finished: bool

    @property
    def next(self) -> Step:
        """The first step that is not done; installing is never known to be."""
        if self.finished:
            return "finished"
        if not self.oauth.done:
            return "oauth"
        if not self.orchestrator.done:
            return "orchestrator"
        if not self.operators:
            return "operator"
        return "accounts" if self.accounts is None else "install"

    @property
    def lacking(self) -> str | None:
        """Why the setup cannot end yet; None: it can, or has."""
        return _LACKING.get(self.next)


async def new_link(broker: Broker, principal: Principal, *, again: bool = False) -> str:
    """A link that opens the setup once, within a day; the former one is dead.

    `again`: although the setup is over, for where no operator can sign in any more.

    Raises:
        AccessDenied, StorageUnavailable.
        Conflict: the setup is over, and was not asked for again.
    """
    decide(principal, "server:setup")
    return await _offered(broker, principal.actor, again=again) or _refuse_over()


async def first_link(broker: Broker) -> str | None:
    """The link of the very first start; None: there was one, or the environment names both Apps.

    Raises:
        StorageUnavailable.
    """
    if all([(await _app(broker, app)).done for app in APPS]):
        return None
    return await _offered(broker, SYSTEM, first=True)


async def _offered(
    broker: Broker, actor: str, *, first: bool = False, again: bool = False
) -> str | None:
    token, now = secrets.token_urlsafe(32), broker.now()
    details: dict[str, str | int] = {"again": 1} if again else {}
    entry = await broker.entry("zekt:setup:offered", actor, details=details)
    link = rows.Link(fingerprint(token), now, now + LINK_LIFE, entry, first, again)
    offered = await broker.database.write(rows.offer, link)
    return f"{broker.settings.public_url}/setup?token={token}" if offered else None


def _refuse_over() -> str:
    raise Conflict(OVER)


async def enter(broker: Broker, token: str, browser: str) -> None:
    """Let the browser that brings a living link do the setup; the link is used up.

    `browser` is the secret that tells it from every other one.

    Raises:
        AccessDenied: the link is dead.
        StorageUnavailable.
    """
    now = broker.now()
    entry = await broker.entry("person:setup:entered", _SETTER_UP.actor)
    entering = rows.Entering(
        fingerprint(token), fingerprint(browser), now, now + BROWSER_LIFE, entry
    )
    if not await broker.database.write(rows.enter, entering):
        raise AccessDenied(DEAD_LINK)


_SETTER_UP = Operator("setup")


async def principal_of(
    broker: Broker, browser: str, session: Session | None = None
) -> Operator | None:
    """Who may do the setup in this browser: an operator, or whoever brought its link there.

    None: it has not entered, too long ago, or the setup is over.

    Raises:
        StorageUnavailable.
    """
    if session is not None and is_operator(broker, session):
        return Operator(f"person:{session.person.id}")
    found = await broker.database.query(rows.current)
    if found is None or found.finished_at is not None or found.browser is None:
        return None
    inside = found.browser_until > broker.now()
    same = secrets.compare_digest(found.browser, fingerprint(browser))
    return _SETTER_UP if inside and same else None


async def progress(broker: Broker, principal: Principal) -> Progress:
    """What is done and what is next.

    Raises:
        AccessDenied, StorageUnavailable.
    """
    decide(principal, "server:setup")
    found = await broker.database.query(rows.current)
    made = await broker.database.query(operators.made)
    settings = broker.settings
    kept = found.accounts if found else None
    chosen = None if kept in {None, NOBODY} else tuple(each for each in kept.split(",") if each)
    return Progress(
        public_url=settings.public_url,
        concern=concern(settings.public_url, settings.github_url),
        oauth=await _app(broker, "oauth"),
        orchestrator=await _app(broker, "orchestrator"),
        operators=(*settings.operators, *(one.login for one in made)),
        accounts=settings.allowed_accounts or chosen,
        accounts_from_environment=bool(settings.allowed_accounts),
        until=found.browser_until if found else None,
        finished=found is not None and found.finished_at is not None,
    )


def concern(public_url: str, github_url: str) -> Concern | None:
    """Why GitHub would refuse webhooks to this address; one on this machine too would not."""
    out_of_reach = unreachable(public_url)
    here = out_of_reach == "localhost" and _is_here(urlsplit(github_url).hostname)
    return None if here else out_of_reach


def unreachable(public_url: str) -> Concern | None:
    """Why webhooks cannot come to this address from the Internet."""
    parts = urlsplit(public_url)
    if _is_here(parts.hostname):
        return "localhost"
    return None if parts.scheme == "https" else "http"


def _is_here(host: str | None) -> bool:
    return host in {"localhost", "127.0.0.1", "::1"} or (host or "").endswith(".localhost")


async def _app(broker: Broker, app: App) -> AppProgress:
    held = await broker.credentials.get(app)
    return AppProgress(
        app=app,
        done=_is_whole(app, held),
        from_environment=names_app(broker.settings, app),
        app_id=held.app_id,
        slug=held.slug,
        html_url=held.html_url,
        is_classic=held.is_classic,
    )


def _is_whole(app: App, held: AppCredentials) -> bool:
    if app == "oauth":
        return bool(held.client_id and held.client_secret)
    return bool(held.app_id and held.private_key and held.webhook_secrets)


def names_app(settings: Settings, app: App) -> bool:
    """Whether the environment says which App it is."""
    own = settings.credentials_of(app)
    return bool(own.app_id or own.client_id or own.private_key)


async def become_operator(broker: Broker, principal: Principal, person: Person) -> bool:
    """Make the person who signed in during the setup an operator. False: they are one already.

    Raises:
        AccessDenied, StorageUnavailable.
    """
    decide(principal, "server:setup")
    details: dict[str, str | int] = {"account": person.id}
    entry = await broker.entry("person:operator:made", principal.actor, details=details)
    new = rows.NewOperator(person.id, person.login, broker.now(), entry)
    return await broker.database.write(rows.put_operator, new)


async def choose_accounts(
    broker: Broker, principal: Principal, logins: list[str], session: Session | None = None
) -> None:
    """Say whose installations this server works for; none: everybody's.

    `session`: of the person who says it, if one is signed in.

    Raises:
        AccessDenied, InvalidInput, NotFound, GitHubError, StorageUnavailable.
        Conflict: ZEKT_ALLOWED_ACCOUNTS decides.
    """
    decide(principal, "server:setup")
    if broker.settings.allowed_accounts:
        raise Conflict("ZEKT_ALLOWED_ACCOUNTS lists the accounts. Change them there.")
    if len(logins) > MOST_ACCOUNTS:
        raise InvalidInput(f"At most {MOST_ACCOUNTS} accounts can be listed here.")
    for login in logins:
        await accounts.resolve(broker, check_login(login), session)
    chosen = tuple(dict.fromkeys(login.lower() for login in logins))
    details: dict[str, str | int] = {"accounts": len(chosen)}
    entry = await broker.entry("person:accounts:listed", principal.actor, details=details)
    await broker.database.write(rows.choose_accounts, rows.Chosen(chosen, broker.now(), entry))


async def finish(broker: Broker, principal: Principal, *, doubts: int = 0) -> None:
    """End the setup: from now on its pages are the operators'. `doubts` were left standing.

    Raises:
        AccessDenied, StorageUnavailable.
        Conflict: a step that cannot be left out is not done, or it was over already.
    """
    found = await progress(broker, principal)
    if found.lacking:
        raise Conflict(found.lacking)
    details: dict[str, str | int] = {"doubts": doubts} if doubts else {}
    entry = await broker.entry("person:setup:finished", principal.actor, details=details)
    if not await broker.database.write(rows.finish, rows.End(broker.now(), entry)):
        raise Conflict(OVER)


async def is_finished(broker: Broker) -> bool:
    """Whether the setup is over, which is no secret.

    Raises:
        StorageUnavailable.
    """
    found = await broker.database.query(rows.current)
    return found is not None and found.finished_at is not None
