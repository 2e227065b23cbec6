"""The profile: what it recommends, and what is kept of oneself, taken along and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from tests.db.rows import stored
from tests.stage import ME
from zekt_bot.db import mirror
from zekt_bot.db.tables import audit, installations, people, principals, sessions
from zekt_bot.domain.access import Person
from zekt_bot.domain.catalog import Account
from zekt_bot.operations import setup
from zekt_bot.operations.installations import look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from tests.web.console.console import Console

_VERB = "github:installation:reconciled"


async def installed_by_maja(console: Console) -> int:
    """The App on their own account; Zekt heard who did it."""
    own = await console.github.install(console.orchestrator, console.maja)
    await look(console.broker, own.id, [], _VERB)
    person = Account(console.maja.id, console.maja.login, "User")

    def note(connection: Connection, rows: Sequence[int]) -> list[None]:
        for each in rows:
            mirror.set_installer(connection, each, person)
        return [None] * len(rows)

    await console.broker.database.write(note, own.id)
    return own.id


async def test_two_factor_sign_in_is_recommended_with_the_page_that_turns_it_on(
    console: Console,
) -> None:
    browser = console.browser()
    await console.sign_in(browser)
    page = await browser.get("/me")
    assert "Keep two-factor sign-in on" in page.words
    assert "Whether it is on, GitHub tells only you." in page.words
    assert f'href="{console.github.web_url}/settings/security"' in page.text


async def test_what_is_kept_of_oneself_is_downloaded_without_a_token(on_each: Console) -> None:
    installation_id = await installed_by_maja(on_each)
    browser = on_each.browser()
    await on_each.sign_in(browser)
    got = await browser.get("/me/export")
    assert got.headers["Content-Disposition"] == 'attachment; filename="zekt-maja-lind.json"'
    assert got.headers["Cache-Control"] == "no-store"
    kept = orjson.loads(got.text)
    assert (kept["person"]["login"], kept["operator"]) == ("maja-lind", None)
    assert kept["principal"]["id"] == f"person:{on_each.maja.id}"
    (session,) = kept["sessions"]
    assert set(session) == {"device", "started_at", "seen_at", "expires_at", "token_expires_at"}
    (hand,) = kept["installations"]
    assert (hand["id"], bool(hand["installed"]), bool(hand["suspended"])) == (
        installation_id,
        True,
        False,
    )
    for token in on_each.github.core.people.tokens.values():
        assert token.value not in got.text
    verbs = [row["verb"] for row in await stored(on_each.broker.database, audit)]
    assert verbs[-1] == "person:profile:exported"


async def test_deleted_all_sessions_end_and_the_audit_keeps_the_number_alone(
    on_each: Console,
) -> None:
    await installed_by_maja(on_each)
    browser, another = on_each.browser(), on_each.browser()
    for each in (browser, another):
        await on_each.sign_in(each)
    ask = await browser.get("/me/delete")
    wrong = await browser.send(ask, "/me/delete", login="maja")
    assert (wrong.status, "Type maja-lind, your login." in wrong.words) == (422, True)
    done = await browser.send(ask, "/me/delete", login="Maja-Lind")
    assert done.location == "/login"
    assert "zekt-session" not in browser.cookies
    assert (await another.get("/me")).status == 303
    assert all(token.revoked for token in on_each.github.core.people.tokens.values())
    database = on_each.broker.database
    assert (await stored(database, people), await stored(database, sessions)) == ([], [])
    actor = f"person:{on_each.maja.id}"
    names = {row["id"]: row["name"] for row in await stored(database, principals)}
    assert names[actor] is None
    assert {row["installed_by"] for row in await stored(database, installations)} == {None}
    told = [row for row in await stored(database, audit) if row["actor"] == actor]
    assert told[-1]["verb"] == "person:profile:deleted"
    await on_each.sign_in(browser)
    assert (await browser.get("/welcome")).status == 200  # as for the first time


async def test_an_operator_hands_that_over_first(console: Console) -> None:
    browser = console.browser()
    await console.sign_in(browser)
    maja = Person(console.maja.id, console.maja.login)
    await setup.become_operator(console.broker, ME, maja)
    ask = await browser.get("/me/delete")
    assert "zekt operators remove maja-lind" in ask.words
    profile = await browser.get("/me")
    refused = await browser.send(profile, "/me/delete", login="maja-lind")
    assert (refused.status, (await browser.get("/me")).status) == (409, 200)
