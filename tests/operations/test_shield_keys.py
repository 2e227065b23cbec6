"""Keys of consumers: who may register them, whose they are, and when they go."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests import shielding
from tests.operations.people import people
from tests.stage import ME, RELEASE, SERVICE, open_stage
from zekt_bot.db.tables import audit, shield_keys
from zekt_bot.domain.access import WorkflowRun
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.lists import Page
from zekt_bot.domain.shield import Recipient
from zekt_bot.errors import AccessDenied, Conflict, InvalidInput, NotAdmitted, NotFound
from zekt_bot.operations import shield_keys as keys
from zekt_bot.operations import subscriptions
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from tests.stage import Stage
    from zekt_bot.domain.access import Principal

CONSUMER, OWNER = "kestrel-bank/core-sync", "kestrel-bank"
FIRST, SECOND = (shielding.public_pem(shielding.private_key(n)) for n in range(2))


async def added(stage: Stage, whose: str = CONSUMER, pem: str = FIRST) -> str:
    stage.clock.advance(timedelta(seconds=1))
    return (await keys.add(stage.broker, ME, whose, pem)).id


async def recipients(stage: Stage, path: str | None = RELEASE) -> list[Recipient]:
    """As a run of the provider's workflow is told them."""
    run = WorkflowRun(RunKey(stage.provider.id, 7, 1), path)
    return await keys.recipients(stage.broker, run)


async def test_a_key_is_kept_with_its_fingerprint_and_told_to_the_audit(stage: Stage) -> None:
    there = people(stage)
    made = await keys.add(stage.broker, there.mia, CONSUMER, FIRST)
    (row,) = await keys.list_keys(stage.broker, there.mia, whose=CONSUMER)
    assert row == await keys.show(stage.broker, there.mia, made.id)
    assert (row["of"], row["bits"], row["public_key"]) == (CONSUMER, 2048, FIRST)
    assert (row["fingerprint"], row["created_by"]) == (made.fingerprint, there.mia.actor)
    told = {r["verb"]: r for r in await stage.rows(audit)}["person:key:added"]
    assert told["repository_id"] == stage.consumer.id
    assert made.fingerprint in told["details"]
    gone = await keys.remove(stage.broker, there.mia, made.id)
    assert gone["of"] == CONSUMER
    assert await keys.list_keys(stage.broker, there.mia, whose=CONSUMER) == []
    assert "person:key:removed" in {r["verb"] for r in await stage.rows(audit)}


async def test_only_who_manages_the_consumer_may(stage: Stage) -> None:
    there = people(stage)
    key = await added(stage)
    run = WorkflowRun(RunKey(stage.consumer.id, 7, 1))
    for stranger, kind in ((there.wes, AccessDenied), (there.eve, NotFound), (run, AccessDenied)):
        who: Principal = stranger
        with pytest.raises(kind):
            await keys.add(stage.broker, who, CONSUMER, SECOND)
        with pytest.raises(kind):
            await keys.list_keys(stage.broker, who, whose=CONSUMER)
        for deed in (keys.show, keys.remove):
            with pytest.raises(AccessDenied if who is run else NotFound):
                await deed(stage.broker, who, key)
    for person in (there.mia, there.eve):
        with pytest.raises(AccessDenied, match="name OWNER/REPO"):
            await keys.list_keys(stage.broker, person)
        for named in (OWNER, there.ada.login):  # an organization, and another person
            with pytest.raises(AccessDenied, match="an operator"):
                await keys.add(stage.broker, person, named, FIRST)
            with pytest.raises(AccessDenied, match="an operator"):
                await keys.list_keys(stage.broker, person, whose=named)
    whole = await added(stage, OWNER)
    for deed in (keys.show, keys.remove):
        with pytest.raises(NotFound):
            await deed(stage.broker, there.mia, whole)
    with pytest.raises(AccessDenied):
        await keys.add(stage.broker, run, OWNER, FIRST)
    assert len(await stage.rows(shield_keys)) == 2


async def test_a_person_registers_keys_of_their_own_account(migrated_url: str) -> None:
    async with open_stage(migrated_url, allowed_accounts=("kestrel-bank", "mia")) as stage:
        there = people(stage)
        made = await keys.add(stage.broker, there.mia, "Mia", FIRST)
        (row,) = await keys.list_keys(stage.broker, there.mia, whose="mia")
        assert row == await keys.show(stage.broker, there.mia, made.id)
        assert (row["of"], row["created_by"]) == ("mia", there.mia.actor)
        with pytest.raises(NotFound):
            await keys.remove(stage.broker, there.ada, made.id)
        with pytest.raises(NotAdmitted, match="zekt accounts allow ada"):
            await keys.add(stage.broker, there.ada, "ada", SECOND)
        await keys.remove(stage.broker, there.mia, made.id)
        assert await stage.rows(shield_keys) == []


async def test_what_cannot_be_registered_says_why(stage: Stage) -> None:
    key = await added(stage)
    with pytest.raises(Conflict, match="has this key already"):
        await added(stage)
    with pytest.raises(InvalidInput, match="private key"):
        await added(stage, pem=shielding.private_pem(shielding.private_key()).decode())
    with pytest.raises(NotFound):
        await added(stage, "kestrel-bank/nowhere")
    with pytest.raises(NotFound, match="no account nobody-at-all"):
        await added(stage, "nobody-at-all")
    for number in range(2, 11):
        await added(stage, pem=shielding.public_pem(shielding.private_key(number)))
    with pytest.raises(Conflict, match="the most there may be"):
        await added(stage, pem=SECOND)
    await keys.remove(stage.broker, ME, key)
    with pytest.raises(NotFound, match="zekt shield keys list"):
        await keys.remove(stage.broker, ME, key)
    assert await added(stage, pem=SECOND)


async def test_an_operator_sees_all_a_page_at_a_time(stage: Stage) -> None:
    whole, own = await added(stage, OWNER), await added(stage)
    listed = await keys.list_keys(stage.broker, ME)
    assert [(row["id"], row["of"]) for row in listed] == [(whole, OWNER), (own, CONSUMER)]
    (row,) = await keys.list_keys(stage.broker, ME, Page(1, whole))
    assert row["id"] == own
    (row,) = await keys.list_keys(stage.broker, ME, whose=OWNER)
    assert row["id"] == whole
    assert await keys.list_keys(stage.broker, ME, whose="nobody") == []
    with pytest.raises(InvalidInput):
        await keys.list_keys(stage.broker, ME, Page(1, "dlv_1"))


async def test_a_run_is_told_the_keys_of_its_services_approved_subscriptions(
    stage: Stage,
) -> None:
    held = await stage.serve("*")
    assert await recipients(stage) == []
    await added(stage, OWNER, SECOND)
    assert await recipients(stage) == [Recipient(held.id, SECOND)]
    own = await added(stage)
    assert await recipients(stage) == [Recipient(held.id, FIRST)]  # its own go before
    await added(stage, pem=SECOND)
    assert await recipients(stage) == [Recipient(held.id, FIRST), Recipient(held.id, SECOND)]
    await keys.remove(stage.broker, ME, own)
    assert await recipients(stage) == [Recipient(held.id, SECOND)]
    for other in (".github/workflows/other.yml", None):
        assert await recipients(stage, other) == []
    await subscriptions.end(stage.broker, ME, "revoke", Ends(SERVICE, CONSUMER))
    assert await recipients(stage) == []


async def test_a_repository_that_provides_nothing_is_told_nobody(stage: Stage) -> None:
    with pytest.raises(NotFound, match="zekt repositories enable"):
        await recipients(stage)


async def test_with_another_owner_the_former_ones_keys_go(stage: Stage) -> None:
    await stage.serve("*")
    await added(stage)
    await added(stage, OWNER, SECOND)
    await stage.github.transfer(stage.consumer, stage.provider.owner)
    await stage.listen()
    (left,) = await keys.list_keys(stage.broker, ME)
    assert left["of"] == OWNER
