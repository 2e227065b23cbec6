"""Which accounts this server works for."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from tests.operations.news import mirrored
from tests.operations.people import people
from tests.stage import ME, SERVICE, open_stage
from zekt_bot.db.tables import accounts as accounts_table
from zekt_bot.db.tables import deliveries, installations, messages, repositories, runs
from zekt_bot.errors import AccessDenied, Conflict, InvalidInput, NotFound
from zekt_bot.operations import accounts, services, subscriptions
from zekt_bot.operations import repositories as taking_part
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from tests.stage import Stage

AURORA, KESTREL = "aurora-labs", "kestrel-bank"
CONSUMER = "kestrel-bank/core-sync"


async def test_only_operators_rule(stage: Stage) -> None:
    ada = people(stage).ada
    for step in (accounts.allow, accounts.block, accounts.show):
        with pytest.raises(AccessDenied):
            await step(stage.broker, ada, AURORA)
    with pytest.raises(AccessDenied):
        await accounts.list_accounts(stage.broker, ada)
    assert await stage.rows(accounts_table) == []


async def test_a_login_is_resolved_to_its_id_once(stage: Stage) -> None:
    assert await accounts.block(stage.broker, ME, "Aurora-LABS")
    assert not await accounts.block(stage.broker, ME, AURORA)
    shown = await accounts.show(stage.broker, ME, AURORA)
    assert (shown["id"], shown["rule"], shown["rule_by"]) == (
        stage.provider.owner.id,
        "block",
        ME.actor,
    )
    with pytest.raises(NotFound):
        await accounts.block(stage.broker, ME, "nobody-there")
    with pytest.raises(NotFound):
        await accounts.show(stage.broker, ME, KESTREL)
    await accounts.allow(stage.broker, ME, KESTREL)
    listed = await accounts.list_accounts(stage.broker, ME, limit=1, after=AURORA)
    assert [row["login"] for row in listed] == [KESTREL]
    blocked = await accounts.list_accounts(stage.broker, ME, rule="block")
    assert [row["login"] for row in blocked] == [AURORA]
    for wrong in ({"limit": 0}, {"rule": "other"}):
        with pytest.raises(InvalidInput):
            await accounts.list_accounts(stage.broker, ME, **wrong)


@pytest.mark.parametrize("login", [AURORA, KESTREL])
async def test_between_blocked_accounts_nothing_goes(stage: Stage, login: str) -> None:
    await stage.serve()
    await stage.finish_run("build")
    await stage.prepare()
    before = await mirrored(stage, stage.provider)
    await accounts.block(stage.broker, ME, login)
    after = await mirrored(stage, stage.provider)
    assert before is not None
    assert after is not None
    assert after.blocked is (login == AURORA)
    assert (after.version > before.version) is (login == AURORA)
    await stage.deliver()
    row = await stage.row(deliveries)
    assert (row["state"], row["blocked_reason"]) == ("blocked", "account_blocked")
    assert stage.github.dispatches == []


async def test_services_of_a_blocked_account_are_neither_listed_nor_asked_for(stage: Stage) -> None:
    mia = people(stage).mia
    await stage.publish()
    for rule, offered in ((accounts.block, False), (accounts.allow, True)):
        await rule(stage.broker, ME, AURORA)
        listed = await services.list_services(stage.broker, mia)
        assert [each["service"] for each in listed] == [SERVICE] * offered
        with nullcontext() if offered else pytest.raises(Conflict, match="not available"):
            await subscriptions.request(stage.broker, mia, Ends(SERVICE, CONSUMER))


async def test_of_a_blocked_account_nothing_is_stored(stage: Stage) -> None:
    await stage.serve()
    await accounts.block(stage.broker, ME, AURORA)
    run = await stage.finish_run("build")
    assert {receipt.ignored for receipt in await stage.take()} == {"account_not_admitted"}
    with pytest.raises(NotFound):
        await stage.post(run)
    assert await stage.rows(runs) == []
    assert await stage.rows(messages) == []
    await stage.github.suspend(stage.providing)
    await stage.listen()
    assert [row["state"] for row in await stage.rows(installations)] == ["suspended", "active"]


async def test_who_is_not_admitted_can_neither_provide_nor_consume(migrated_url: str) -> None:
    async with open_stage(migrated_url, allowed_accounts=(AURORA,)) as stage:
        await stage.publish()
        for step in (
            taking_part.enable(stage.broker, ME, CONSUMER),
            subscriptions.request(stage.broker, ME, Ends(SERVICE, CONSUMER)),
        ):
            with pytest.raises(Conflict, match="zekt accounts allow kestrel-bank"):
                await step
        known = await stage.rows(repositories)
        assert [row["full_name"] for row in known] == ["aurora-labs/payments-api"]
        await accounts.allow(stage.broker, ME, KESTREL)
        await stage.subscribe()
        await stage.finish_run("build")
        assert [outcome.kind for outcome in await stage.flow() if outcome] == ["dispatched"]
        await accounts.block(stage.broker, ME, AURORA)  # goes before the list
        with pytest.raises(Conflict):
            await taking_part.enable(stage.broker, ME, "aurora-labs/payments-api")


async def test_who_left_the_list_is_sent_nothing_any_longer(migrated_url: str) -> None:
    async with open_stage(migrated_url) as stage:
        await stage.serve()
        await stage.finish_run("build")
        await stage.prepare()
        settings = stage.broker.settings
        for listed, blocked in (((AURORA,), True), ((), False), ((AURORA, KESTREL), False)):
            object.__setattr__(settings, "allowed_accounts", listed)
            await accounts.settle(stage.broker)
            found = await mirrored(stage, stage.consumer)
            assert found is not None
            assert found.blocked is blocked
        object.__setattr__(settings, "allowed_accounts", (AURORA,))
        await accounts.settle(stage.broker)
        await stage.deliver()
        assert (await stage.row(deliveries))["blocked_reason"] == "account_blocked"
