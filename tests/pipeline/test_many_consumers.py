"""One event and many consumers; one repository on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.operations.news import mirrored
from tests.stage import RELEASE, Stage, clock, open_stage, stage
from zekt_bot.db.tables import deliveries, lanes

if TYPE_CHECKING:
    from zekt_bot.testing import Repository, WorkflowRun

__all__ = ["clock", "stage"]
CROWD, LANES_A_CLAIM = 100, 64


async def newcomer(stage: Stage, number: int) -> Repository:
    """An organization of its own that installed the App."""
    account = stage.github.account(f"consumer-{number}")
    repository = stage.github.repository(account, "mirror", private=True)
    await stage.github.install(stage.app, account)
    return repository


async def test_one_event_reaches_a_hundred_consumers_in_as_many_installations(
    migrated_sqlite: str,
) -> None:
    async with open_stage(migrated_sqlite) as stage:
        await stage.publish()
        consumers = [await newcomer(stage, number) for number in range(CROWD)]
        for consumer in consumers:
            await stage.subscribe(consumer)
        stage.held.clear()
        await stage.finish_run("build")
        await stage.prepare()
        # A claim may spend itself on lanes that were just served.
        for _ in range(CROWD // LANES_A_CLAIM + 2):
            await stage.deliver()
        reached = [sent.repository.id for sent in stage.github.dispatches]
        assert sorted(reached) == sorted(consumer.id for consumer in consumers)
        assert len(await stage.rows(lanes)) == CROWD
        assert {row["state"] for row in await stage.rows(deliveries)} == {"dispatched"}


async def test_a_repository_may_provide_and_consume(stage: Stage) -> None:
    await stage.publish()
    await stage.subscribe(stage.provider)
    found = await mirrored(stage, stage.provider)
    assert found is not None
    assert (found.provider, found.consumer) == (True, True)
    await stage.finish_run("build")
    await stage.flow()
    assert [sent.repository for sent in stage.github.dispatches] == [stage.provider]


async def test_a_run_with_several_messages_sends_one_envelope_for_each(stage: Stage) -> None:
    await stage.serve("*")
    run: WorkflowRun = await stage.github.start_run(stage.provider, RELEASE)
    job = await run.start_job("build")
    for body in (b'{"os": "linux"}', b'{"os": "macos"}', b'{"os": "linux"}'):
        await stage.post(run, body, "built")
    await stage.post(run, b"{}", "released")
    await job.complete("success")
    await run.complete("success")
    await stage.flow()
    sent = [(d.event_type, d.client_payload["zekt"]["payload"]) for d in stage.github.dispatches]
    assert sorted(sent, key=str) == [
        ("built", {"os": "linux"}),
        ("built", {"os": "macos"}),
        ("released", {}),
    ]
