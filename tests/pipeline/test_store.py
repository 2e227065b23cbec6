"""Storing: what is taken, what is ignored and why, and that nothing readable stays behind."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from tests.db.rows import open_transaction
from tests.stage import ME, open_stage
from zekt_bot.db import engine
from zekt_bot.db.tables import audit, inbox
from zekt_bot.domain.webhooks import Receipt
from zekt_bot.errors import StorageUnavailable
from zekt_bot.operations import accounts
from zekt_bot.testing import payloads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.stage import Stage
    from zekt_bot.testing import WorkflowRun

STORED = Receipt()


@asynccontextmanager
async def admitting(url: str, *logins: str) -> AsyncIterator[Stage]:
    async with open_stage(url, allowed_accounts=logins) as stage:
        yield stage


async def told(stage: Stage, run: WorkflowRun, **changed: Any) -> Receipt:
    body = payloads.workflow_run(run, "completed", stage.consuming)
    body["workflow_run"] |= changed
    return await stage.tell("workflow_run", body)


async def consumers_run(stage: Stage, event: str) -> WorkflowRun:
    return await stage.github.start_run(stage.consumer, "deploy.yml", event=event)


async def test_runs_and_jobs_of_an_enabled_provider_are_stored(stage: Stage) -> None:
    await stage.publish()
    await stage.finish_run("build")
    receipts = await stage.take()
    assert len(receipts) == 6
    assert receipts == [STORED] * 6
    kept = await stage.rows(inbox)
    assert {(row["event"], row["state"], row["account_id"]) for row in kept} == {
        ("workflow_run", "pending", stage.provider.owner.id),
        ("workflow_job", "pending", stage.provider.owner.id),
    }
    assert {row["due_at"] for row in kept} == {stage.clock.now()}


async def test_without_a_list_every_account_is_admitted(stage: Stage) -> None:
    await stage.github.suspend(stage.providing)
    assert await stage.take() == [STORED]


async def test_only_listed_accounts_are_admitted(migrated_url: str) -> None:
    async with admitting(migrated_url, "aurora-labs") as stage:
        await stage.github.unsuspend(stage.providing)
        await stage.github.unsuspend(stage.consuming)
        assert await stage.take() == [STORED, Receipt(ignored="account_not_admitted")]
        assert (await stage.row(inbox))["account_id"] == stage.provider.owner.id


async def test_who_was_never_known_has_nothing_to_withdraw(migrated_url: str) -> None:
    async with admitting(migrated_url, "aurora-labs") as stage:
        await stage.github.suspend(stage.consuming)
        assert await stage.take() == [Receipt(ignored="account_not_admitted")]
        assert await stage.rows(inbox) == []


async def test_who_is_not_admitted_any_longer_may_still_withdraw(migrated_url: str) -> None:
    async with open_stage(migrated_url) as stage:
        await stage.github.unsuspend(stage.consuming)
        await stage.listen()
        await accounts.block(stage.broker, ME, stage.consumer.owner.login)
        await stage.github.suspend(stage.consuming)
        await stage.github.unsuspend(stage.consuming)
        await stage.github.remove_repositories(stage.consuming, stage.consumer)
        await stage.github.add_repositories(stage.consuming, stage.consumer)
        await stage.github.uninstall(stage.consuming)
        kept = [receipt == STORED for receipt in await stage.take()]
        assert kept == [True, False, True, False, True]


async def test_an_admitted_account_stays_so_under_a_new_name_and_its_old_name_is_nobody(
    migrated_url: str,
) -> None:
    async with admitting(migrated_url, "aurora-labs") as stage:
        await stage.github.unsuspend(stage.providing)
        assert await stage.take() == [STORED]
        await stage.github.rename_account(stage.provider.owner, "aurora")
        await stage.github.unsuspend(stage.providing)
        await stage.github.rename_account(stage.consumer.owner, "aurora-labs")
        await stage.github.unsuspend(stage.consuming)
        receipts = await stage.take("installation")
        assert receipts == [STORED, Receipt(ignored="account_not_admitted")]


async def test_who_names_no_account_is_not_admitted(migrated_url: str) -> None:
    async with admitting(migrated_url, "aurora-labs") as stage:
        ignored = Receipt(ignored="account_not_admitted")
        assert await stage.tell("installation", {"action": "created"}) == ignored
        assert await stage.rows(inbox) == []


@pytest.mark.parametrize("event", ["workflow_run", "workflow_job"])
async def test_a_repository_that_nobody_enabled_is_not_stored(stage: Stage, event: str) -> None:
    await stage.finish_run("build")
    receipts = await stage.take(event)
    assert set(receipts) == {Receipt(ignored="repository_not_enabled")}
    assert await stage.rows(inbox) == []


async def test_news_of_an_unknown_repository_are_not_stored(stage: Stage) -> None:
    await stage.github.archive(stage.provider)
    assert await stage.take() == [Receipt(ignored="repository_unknown")]


async def test_news_of_a_known_repository_are_stored(stage: Stage) -> None:
    await stage.publish()
    await stage.github.archive(stage.provider)
    assert await stage.take() == [STORED]


@pytest.mark.parametrize("event", ["repository_dispatch", "workflow_run"])
async def test_a_consumer_is_heard_for_what_may_prove_a_delivery(stage: Stage, event: str) -> None:
    await stage.serve()
    assert await told(stage, await consumers_run(stage, event)) == STORED


@pytest.mark.parametrize("event", ["push", "schedule", 7, None])
async def test_other_runs_of_a_consumer_are_not_stored(stage: Stage, event: Any) -> None:
    await stage.serve()
    run = await consumers_run(stage, "push")
    ignored = Receipt(ignored="not_wanted_of_a_consumer")
    assert await told(stage, run, event=event) == ignored


async def test_jobs_of_a_consumer_are_not_stored(stage: Stage) -> None:
    await stage.serve()
    run = await consumers_run(stage, "repository_dispatch")
    await run.start_job("deploy")
    receipts = await stage.take("workflow_job")
    assert set(receipts) == {Receipt(ignored="not_wanted_of_a_consumer")}


async def test_a_repository_that_gives_and_takes_is_heard_as_one_that_gives(stage: Stage) -> None:
    await stage.publish()
    await stage.subscribe(stage.provider)
    await stage.finish_run("build", event="push")
    assert await stage.take() == [STORED] * 6


async def test_a_redelivery_is_known_by_its_guid(stage: Stage) -> None:
    await stage.github.suspend(stage.providing)
    (sent,) = stage.held
    assert await stage.receive(sent) == STORED
    assert await stage.receive(sent) == Receipt(duplicate=True)
    assert len(await stage.rows(inbox)) == 1


async def test_of_the_same_webhook_twice_at_once_one_is_stored(stage: Stage) -> None:
    await stage.github.suspend(stage.providing)
    (sent,) = stage.held
    receipts = await asyncio.gather(*(stage.receive(sent) for _ in range(5)))
    assert sorted(receipt.duplicate for receipt in receipts) == [False, True, True, True, True]
    assert len(await stage.rows(inbox)) == 1


async def test_a_redelivery_of_what_was_processed_is_known_too(stage: Stage) -> None:
    await stage.github.suspend(stage.providing)
    (sent,) = stage.held
    await stage.receive(sent)
    await stage.route()
    assert await stage.receive(sent) == Receipt(duplicate=True)
    assert await stage.route() == 0


async def test_one_guid_of_both_apps_is_two_webhooks(stage: Stage) -> None:
    await stage.github.suspend(stage.providing)
    (sent,) = stage.held
    assert await stage.receive(sent) == STORED
    assert await stage.receive(sent, "oauth") == STORED


async def test_a_malformed_webhook_is_kept_set_aside_with_the_reason(stage: Stage) -> None:
    body = {"action": "completed", "repository": {"id": "seven"}, "workflow_run": {"id": 1}}
    assert await stage.tell("workflow_run", body, "a-guid") == STORED
    assert await stage.tell("workflow_run", body, "a-guid") == Receipt(duplicate=True)
    row = await stage.row(inbox)
    assert (row["state"], row["due_at"]) == ("set_aside", None)
    assert row["reason"] == "no usable id of its repository and run and installation"
    assert row["raw"] is not None
    assert [one["verb"] for one in await stage.rows(audit)] == ["zekt:webhook:set_aside"]
    assert await stage.route() == 0


async def test_an_absurd_action_fits_its_column(stage: Stage) -> None:
    body = {"action": "\0" * 100, "account": {"id": 1, "login": "x"}}
    assert await stage.tell("installation_target", body) == STORED
    assert (await stage.row(inbox))["action"] == "\ufffd" * 64


async def test_what_is_stored_cannot_be_read_and_is_gone_once_processed(stage: Stage) -> None:
    await stage.publish()
    await stage.finish_run(head_branch="a-branch-that-nobody-may-read")
    sent = stage.held[-1]
    assert b"a-branch-that-nobody-may-read" in sent.body
    await stage.receive(sent)
    row = await stage.row(inbox)
    assert not [value for value in row.values() if b"a-branch" in _bytes(value)]
    opened = stage.broker.database.keyring.open(("inbox", "raw", row["id"]), row["raw"])
    assert opened == sent.body
    await stage.route()
    row = await stage.row(inbox)
    assert (row["state"], row["raw"], row["processed_at"]) == (
        "processed",
        None,
        stage.clock.now(),
    )


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


async def test_admission_is_read_where_the_row_is_written(stage: Stage) -> None:
    """Enabled after the webhook was signed but before it is stored: it is stored."""
    await stage.finish_run()
    first, *rest = list(stage.held)
    assert (await stage.receive(first)).ignored == "repository_not_enabled"
    await stage.publish()
    assert [await stage.receive(sent) for sent in rest] == [STORED] * len(rest)
    assert {row["guid"] for row in await stage.rows(inbox)} == {sent.guid for sent in rest}


async def test_a_locked_table_is_given_up_before_github_gives_up(
    migrated_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_LOCK_MS", 200)
    async with open_stage(migrated_postgres) as stage, open_transaction(migrated_postgres) as other:
        await stage.publish()
        await stage.finish_run("build")
        await other.execute(text("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(StorageUnavailable):
            await stage.receive(stage.held[0])
        await other.rollback()
        assert await stage.receive(stage.held[0]) == STORED
