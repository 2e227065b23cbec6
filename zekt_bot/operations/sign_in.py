"""Signing in: to GitHub and back, for one browser, once, within ten minutes."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from zekt_bot.db import sessions, web_states
from zekt_bot.db.admissions import Listed
from zekt_bot.db.web_states import fingerprint
from zekt_bot.domain.access import Person
from zekt_bot.domain.sessions import local_path
from zekt_bot.errors import (
    ConfigurationError,
    GitHubError,
    MalformedEvent,
    SessionEnded,
    SignInRefused,
    StorageUnavailable,
    TokenRefused,
    ZektError,
)
from zekt_bot.operations import fields, user_tokens
from zekt_bot.operations.sessions import admission

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.db.web_states import Standing
    from zekt_bot.github.oauth import UserToken
    from zekt_bot.operations.broker import Broker

WITHIN = timedelta(minutes=10)
_PURPOSE = "sign-in"
_SECRET_BYTES = 32
_log = structlog.get_logger()

_STANDS: dict[Standing, str] = {
    "unknown": "This sign-in is not known here, or was finished before. Start again.",
    "used": "This sign-in was finished before. Start again.",
    "held": "This sign-in is under way already. Start again.",
    "expired": "That took more than 10 minutes. Start again.",
    "other_browser": "This answer belongs to another browser or tab. Start again here.",
}
_DENIED = "You said no at GitHub. Nothing was stored."
_SILENT = "GitHub does not answer. Nothing was stored; try again in a minute."
_WITHDRAWN = "You withdrew the authorization at GitHub meanwhile. Start again."
_LATE = "GitHub's answer came too late or was used before. Start again."


@dataclass(frozen=True, slots=True)
class Return:
    """What a browser brings back from GitHub. `former`: the session that it had."""

    browser: str = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    device: str
    former: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that began: `secret` goes into the cookie and is stored nowhere."""

    secret: str = field(repr=False)
    person: Person
    back: str
    expires_in: timedelta


async def is_classic(broker: Broker) -> bool:
    """Whether people sign in with a classic OAuth App, whose scope could also write.

    Raises:
        StorageUnavailable.
    """
    try:
        return await broker.oauth.is_classic()
    except ConfigurationError:
        return False


async def begin(broker: Broker, browser: str, back: str) -> str:
    """Where to send the browser so that it comes back signed in, and then to the path `back`.

    Raises:
        ConfigurationError: the sign-in App's client id or secret is missing.
        StorageUnavailable.
    """
    state, verifier = secrets.token_urlsafe(_SECRET_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    url = await broker.oauth.authorize_url(state, verifier)
    hash_, now = fingerprint(state), broker.now()
    kept = json.dumps([verifier, local_path(back)]).encode()
    body = broker.database.keyring.seal(web_states.place(hash_), kept)
    row = web_states.State(hash_, _PURPOSE, fingerprint(browser), body, now, now + WITHIN)
    await broker.database.write(web_states.put, row)
    return url


async def finish(broker: Broker, back: Return) -> SignedIn:
    """Begin the session of whom GitHub names.

    Raises:
        SignInRefused: why not, and what to do; `back` is the path that was asked for, if that is
            known.
        StorageUnavailable.
    """
    verifier, path = await _take(broker, back)
    try:
        person, token = await _answered(broker, back.query, verifier)
    except (SignInRefused, ConfigurationError) as error:
        raise SignInRefused(str(error), back=path) from None
    except TokenRefused as error:
        raise SignInRefused(_refusal(broker, error.error), back=path) from None
    except (GitHubError, MalformedEvent) as error:
        _log.info("sign_in.github_failed", error=type(error).__name__)
        raise SignInRefused(_SILENT, back=path) from None
    try:
        return await _start(broker, back, person, token, path)
    except StorageUnavailable:
        await _revoked(broker, token)
        raise


async def _take(broker: Broker, back: Return) -> tuple[str, str]:
    """Use the state up; gives the verifier and the path to go to."""
    hash_ = fingerprint(back.query.get("state", ""))
    row = web_states.Return(hash_, _PURPOSE, fingerprint(back.browser), broker.now())
    found = await broker.database.write(web_states.take, row)
    if found.standing != "ours" or found.body is None:
        raise SignInRefused(_STANDS.get(found.standing, _STANDS["unknown"]))
    verifier, path = json.loads(broker.database.keyring.open(web_states.place(hash_), found.body))
    return verifier, path


def _refusal(broker: Broker, error: str) -> str:
    """What GitHub's word for it means for the person."""
    callback = f"{broker.settings.public_url}/auth/github/callback"
    known = {
        "access_denied": _DENIED,
        "bad_verification_code": _LATE,
        "redirect_uri_mismatch": "GitHub does not know this server's address. Ask its operator to "
        f"add {callback} to the callback URLs of the sign-in App.",
        "incorrect_client_credentials": "GitHub does not accept this server's client secret. Ask "
        "its operator to set the sign-in App's present one.",
        "application_suspended": "GitHub suspended this server's sign-in App. Ask its operator.",
        "unverified_user_email": "GitHub wants you to verify your e-mail address there first.",
    }
    return known.get(error, "GitHub did not sign you in. Nothing was stored; start again.")


async def _answered(
    broker: Broker, query: Mapping[str, str], verifier: str
) -> tuple[Person, UserToken]:
    """Who may sign in, with their token; of everybody else it dies."""
    if error := query.get("error"):
        raise SignInRefused(_refusal(broker, error))
    token = await broker.oauth.exchange(query.get("code", ""), verifier)
    try:
        person, reaches = await _who(broker, token)
        await _admit(broker, person, reaches)
    except ZektError:
        await _revoked(broker, token)
        raise
    return person, token


async def _who(broker: Broker, token: UserToken) -> tuple[Person, dict[int, str]]:
    """Who the token is of, and the accounts that they reach (id → login); if somebody asks."""
    answer = await broker.oauth.ask(token.access, "/user")
    if answer.status != 200:
        raise answer.error()
    told = answer.mapping()
    person = Person(fields.number(told, "id"), fields.text(told, "login", 100))
    has_second = told.get("two_factor_authentication")
    if broker.settings.require_2fa and has_second is not True:
        denied = "says that your account has none"
        if has_second is not False:
            denied = "does not say whether your account has it"
        raise SignInRefused(
            f"This server wants two-factor sign-in, and GitHub {denied}. "
            f"Turn it on at {broker.settings.github_url}/settings/security and come back."
        )
    return person, await _reached(broker, token) if broker.settings.allowed_people_of else {}


async def _reached(broker: Broker, token: UserToken) -> dict[int, str]:
    """Accounts with an installation through which this person reaches a repository.

    A classic OAuth App has no installations: there the organizations that it is shown count.
    """
    if await broker.oauth.is_classic():
        return _named([each async for each in broker.oauth.rows(token.access, "/user/orgs")])
    found = broker.oauth.rows(token.access, "/user/installations", "installations")
    return _named([each.get("account") async for each in found])


def _named(told: list[Any]) -> dict[int, str]:
    """The accounts that GitHub names with id and login, as it should each."""
    named = [each for each in told if isinstance(each, dict)]
    pairs = [(each.get("id"), each.get("login")) for each in named]
    return {id_: login for id_, login in pairs if isinstance(id_, int) and isinstance(login, str)}


async def _admit(broker: Broker, person: Person, reaches: dict[int, str]) -> None:
    rule = admission(broker.settings)
    listed = Listed(tuple(sorted(rule.listed)), broker.now())
    met = await broker.database.write(sessions.meet, sessions.Meeting(person, reaches, listed))
    known = {"operator": met.operator, "blocked": met.blocked}
    if rule.admits(met.names, reaches=met.reaches, **known):
        return
    if met.blocked:
        raise SignInRefused(f"{person.login} is shut out of this server; ask its operator.")
    open_to = " and ".join(sorted(rule.accounts))
    whom = f"people of {open_to}" if open_to else "people whom its operator listed"
    raise SignInRefused(
        f"{person.login} may not sign in here. This server is open to {whom}; ask its operator."
    )


async def _revoked(broker: Broker, token: UserToken) -> None:
    """Keep nothing of who may not come in; what GitHub does not do, the token's end will."""
    try:
        await broker.oauth.revoke(token)
    except ZektError as error:
        _log.info("sign_in.token_not_revoked", error=type(error).__name__)


async def _start(
    broker: Broker, back: Return, person: Person, token: UserToken, path: str
) -> SignedIn:
    """A new secret at each sign-in: one that somebody planted before is worth nothing."""
    secret, now = secrets.token_urlsafe(_SECRET_BYTES), broker.now()
    hash_, lasts = fingerprint(secret), broker.settings.session_lasts
    entry = await broker.entry("person:session:started", person.actor)
    start = sessions.Start(
        hash=hash_,
        person=person,
        device=back.device[:100],
        now=now,
        expires_at=now + lasts,
        body=user_tokens.sealed(broker, hash_, token),
        token_expires_at=token.expires_at,
        former=fingerprint(back.former) if back.former else None,
        entry=entry,
    )
    await broker.database.write(sessions.start, start)
    await _confirm(broker, hash_, path)
    return SignedIn(secret, person, path, lasts)


async def _confirm(broker: Broker, hash_: str, path: str) -> None:
    """Who withdraws while they sign in is told of when there is no session yet that could end."""
    session = await broker.database.query(sessions.find, hash_)
    with suppress(SessionEnded):
        if session is not None:
            await user_tokens.confirm(broker, session, timedelta(0))
            return
    raise SignInRefused(_WITHDRAWN, back=path)
