"""The first setup: one link, one browser, each step in order, and its end."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.db.rows import stored
from tests.operations.setting_up import (
    BROWSER,
    ME,
    MONA,
    OTHER_BROWSER,
    Scene,
    open_scene,
    scene,
)
from zekt_bot.config import AppCredentials
from zekt_bot.db import admissions
from zekt_bot.db.admissions import Listed
from zekt_bot.db.tables import audit
from zekt_bot.db.tables import setup as table
from zekt_bot.domain.access import Person
from zekt_bot.errors import AccessDenied, Conflict, InvalidInput, NotFound
from zekt_bot.operations import accounts, erasure, operators, setup, setup_apps
from zekt_bot.operations.setup_apps import Draft

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sqlalchemy import Connection

    from zekt_bot.config import App
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker
    from zekt_bot.testing import ManualClock

__all__ = ["scene"]

OUTSIDE = AppCredentials("12", "pem", (b"a secret of the hook",), "environment")


def token_of(link: str | None) -> str:
    assert link is not None
    start, _, token = link.partition("?token=")
    assert start == "https://zekt.example/setup"
    return token


async def test_a_link_lets_one_browser_in_once(scene: Scene) -> None:
    token = token_of(await setup.new_link(scene.broker, ME))
    assert await setup.principal_of(scene.broker, BROWSER) is None
    await setup.enter(scene.broker, token, BROWSER)
    assert await setup.principal_of(scene.broker, BROWSER) is not None
    assert await setup.principal_of(scene.broker, OTHER_BROWSER) is None
    with pytest.raises(AccessDenied, match="zekt setup-link"):
        await setup.enter(scene.broker, token, OTHER_BROWSER)
    (row,) = await stored(scene.broker.database, table)
    assert token not in repr(row)
    assert BROWSER not in repr(row)


async def test_a_link_is_good_for_a_day_and_a_browser_for_half_of_one(scene: Scene) -> None:
    token = token_of(await setup.new_link(scene.broker, ME))
    scene.clock.advance(setup.LINK_LIFE)
    with pytest.raises(AccessDenied):
        await setup.enter(scene.broker, token, BROWSER)
    await setup.enter(scene.broker, token_of(await setup.new_link(scene.broker, ME)), BROWSER)
    scene.clock.advance(setup.BROWSER_LIFE - timedelta(seconds=1))
    assert await setup.principal_of(scene.broker, BROWSER) is not None
    scene.clock.advance(timedelta(seconds=1))
    assert await setup.principal_of(scene.broker, BROWSER) is None


async def test_a_newer_link_takes_the_former_ones_place_and_its_browsers(scene: Scene) -> None:
    former = token_of(await setup.new_link(scene.broker, ME))
    await setup.enter(scene.broker, token_of(await setup.new_link(scene.broker, ME)), BROWSER)
    with pytest.raises(AccessDenied):
        await setup.enter(scene.broker, former, OTHER_BROWSER)
    newest = token_of(await setup.new_link(scene.broker, ME))
    assert await setup.principal_of(scene.broker, BROWSER) is None
    await setup.enter(scene.broker, newest, OTHER_BROWSER)


async def test_the_first_start_of_all_processes_has_one_link(scene: Scene) -> None:
    token = token_of(await setup.first_link(scene.broker))
    async with scene.another() as second:
        assert await setup.first_link(second) is None
        await setup.enter(second, token, BROWSER)
    assert await setup.principal_of(scene.broker, BROWSER) is not None


async def test_where_the_environment_names_both_apps_no_link_is_printed(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    both: dict[str, Any] = {
        "oauth": AppCredentials(client_id="Ov1", client_secret="hush"),
        "orchestrator": OUTSIDE,
    }
    async with open_scene(migrated_sqlite, clock, **both) as scene:
        assert await setup.first_link(scene.broker) is None
        found = await setup.progress(scene.broker, ME)
        assert found.oauth.from_environment
        assert found.oauth.is_classic
        assert found.next == "operator"
        for app in setup.APPS:
            with pytest.raises(Conflict, match=f"ZEKT_{app.upper()}_APP_ID"):
                await setup_apps.begin(scene.broker, ME, app, Draft("Zekt"), BROWSER)


@pytest.mark.parametrize(
    ("app", "name", "alone"),
    [
        ("orchestrator", "WEBHOOK_SECRET", AppCredentials(webhook_secrets=(b"a hook's secret",))),
        ("oauth", "WEBHOOK_SECRET", AppCredentials(webhook_secrets=(b"a hook's secret",))),
        ("oauth", "CLIENT_SECRET", AppCredentials(client_secret="hush")),
    ],
)
async def test_a_secret_that_would_win_over_githubs_is_named_before_the_app_is_made(
    migrated_sqlite: str, clock: ManualClock, app: App, name: str, alone: AppCredentials
) -> None:
    own: dict[str, Any] = {app: alone}
    async with open_scene(migrated_sqlite, clock, **own) as scene:
        with pytest.raises(Conflict, match=f"ZEKT_{app.upper()}_{name} is set"):
            await setup_apps.begin(scene.broker, ME, app, Draft("Zekt"), BROWSER)


async def test_it_goes_on_where_it_was_left(scene: Scene) -> None:
    steps = []

    async def step() -> None:
        steps.append((await setup.progress(scene.broker, ME)).next)

    await step()
    await scene.make("oauth")
    await step()
    await scene.make("orchestrator")
    await step()
    assert await setup.become_operator(scene.broker, ME, MONA) is True
    assert await setup.become_operator(scene.broker, ME, MONA) is False
    await step()
    scene.github.account("aurora-labs")
    await setup.choose_accounts(scene.broker, ME, ["Aurora-Labs", "aurora-labs"])
    await step()
    await setup.finish(scene.broker, ME)
    await step()
    assert steps == ["oauth", "orchestrator", "operator", "accounts", "install", "finished"]
    found = await setup.progress(scene.broker, ME)
    assert found.operators == ("mona",)
    assert found.accounts == ("aurora-labs",)
    assert found.orchestrator.html_url == f"{scene.github.web_url}/apps/zekt-of-aurora"
    verbs = {row["verb"] for row in await stored(scene.broker.database, audit)}
    assert {
        "person:app:created",
        "person:operator:made",
        "person:accounts:listed",
        "person:setup:finished",
    } <= verbs


async def test_operators_of_the_settings_count(scene: Scene) -> None:
    async with scene.another(operators=("ada",)) as broker:
        await scene.make("oauth")
        await scene.make("orchestrator")
        found = await setup.progress(broker, ME)
    assert (found.operators, found.next) == (("ada",), "accounts")


async def test_nothing_is_left_out_and_the_end_is_the_end(scene: Scene) -> None:
    await setup.enter(scene.broker, token_of(await setup.new_link(scene.broker, ME)), BROWSER)
    for do in (
        lambda: scene.make("oauth"),
        lambda: scene.make("orchestrator"),
        lambda: setup.become_operator(scene.broker, ME, MONA),
        lambda: setup.choose_accounts(scene.broker, ME, []),
    ):
        with pytest.raises(Conflict):
            await setup.finish(scene.broker, ME)
        await do()
    fresh = await setup.new_link(scene.broker, ME)
    await setup.finish(scene.broker, ME)
    assert await setup.principal_of(scene.broker, BROWSER) is None
    with pytest.raises(AccessDenied):
        await setup.enter(scene.broker, token_of(fresh), BROWSER)
    for again in (setup.finish, setup.new_link):
        with pytest.raises(Conflict, match="finished"):
            await again(scene.broker, ME)
    assert await setup.first_link(scene.broker) is None
    assert await setup.become_operator(scene.broker, ME, MONA) is False


async def test_a_finished_setup_is_opened_again_by_a_link_that_is_used(scene: Scene) -> None:
    await scene.until_operator()
    await setup.choose_accounts(scene.broker, ME, [])
    await setup.finish(scene.broker, ME)
    unused = token_of(await setup.new_link(scene.broker, ME, again=True))
    assert await setup.is_finished(scene.broker)
    assert await setup.principal_of(scene.broker, BROWSER) is None
    token = token_of(await setup.new_link(scene.broker, ME, again=True))
    with pytest.raises(AccessDenied):
        await setup.enter(scene.broker, unused, OTHER_BROWSER)
    await setup.enter(scene.broker, token, BROWSER)
    assert not await setup.is_finished(scene.broker)
    who = await setup.principal_of(scene.broker, BROWSER)
    assert who is not None
    assert await setup.principal_of(scene.broker, OTHER_BROWSER) is None
    with pytest.raises(AccessDenied):
        await setup.enter(scene.broker, token, OTHER_BROWSER)
    await setup_apps.forget(scene.broker, who, "oauth")
    assert (await setup.progress(scene.broker, who)).next == "oauth"
    answer = await scene.sent_again("oauth")
    await setup_apps.created(scene.broker, who, "oauth", answer, BROWSER)
    scene.clock.advance(timedelta(seconds=5))
    assert await setup.become_operator(scene.broker, who, Person(7, "ada"))
    await setup.finish(scene.broker, who)
    assert await setup.principal_of(scene.broker, BROWSER) is None
    offered = [
        row
        for row in await stored(scene.broker.database, audit)
        if row["verb"] == "zekt:setup:offered"
    ]
    assert [json.loads(row["details"]) for row in offered] == [{"again": 1}, {"again": 1}]


async def test_a_link_that_opens_it_again_is_dead_once_the_setup_ends(scene: Scene) -> None:
    await scene.until_operator()
    await setup.choose_accounts(scene.broker, ME, [])
    await setup.finish(scene.broker, ME)
    first = token_of(await setup.new_link(scene.broker, ME, again=True))
    await setup.enter(scene.broker, first, BROWSER)
    second = token_of(await setup.new_link(scene.broker, ME))
    assert await setup.principal_of(scene.broker, BROWSER) is None
    await setup.finish(scene.broker, ME)
    with pytest.raises(AccessDenied):
        await setup.enter(scene.broker, second, BROWSER)


async def test_an_operator_of_the_setup_can_be_removed(scene: Scene) -> None:
    await setup.become_operator(scene.broker, ME, MONA)
    async with scene.another(operators=("ada",)) as broker:
        listed = await operators.list_operators(broker, ME)
        assert [(one["login"], one["made_by"]) for one in listed] == [
            ("ada", "ZEKT_OPERATORS"),
            ("mona", "setup"),
        ]
        assert len(await operators.list_operators(broker, ME, after="ada")) == 1
        with pytest.raises(Conflict, match="ZEKT_OPERATORS"):
            await operators.remove(broker, ME, "ADA")
        await operators.remove(broker, ME, "Mona")
        with pytest.raises(NotFound, match="zekt operators list"):
            await operators.remove(broker, ME, "mona")
    assert await operators.list_operators(scene.broker, ME) == []
    verbs = [row["verb"] for row in await stored(scene.broker.database, audit)]
    assert verbs == ["person:operator:made", "person:operator:removed"]


async def test_who_is_no_operator_may_do_none_of_it(scene: Scene) -> None:
    deeds: tuple[Callable[[Broker, Principal], Awaitable[object]], ...] = (
        setup.new_link,
        setup.progress,
        setup.finish,
        lambda broker, who: setup.become_operator(broker, who, MONA),
        lambda broker, who: setup.choose_accounts(broker, who, []),
        lambda broker, who: setup_apps.begin(broker, who, "oauth", Draft("Zekt"), BROWSER),
        lambda broker, who: setup_apps.created(broker, who, "oauth", ("c", "s"), BROWSER),
        lambda broker, who: setup_apps.forget(broker, who, "oauth"),
        lambda broker, who: setup.new_link(broker, who, again=True),
        operators.list_operators,
        lambda broker, who: operators.remove(broker, who, "mona"),
    )
    for deed in deeds:
        with pytest.raises(AccessDenied, match="mona may not"):
            await deed(scene.broker, MONA)
    assert await stored(scene.broker.database, audit) == []


async def test_listed_accounts_are_served_and_no_others_until_the_environment_lists_some(
    scene: Scene,
) -> None:
    aurora, kestrel = scene.github.account("aurora-labs"), scene.github.account("kestrel-bank")
    asking = {aurora.id: aurora.login, kestrel.id: kestrel.login}
    now, query = scene.clock.now(), scene.broker.database.write

    async def admitted(*environment: str) -> set[int]:
        return await query(_admitted, (Listed(environment, now), asking))

    assert await admitted() == set(asking)
    await setup.choose_accounts(scene.broker, ME, ["Aurora-Labs"])
    assert await admitted() == {aurora.id}
    assert await admitted("kestrel-bank") == {kestrel.id}
    await setup.choose_accounts(scene.broker, ME, [])
    assert await admitted() == set(asking)
    with pytest.raises(NotFound):
        await setup.choose_accounts(scene.broker, ME, ["nobody-at-all"])
    with pytest.raises(InvalidInput):
        await setup.choose_accounts(scene.broker, ME, ["a"] * 201)
    async with scene.another(allowed_accounts=("kestrel-bank",)) as listing:
        assert (await setup.progress(listing, ME)).accounts_from_environment
        with pytest.raises(Conflict, match="ZEKT_ALLOWED_ACCOUNTS"):
            await setup.choose_accounts(listing, ME, [])


async def test_nobody_is_served_between_the_app_and_the_decision(scene: Scene) -> None:
    aurora = scene.github.account("aurora-labs")

    async def admitted() -> set[int]:
        row = (Listed((), scene.clock.now()), {aurora.id: aurora.login})
        return await scene.broker.database.write(_admitted, row)

    await setup.new_link(scene.broker, ME)
    await scene.until_operator()
    assert await admitted() == set()
    assert (await setup.progress(scene.broker, ME)).next == "accounts"
    await setup.choose_accounts(scene.broker, ME, [])
    assert await admitted() == {aurora.id}


async def test_who_is_erased_is_listed_no_more_and_that_lets_nobody_in_instead(
    scene: Scene,
) -> None:
    aurora, kestrel = scene.github.account("aurora-labs"), scene.github.account("kestrel-bank")
    asking = {aurora.id: aurora.login, kestrel.id: kestrel.login}

    async def admitted() -> set[int]:
        row = (Listed((), scene.clock.now()), asking)
        return await scene.broker.database.write(_admitted, row)

    await setup.choose_accounts(scene.broker, ME, ["aurora-labs", "kestrel-bank"])
    for account in (aurora, kestrel):
        await accounts.allow(scene.broker, ME, account.login)
    assert await admitted() == {aurora.id, kestrel.id}
    kestrel.login = "kestrel-moved"
    await erasure.erase(scene.broker, ME, "kestrel-bank")
    assert (await setup.progress(scene.broker, ME)).accounts == ("aurora-labs",)
    await erasure.erase(scene.broker, ME, "aurora-labs")
    found = await setup.progress(scene.broker, ME)
    assert found.accounts is None
    assert await admitted() == set()
    aurora.login = "aurora-moved"
    stranger = scene.github.account("aurora-labs")
    asking[stranger.id] = stranger.login
    assert await admitted() == set()
    (row,) = await stored(scene.broker.database, table)
    assert "aurora" not in row["accounts"]


def _admitted(
    connection: Connection, rows: Sequence[tuple[Listed, dict[int, str]]]
) -> list[set[int]]:
    return [admissions.admitted(connection, *row) for row in rows]


@pytest.mark.parametrize(
    ("url", "concern"),
    [
        ("https://zekt.example", None),
        ("http://zekt.example", "http"),
        ("http://localhost:8080", "localhost"),
        ("https://127.0.0.1", "localhost"),
        ("http://zekt.localhost", "localhost"),
    ],
)
def test_an_address_that_github_refuses_is_told(url: str, concern: str | None) -> None:
    assert setup.concern(url, "https://github.com") == concern


def test_a_github_on_this_machine_reaches_this_machine() -> None:
    assert setup.concern("http://localhost:8080", "http://127.0.0.1:3000") is None
    assert setup.concern("http://zekt.example", "http://127.0.0.1:3000") == "http"
