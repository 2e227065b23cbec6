"""Sessions: who a browser is signed in as, and how that ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from zekt_bot.db import ended_sessions, sessions
from zekt_bot.db.sessions import End
from zekt_bot.db.web_states import fingerprint
from zekt_bot.domain.audit import GITHUB
from zekt_bot.domain.sessions import VIEWS, Admission
from zekt_bot.errors import (
    ConfigurationError,
    DecryptionFailed,
    GitHubError,
    InvalidInput,
    NotFound,
    ZektError,
)
from zekt_bot.operations import user_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from zekt_bot.config import Settings
    from zekt_bot.domain.access import Person
    from zekt_bot.domain.sessions import Session
    from zekt_bot.operations.broker import Broker

_TOUCH_EVERY = timedelta(minutes=1)
MOST_SHOWN = 50
_BATCH = 20
_PATIENCE = 3.0  # seconds that somebody who signs out waits for GitHub
_log = structlog.get_logger()


def admission(settings: Settings) -> Admission:
    """Who may sign in, as the settings say."""
    return Admission(
        operators=frozenset(settings.operators),
        logins=frozenset(settings.allowed_people),
        accounts=frozenset(settings.allowed_people_of),
    )


async def find(broker: Broker, secret: str) -> Session | None:
    """The living session of the browser that holds `secret`; it counts as seen now.

    Raises:
        StorageUnavailable.
    """
    found = await broker.database.query(sessions.find, fingerprint(secret))
    now = broker.now()
    if found is None or not found.lives(now, broker.settings.session_idle):
        return None
    if now - found.seen_at >= _TOUCH_EVERY:
        await broker.database.write(sessions.touch, (found.hash, now))
    return found


def is_operator(broker: Broker, session: Session) -> bool:
    """Whether this person is an operator: listed, or the one who did the setup."""
    return session.operator or admission(broker.settings).is_operator(session.names)


async def of_person(broker: Broker, person: Person) -> list[Session]:
    """Somebody's own living sessions, the one seen last first.

    Raises:
        StorageUnavailable.
    """
    found = await broker.database.query(sessions.of_person, person.id, MOST_SHOWN)
    now, idle = broker.now(), broker.settings.session_idle
    return [each for each in found if each.lives(now, idle)]


async def end(broker: Broker, person: Person, hash_: str) -> None:
    """End one of this person's own sessions and let its token die at GitHub.

    Raises:
        NotFound: they have no such session.
        StorageUnavailable.
    """
    entry = await broker.entry("person:session:ended", person.actor)
    ending = End(person.id, entry, hash_, broker.now())
    ended = await broker.database.write(sessions.end, ending)
    if not ended:
        raise NotFound("There is no such session, or it has ended.")
    await give_back(broker, ended)


async def withdrawn(broker: Broker, account_id: int) -> int:
    """GitHub says that this person withdrew their authorization: answers how many sessions ended.

    Raises:
        StorageUnavailable.
    """
    entry = await broker.entry("github:authorization:revoked", GITHUB, account_id=account_id)
    return len(await broker.database.write(sessions.end, End(account_id, entry)))


async def choose_view(broker: Broker, person: Person, view: str) -> None:
    """Remember what this person likes to see first; it keeps them from nothing.

    Raises:
        InvalidInput, StorageUnavailable.
    """
    chosen = next((each for each in VIEWS if each == view), None)
    if chosen is None:
        raise InvalidInput("Choose one. You can change it later.")
    await broker.database.write(sessions.choose_view, (person.id, chosen))


async def shut_out(broker: Broker, account_id: int, actor: str) -> None:
    """End all sessions of a person of whom nothing is kept, and let their tokens die at GitHub.

    Raises:
        StorageUnavailable.
    """
    entry = await broker.entry("person:session:ended", actor, account_id=account_id)
    ending = End(account_id, entry, now=broker.now())
    ended = await broker.database.write(sessions.end, ending)
    await asyncio.gather(*_giving_back(broker, ended))  # the process that asks may end then


async def give_back(broker: Broker, ended: dict[str, bytes]) -> None:
    """Let the tokens of ended sessions (hash → sealed) die at GitHub, all at once.

    The sessions are over already: what GitHub does not do in time it may do when nobody waits any
    more, and what it does not do now `clear` has it do later.
    """
    if ended:
        await asyncio.wait(_giving_back(broker, ended), timeout=_PATIENCE)


def _giving_back(broker: Broker, ended: dict[str, bytes]) -> list[asyncio.Task[None]]:
    return [
        broker.under_way.once(f"give back {hash_}", partial(_given_back, broker, hash_, body))
        for hash_, body in ended.items()
    ]


async def _given_back(broker: Broker, hash_: str, body: bytes) -> None:
    try:
        await user_tokens.give_back(broker, hash_, body)
    except ZektError as error:
        level = _log.info if isinstance(error, GitHubError) else _log.warning
        level("session.token_not_revoked", error=type(error).__name__)


async def clear(broker: Broker, stopping: Callable[[], bool]) -> None:
    """Forget sessions that are over once their tokens are dead at GitHub, until `stopping`.

    What GitHub does not do now is left for the next time.

    Raises:
        StorageUnavailable.
    """
    done = False
    while not (done or stopping()):
        idle = broker.settings.session_idle
        over = await broker.database.query(ended_sessions.over, broker.now(), idle, _BATCH)
        cleared = [await _cleared(broker, hash_, body) for hash_, body in over.items()]
        done = len(over) < _BATCH or not all(cleared)


async def _cleared(broker: Broker, hash_: str, body: bytes) -> bool:
    try:
        await user_tokens.give_back(broker, hash_, body)
    except (GitHubError, ConfigurationError) as error:
        _log.info("session.token_not_revoked", error=type(error).__name__)
        return False
    except DecryptionFailed:
        _log.warning("session.token_not_revoked", error="DecryptionFailed")
        dead = ended_sessions.Dead(hash_, body, broker.now())
        await broker.database.write(ended_sessions.drop, dead)
    return True
