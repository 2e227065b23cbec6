"""A person's token: renewed in time, once however many ask, and the session ends with it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from structlog.testing import capture_logs

from tests.db.rows import KEY, stored
from tests.testing.walker import Walker
from zekt_bot.app import open_broker
from zekt_bot.config import AppCredentials, Settings
from zekt_bot.db import sessions as rows
from zekt_bot.db.tables import audit, sessions
from zekt_bot.errors import (
    GitHubAnswered,
    GitHubUnreachable,
    OutcomeUnknown,
    SessionEnded,
    StorageUnavailable,
    TokenRefused,
)
from zekt_bot.operations import sign_in, user_tokens
from zekt_bot.operations.sessions import find
from zekt_bot.testing import GitHubSimulator, ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.domain.sessions import Session
    from zekt_bot.operations.broker import Broker
    from zekt_bot.testing import Account, App

BROWSER = "b" * 43


class People:
    """`maja`, signed in, at brokers that share a database."""

    def __init__(
        self, github: GitHubSimulator, app: App, maja: Account, settings: Settings
    ) -> None:
        self.github, self.app, self.maja, self.settings = github, app, maja, settings

    async def sign_in(self, broker: Broker) -> Session:
        url = await sign_in.begin(broker, BROWSER, "/")
        async with Walker(self.github.web_url) as walker:
            away = await walker.through(await walker.open(url), "maja-lind")
        query = dict(parse_qsl(away.split("?", 1)[1]))
        signed_in = await sign_in.finish(broker, sign_in.Return(BROWSER, query, "Firefox"))
        found = await find(broker, signed_in.secret)
        assert found is not None
        return found

    @property
    def refreshes(self) -> int:
        asked = [one for one in self.github.requests if one.path.endswith("/access_token")]
        return sum(b"grant_type=refresh_token" in one.body for one in asked)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def there(migrated_url: str, clock: ManualClock) -> AsyncIterator[People]:
    async with GitHubSimulator(clock) as github:
        callback = "http://localhost:8080/auth/github/callback"
        app = github.app("zekt-sign-in", events=(), callback_urls=[callback])
        settings = Settings(
            database_url=migrated_url,
            secret_keys=(KEY,),
            github_url=github.web_url,
            github_api_url=github.api_url,
            oauth=AppCredentials(
                str(app.id), client_id=app.client_id, client_secret=app.client_secret, version="1"
            ),
        )
        yield People(github, app, github.account("maja-lind", "User"), settings)


@pytest.fixture
async def broker(there: People, clock: ManualClock) -> AsyncIterator[Broker]:
    async with open_broker(there.settings, clock) as opened:
        yield opened


async def who(broker: Broker, session: Session) -> object:
    """Ask GitHub as the person, as a page does."""

    async def ask(token: str) -> object:
        answer = await broker.oauth.ask(token, "/user")
        if answer.status != 200:
            raise answer.error()
        return answer.mapping()["login"]

    return await user_tokens.with_token(broker, session, ask)


async def ticking(clock: ManualClock) -> None:
    """Let those wait who look again in a moment."""
    while True:
        await asyncio.sleep(0.01)
        clock.advance(timedelta(seconds=0.2))


async def test_a_token_is_used_as_it_is_while_it_is_good(
    there: People, broker: Broker, clock: ManualClock
) -> None:
    session = await there.sign_in(broker)
    clock.advance(timedelta(hours=7, minutes=49))
    assert await who(broker, session) == "maja-lind"
    assert there.refreshes == 0


async def test_it_is_renewed_before_its_end_once_however_many_ask(
    there: People, broker: Broker, clock: ManualClock
) -> None:
    session = await there.sign_in(broker)
    clock.advance(timedelta(hours=7, minutes=55))
    async with open_broker(there.settings, clock) as other:
        ticks = asyncio.create_task(ticking(clock))
        each = [who(one, session) for one in (broker, other) for _ in range(10)]
        assert set(await asyncio.gather(*each)) == {"maja-lind"}
        ticks.cancel()
    assert there.refreshes == 1
    (row,) = await stored(broker.database, sessions)
    assert (row["version"], row["lease"], row["leased_until"]) == (2, None, None)


async def test_a_process_that_died_while_renewing_holds_nobody_up_for_long(
    there: People, broker: Broker, clock: ManualClock
) -> None:
    session = await there.sign_in(broker)
    clock.advance(timedelta(hours=7, minutes=55))
    now = clock.now()
    dead = rows.Lease(session.hash, 1, "of a dead process", now, now + timedelta(seconds=30))
    assert await broker.database.write(rows.lease, dead)
    ticks = asyncio.create_task(ticking(clock))
    assert await who(broker, session) == "maja-lind"
    ticks.cancel()
    assert clock.now() >= now + timedelta(seconds=30)
    late = rows.Renewal(session.hash, "of a dead process", clock.now(), b"late", None)
    assert not await broker.database.write(rows.renew, late)


async def test_github_s_outage_ends_no_session(
    there: People, broker: Broker, clock: ManualClock
) -> None:
    session = await there.sign_in(broker)
    clock.advance(timedelta(hours=7, minutes=55))
    there.github.fail("POST", "/login/oauth/access_token", reset=True)
    with pytest.raises(GitHubUnreachable):
        await who(broker, session)
    assert await who(broker, session) == "maja-lind"
    there.github.fail("GET", "/user", status=500)
    with pytest.raises(GitHubAnswered):
        await who(broker, session)
    assert await who(broker, session) == "maja-lind"


@pytest.mark.parametrize("withdrawn", [False, True])
async def test_pages_that_are_loaded_together_ask_once_whether_a_session_stands(
    there: People, broker: Broker, clock: ManualClock, withdrawn: bool
) -> None:
    session = await there.sign_in(broker)
    if withdrawn:
        with there.github.outage():
            await there.github.revoke_authorization(there.app, there.maja)
    before = len(there.github.requests)
    for _ in range(2):
        clock.advance(timedelta(minutes=6))
        each = [user_tokens.confirm(broker, session, timedelta(minutes=5)) for _ in range(5)]
        heard = await asyncio.gather(*each, return_exceptions=True)
        assert [type(one) for one in heard] == [SessionEnded if withdrawn else type(None)] * 5
    asked = [one for one in there.github.requests[before:] if one.path == "/user"]
    assert len(asked) == (1 if withdrawn else 2)


@pytest.mark.parametrize("at", [timedelta(hours=1), timedelta(hours=9)])
async def test_a_session_ends_with_its_authorization(
    there: People, broker: Broker, clock: ManualClock, at: timedelta
) -> None:
    session = await there.sign_in(broker)
    with there.github.outage():
        await there.github.revoke_authorization(there.app, there.maja)
    clock.advance(at)
    with pytest.raises(SessionEnded):
        await who(broker, session)
    assert await stored(broker.database, sessions) == []
    told = [row["verb"] for row in await stored(broker.database, audit)]
    assert sorted(told) == ["github:authorization:refused", "person:session:started"]
    with pytest.raises(SessionEnded):
        await who(broker, session)


async def test_a_401_of_a_token_that_was_just_renewed_is_asked_once_more(
    there: People, broker: Broker, clock: ManualClock
) -> None:
    session = await there.sign_in(broker)
    seen: list[str] = []

    async def ask(token: str) -> str:
        seen.append(token)
        if len(seen) > 1:
            return "done"
        clock.advance(timedelta(hours=7, minutes=55))
        await who(broker, session)  # somebody else renews it meanwhile
        raise GitHubAnswered(401)

    assert await user_tokens.with_token(broker, session, ask) == "done"
    assert len(set(seen)) == 2

    async def refused(_: str) -> str:
        clock.advance(timedelta(hours=7, minutes=55))
        raise GitHubAnswered(401)

    with pytest.raises(SessionEnded):
        await user_tokens.with_token(broker, session, refused)


async def test_a_token_of_another_app_is_worth_nothing(
    there: People, broker: Broker, clock: ManualClock
) -> None:
    session = await there.sign_in(broker)
    clock.advance(timedelta(hours=7, minutes=55))
    other = there.github.app("another", events=())
    held = AppCredentials(
        str(other.id), client_id=other.client_id, client_secret=other.client_secret, version="2"
    )
    async with open_broker(replace(there.settings, oauth=held), clock) as changed:
        with pytest.raises(SessionEnded):
            await who(changed, session)
    assert there.refreshes == 0


async def test_a_server_that_github_does_not_know_ends_no_session(
    there: People, broker: Broker, clock: ManualClock
) -> None:
    """Only a token that is dead is the person's will; a wrong client secret is the server's."""
    session, secret = await there.sign_in(broker), there.app.client_secret
    clock.advance(timedelta(hours=7, minutes=55))
    there.app.client_secret = "another"
    with pytest.raises(TokenRefused, match="incorrect_client_credentials"):
        await who(broker, session)
    there.app.client_secret = secret
    assert await who(broker, session) == "maja-lind"


@pytest.mark.parametrize("loses", [StorageUnavailable, OutcomeUnknown])
async def test_a_database_that_is_away_for_a_moment_loses_no_token(
    there: People,
    broker: Broker,
    clock: ManualClock,
    loses: type[StorageUnavailable],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = await there.sign_in(broker)
    clock.advance(timedelta(hours=7, minutes=55))
    write, fails = broker.database.write, [True]

    async def shaky(fn: Any, row: Any, **more: Any) -> Any:
        if fn is not rows.renew or not fails:
            return await write(fn, row, **more)
        fails.pop()
        if loses is OutcomeUnknown:
            await write(fn, row, **more)
        raise loses

    monkeypatch.setattr(broker.database, "write", shaky)
    ticks = asyncio.create_task(ticking(clock))
    assert await who(broker, session) == "maja-lind"
    ticks.cancel()
    assert await who(broker, session) == "maja-lind"
    assert there.refreshes == 1


async def test_a_token_that_cannot_be_stored_dies_and_the_person_signs_in_again(
    there: People, broker: Broker, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await there.sign_in(broker)
    clock.advance(timedelta(hours=7, minutes=55))
    write, began = broker.database.write, clock.now()

    async def away(fn: Any, row: Any, **more: Any) -> Any:
        if fn is rows.renew:
            raise StorageUnavailable
        return await write(fn, row, **more)

    monkeypatch.setattr(broker.database, "write", away)
    ticks = asyncio.create_task(ticking(clock))
    with capture_logs() as logs, pytest.raises(StorageUnavailable):
        await who(broker, session)
    assert clock.now() - began >= timedelta(seconds=20)
    assert [each["log_level"] for each in logs if "token_not_stored" in each["event"]] == [
        "warning"
    ]
    assert [token.revoked for token in there.github.core.people.tokens.values()][-1]
    monkeypatch.setattr(broker.database, "write", write)
    with pytest.raises(SessionEnded):
        await who(broker, session)
    ticks.cancel()
    assert await stored(broker.database, sessions) == []
