"""A person's token at GitHub: sealed, renewed in time and once, and the session ends with it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import structlog

from zekt_bot.db import ended_sessions, sessions
from zekt_bot.domain.audit import GITHUB
from zekt_bot.errors import (
    ConfigurationError,
    DecryptionFailed,
    GitHubAnswered,
    GitHubError,
    SessionEnded,
    StorageUnavailable,
    TokenRefused,
)
from zekt_bot.github.oauth import UserToken
from zekt_bot.operations.broker import new_lease

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from zekt_bot.domain.sessions import Session
    from zekt_bot.operations.broker import Broker

    _Renewed = sessions.Renewal | ended_sessions.Renewed

T = TypeVar("T")
_BEFORE_ITS_END = timedelta(minutes=10)
_RENEWED_WITHIN = timedelta(seconds=30)
_STORED_WITHIN = timedelta(seconds=20)  # while nobody else may renew it
_LOOK_AGAIN = timedelta(seconds=0.2)
_TRY_AGAIN = timedelta(seconds=1)
_DEAD = "bad_refresh_token"  # GitHub's other words are this server's fault, not the person's will
_PATIENCE = 3.0  # seconds that a page waits for GitHub's word on its session
_log = structlog.get_logger()


def sealed(broker: Broker, hash_: str, token: UserToken) -> bytes:
    """The token as the row of the session with this hash holds it."""
    expires_at = token.expires_at.isoformat() if token.expires_at else None
    value = json.dumps([token.access, token.refresh, expires_at, token.client_id])
    return broker.database.keyring.seal(sessions.place(hash_), value.encode())


def opened(broker: Broker, hash_: str, body: bytes) -> UserToken:
    """The other way round.

    Raises:
        DecryptionFailed.
    """
    access, refresh, at, client_id = json.loads(
        broker.database.keyring.open(sessions.place(hash_), body)
    )
    return UserToken(access, refresh, datetime.fromisoformat(at) if at else None, client_id)


async def give_back(broker: Broker, hash_: str, body: bytes) -> None:
    """Let the token of a session that is over die at GitHub; then nothing is kept of the session.

    One that is dead already is no error. GitHub lets living ones die alone: what has run out is
    renewed first, since what renews it lives on for months.

    Raises:
        GitHubError, ConfigurationError, DecryptionFailed, StorageUnavailable.
    """
    token = opened(broker, hash_, body)
    if token.expires_at is not None and token.expires_at <= broker.now():
        try:
            token = await broker.oauth.refresh(token)
        except TokenRefused as error:
            if error.error != _DEAD:
                raise
            await _drop(broker, hash_, body)
            return
        body = sealed(broker, hash_, token)
        renewed = ended_sessions.Renewed(hash_, body, token.expires_at)
        await _write(broker, ended_sessions.keep, renewed)
    await broker.oauth.revoke(token)
    await _drop(broker, hash_, body)


async def _drop(broker: Broker, hash_: str, body: bytes) -> None:
    await broker.database.write(ended_sessions.drop, ended_sessions.Dead(hash_, body, broker.now()))


async def with_token(broker: Broker, session: Session, call: Callable[[str], Awaitable[T]]) -> T:
    """Call with the person's token. A 401 that a newer token does not mend ends the session.

    Raises:
        SessionEnded: GitHub does not know this authorization any more.
        GitHubError, ConfigurationError, StorageUnavailable.
    """
    token, version = await _current(broker, session)
    try:
        return await call(token)
    except GitHubAnswered as error:
        if error.status != 401:
            raise
    # Somebody may have renewed it while GitHub was asked: then the former one is dead.
    token, newer = await _current(broker, session)
    if newer == version:
        await _lost(broker, session)
    try:
        return await call(token)
    except GitHubAnswered as error:
        if error.status != 401:
            raise
        await _lost(broker, session)
        raise  # pragma: no cover - `_lost` always raises


async def confirm(broker: Broker, session: Session, within: timedelta) -> None:
    """Ask GitHub whether it takes the session's token still, unless that was asked `within` a time.

    A GitHub that is away, or slow, leaves the session as it is.

    Raises:
        SessionEnded, StorageUnavailable.
    """
    if broker.roles.was_asked(session.hash, within):
        return
    # Whoever stops waiting leaves the task to itself: a renewal that is cut off loses the token.
    name = f"confirm {session.hash}"
    asking = broker.under_way.once(name, lambda: _confirm(broker, session))
    done, _ = await asyncio.wait({asking}, timeout=_PATIENCE)
    if done:
        await asking  # if that fails, nothing was learned
    broker.roles.note_asked(session.hash)


async def _confirm(broker: Broker, session: Session) -> None:
    try:
        await with_token(broker, session, lambda token: _ask_who(broker, token))
    except (GitHubError, ConfigurationError, DecryptionFailed) as error:
        _log.info("session.not_confirmed", error=type(error).__name__)


async def _ask_who(broker: Broker, token: str) -> None:
    answer = await broker.oauth.ask(token, "/user")
    if answer.status != 200:
        raise answer.error()


async def _current(broker: Broker, session: Session) -> tuple[str, int]:
    """The token that is good for some minutes, and its version; renewed if need be."""
    while True:
        now = broker.now()
        held = await broker.database.query(sessions.held, session.hash, now)
        if held is None:
            raise SessionEnded
        leased = held.leased_until is not None and held.leased_until > now
        if not leased and not _ends_soon(held, now):
            return opened(broker, session.hash, held.body).access, held.version
        if not leased:
            lease = sessions.Lease(
                session.hash, held.version, new_lease(), now, now + _RENEWED_WITHIN
            )
            if await broker.database.write(sessions.lease, lease):
                await _renew(broker, session, held, lease.lease)
                continue
        await broker.clock.sleep_until(broker.now() + _LOOK_AGAIN)


def _ends_soon(held: sessions.Held, now: datetime) -> bool:
    return held.expires_at is not None and held.expires_at <= now + _BEFORE_ITS_END


async def _renew(broker: Broker, session: Session, held: sessions.Held, lease: str) -> None:
    """Ask for the next token; only the holder of the lease does."""
    renewal, body = sessions.Renewal(session.hash, lease, broker.now()), held.body
    try:
        token = await broker.oauth.refresh(opened(broker, session.hash, body))
        body = sealed(broker, session.hash, token)
        renewal = replace(renewal, now=broker.now(), body=body, expires_at=token.expires_at)
    except TokenRefused as error:
        if error.error == _DEAD:
            await _lost(broker, session)
        raise
    finally:
        lives = await _write(broker, sessions.renew, renewal)
    if not lives:  # ended meanwhile, when nobody could revoke what was on its way
        with suppress(GitHubError, ConfigurationError):
            await give_back(broker, session.hash, body)
        raise SessionEnded


async def _write(
    broker: Broker,
    statement: Callable[..., list[T]],
    row: _Renewed,
) -> T:
    """GitHub tells a token once only: a database that is away for a moment loses none.

    What cannot be stored for longer dies: the session ends when somebody comes with it.
    """
    until = broker.now() + _STORED_WITHIN
    while True:
        try:
            return await broker.database.write(statement, row)
        except StorageUnavailable:
            if broker.now() >= until:
                await _forsake(broker, row)
                raise
        await broker.clock.sleep_until(broker.now() + _TRY_AGAIN)


async def _forsake(broker: Broker, row: _Renewed) -> None:
    """Leave no token alive that nobody holds."""
    if row.body is None:  # a lease was to be given back; it runs out by itself
        return
    _log.warning("session.token_not_stored", then="the person signs in again")
    with suppress(GitHubError, ConfigurationError, StorageUnavailable):
        await broker.oauth.revoke(opened(broker, row.hash, row.body))


async def _lost(broker: Broker, session: Session) -> None:
    """GitHub takes the token no longer: whoever withdrew it is out at once."""
    entry = await broker.entry("github:authorization:refused", GITHUB, account_id=session.person.id)
    ending = sessions.End(session.person.id, entry, session.hash)
    await broker.database.write(sessions.end, ending)
    raise SessionEnded
