"""A consumer's run confirms and completes a delivery with its token, in whatever order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.pipeline.sending import verbs
from tests.stage import ME
from zekt_bot.db.tables import deliveries, runs
from zekt_bot.errors import StorageUnavailable
from zekt_bot.operations import deliveries as shown
from zekt_bot.operations import replay

if TYPE_CHECKING:
    from tests.web.api.calling import Api, Said
    from zekt_bot.testing import WorkflowRun

CONFIRM, COMPLETE = "/api/event-delivery/confirm", "/api/event-delivery/complete"


@dataclass
class Delivered:
    """A delivery that started a run of the consumer, which names it nowhere."""

    api: Api
    run: WorkflowRun
    wire: dict[str, Any]

    @property
    def id(self) -> str:
        name: str = self.wire["deliveryId"]
        return name

    async def confirm(self, **changed: Any) -> Said:
        body = {"deliveryId": self.id, **changed}
        return await self.api.call(CONFIRM, body, token=self.api.token(self.run))

    async def complete(self, **changed: Any) -> Said:
        body = {"deliveryId": self.id, **changed}
        return await self.api.call(COMPLETE, body, token=self.api.token(self.run))

    async def state(self) -> str:
        found = {row["id"]: row["state"] for row in await self.api.stage.rows(deliveries)}
        return str(found[self.id])


def react(api: Api, **named: Any) -> None:
    """The consumer's workflow that any dispatch starts."""
    api.stage.github.add_workflow(
        api.stage.consumer, "react.yml", on_dispatch_types=("*",), **named
    )


async def deliver(api: Api) -> Delivered:
    """The first, or another one."""
    stage = api.stage
    if not stage.consumer.workflows:
        react(api)
        await stage.serve("*")
    await stage.finish_run("build")
    await stage.flow()
    await stage.github.settle()
    run = next(each for each in reversed(stage.github.runs) if each.repository is stage.consumer)
    return Delivered(api, run, stage.github.dispatches[-1].client_payload["zekt"])


async def test_a_run_confirms_and_its_end_completes_the_delivery(api: Api) -> None:
    one = await deliver(api)
    said = await one.confirm()
    assert (said.status, said.body) == (
        200,
        {
            "success": True,
            "deliveryId": one.id,
            "correlationId": one.wire["correlationId"],
            "state": "confirmed",
        },
    )
    assert (await one.confirm()).body == said.body
    await api.stage.listen()  # its first news, which name no delivery
    bound = {row["bound_by"] for row in await api.stage.rows(runs) if row["caused_by_delivery_id"]}
    assert bound == {"token"}
    await one.run.complete("success")
    await api.stage.listen()
    assert await one.state() == "completed"
    assert (await one.confirm()).body["state"] == "completed"
    told = [verb for verb in await verbs(api.stage) if verb.startswith("zekt:delivery:")]
    assert told[-2:] == ["zekt:delivery:confirmed", "zekt:delivery:completed"]
    row = await shown.show_delivery(api.stage.broker, ME, one.id)
    assert [(run["bound_by"], run["hops"]) for run in row["runs"]] == [("token", 1)]


@pytest.mark.parametrize(
    ("conclusion", "ended", "state"),
    [
        ("success", "success", "completed"),
        ("failure", "success", "failed"),
        ("success", "failure", "failed"),
    ],
)
async def test_a_run_completes_by_its_own_word(
    local: Api, conclusion: str, ended: str, state: str
) -> None:
    one = await deliver(local)
    said = await one.complete(conclusion=conclusion)
    assert said.body["state"] == {"success": "completed", "failure": "failed"}[conclusion]
    assert (await one.complete(conclusion=conclusion)).body == said.body
    assert (await one.confirm()).body == said.body
    await one.run.complete(ended)
    await local.stage.listen()
    assert await one.state() == state


async def test_a_reported_failure_stays_until_a_newer_attempt_ends_well(api: Api) -> None:
    one = await deliver(api)
    jobs = [await one.complete(conclusion=each) for each in ("success", "failure", "success")]
    assert [job.body["state"] for job in jobs] == ["completed", "failed", "failed"]
    await one.run.complete("success")
    await one.run.rerun()
    assert (await one.confirm()).body["state"] == "failed"
    assert (await one.complete()).body["state"] == "completed"


async def test_a_newer_attempt_need_not_say_it_again(api: Api) -> None:
    one = await deliver(api)
    await one.confirm()
    await one.run.complete("failure")
    await api.stage.listen()
    assert await one.state() == "failed"
    await one.run.rerun()  # of the jobs that failed, without the one that has the step
    await one.run.complete("success")
    await api.stage.listen()
    assert await one.state() == "completed"


async def follow(one: Delivered) -> str:
    """Another delivery of the same correlation, by a message that comes late; its id."""
    stage = one.api.stage
    run = next(each for each in stage.github.runs if each.repository is stage.provider)
    await stage.post(run, b'"late"')
    await stage.flow()
    assert stage.github.dispatches[-1].client_payload["zekt"]["deliveryId"] != one.id
    return str(stage.github.dispatches[-1].client_payload["zekt"]["deliveryId"])


@pytest.mark.parametrize("known_by", ["token", "title"])
async def test_a_newer_attempt_means_what_the_former_came_of(api: Api, known_by: str) -> None:
    one = await begun(api, known_by)
    alone = {"deliveryId": None, "correlationId": one.wire["correlationId"]}
    await one.run.complete("failure")
    await api.stage.listen()
    other = await follow(one)
    await one.run.rerun()
    assert (await one.confirm(**alone)).body["deliveryId"] == one.id
    assert (await one.complete(**alone)).body["state"] == "completed"
    states = {row["id"]: row["state"] for row in await api.stage.rows(deliveries)}
    assert states == {one.id: "completed", other: "dispatched"}


@pytest.mark.parametrize("known_by", ["token", "title"])
async def test_a_newer_attempt_comes_of_no_other_delivery(local: Api, known_by: str) -> None:
    one = await begun(local, known_by)
    await one.run.complete("failure")
    await local.stage.listen()
    other = await follow(one)
    await one.run.rerun()
    said = await one.confirm(deliveryId=other)
    assert (said.status, one.id in said.body["error"]) == (409, True)


async def begun(api: Api, known_by: str) -> Delivered:
    """A delivery whose run is known by its word, or by its title."""
    if known_by == "title":
        react(api, run_name="${{ github.event.client_payload.zekt.deliveryId }}")
        await api.stage.serve("*")
        return await deliver(api)
    one = await deliver(api)
    alone = {"deliveryId": None, "correlationId": one.wire["correlationId"]}
    assert (await one.confirm(**alone)).body["deliveryId"] == one.id
    return one


async def test_what_github_says_may_come_before_what_the_run_says(api: Api) -> None:
    one = await deliver(api)
    await one.run.complete("failure")
    await api.stage.listen()
    assert await one.state() == "dispatched"
    assert (await one.confirm()).body["state"] == "failed"


async def test_a_late_word_moves_a_delivery_that_is_dead(local: Api) -> None:
    one = await deliver(local)
    await set_state(local, one, "dead")
    assert (await one.confirm()).body["state"] == "confirmed"


async def test_what_was_blocked_is_confirmed_by_nobody(local: Api) -> None:
    one = await deliver(local)
    await set_state(local, one, "blocked")
    before = len(await local.stage.rows(runs))
    said = await one.confirm()
    assert (said.status, "was blocked" in said.body["error"]) == (409, True)
    assert len(await local.stage.rows(runs)) == before  # the run that calls came of nothing


async def set_state(api: Api, one: Delivered, state: str) -> None:
    def change(connection: Any, rows: Any) -> list[None]:
        own = deliveries.c.id == one.id
        connection.execute(deliveries.update().where(own).values(state=state))
        return [None] * len(rows)

    await api.stage.broker.database.write(change, None)


async def test_the_correlation_id_alone_means_the_one_that_is_unconfirmed(api: Api) -> None:
    one = await deliver(api)
    alone = {"deliveryId": None, "correlationId": one.wire["correlationId"]}
    first = await one.confirm(**alone)
    assert (first.status, first.body["deliveryId"]) == (200, one.id)
    assert (await one.confirm(**alone)).body == first.body
    other = await api.stage.github.start_run(api.stage.consumer, "other.yml")
    again = await api.call(CONFIRM, alone, token=api.token(other))
    assert again.body == first.body


async def test_of_several_none_is_guessed(local: Api) -> None:
    one = await deliver(local)
    await replay.replay(local.stage.broker, ME, one.id)
    await local.stage.deliver()
    alone = {"deliveryId": None, "correlationId": one.wire["correlationId"]}
    before = len(await local.stage.rows(runs))
    said = await one.confirm(**alone)
    assert len(await local.stage.rows(runs)) == before
    ids = [row["id"] for row in await local.stage.rows(deliveries)]
    assert (said.status, len(ids)) == (409, 2)
    assert all(each in said.body["error"] for each in ids)
    assert (await one.confirm()).status == 200
    assert (await one.confirm(**alone)).body["deliveryId"] == one.id


async def test_a_run_comes_of_one_delivery(local: Api) -> None:
    one, other = await deliver(local), await deliver(local)
    assert (await one.confirm()).status == 200
    said = await one.confirm(deliveryId=other.id)
    assert (said.status, one.id in said.body["error"]) == (409, True)
    assert await other.state() == "dispatched"


async def test_what_never_came_here_is_not_written_about(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await deliver(api)
    repository = api.stage.github.repository(api.stage.github.account("mallory"), "x")
    sent.run = await api.stage.github.start_run(repository, "x.yml")

    async def fails(*_: object, **__: object) -> None:
        raise StorageUnavailable

    monkeypatch.setattr(api.stage.broker.database, "write", fails)
    assert (await sent.confirm()).status == 404
    assert (await sent.complete()).status == 404


async def test_another_repositorys_run_confirms_nothing(api: Api) -> None:
    one = await deliver(api)
    provider = await api.run()
    for name in ({"deliveryId": one.id}, {"correlationId": one.wire["correlationId"]}):
        for path in (CONFIRM, COMPLETE):
            said = await api.call(path, name, token=api.token(provider))
            assert said.status == 404
    assert await one.state() == "dispatched"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"deliveryId": "dlv_1"}, 400),
        ({"deliveryId": 7}, 400),
        ({"correlationId": "123-default"}, 400),
        ({"deliveryId": "dlv_" + "0" * 26}, 404),
        ({"correlationId": "cor_" + "0" * 26}, 404),
        ({"deliveryId": "dlv_" + "0" * 26, "conclusion": "cancelled"}, 400),
    ],
)
async def test_what_names_no_delivery(local: Api, body: dict[str, Any], status: int) -> None:
    run = await local.run()
    assert (await local.call(COMPLETE, body, token=local.token(run))).status == status
