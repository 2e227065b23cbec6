"""What happens in the demo, told step by step, and whether it was as it should be."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import orjson

from zekt_bot.cli.demo.stage import EXPERIMENT, MESSAGE_TYPE, NIGHTLY, RELEASE
from zekt_bot.cli.demo.teller import Teller
from zekt_bot.cli.session import operator
from zekt_bot.domain.access import WorkflowRun
from zekt_bot.domain.catalog import Profile
from zekt_bot.domain.events import DEFAULT_EVENT_TYPE, RunKey
from zekt_bot.domain.lists import Page
from zekt_bot.operations import messages, repositories, services, subscriptions, workflows
from zekt_bot.operations.deliveries import list_deliveries
from zekt_bot.operations.events import list_events
from zekt_bot.operations.services import Publication

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from zekt_bot.cli.demo.stage import Stage
    from zekt_bot.testing import WorkflowRun as SimulatedRun

    Row = Mapping[str, Any]
    Rows = list[dict[str, Any]]
    Look = Callable[[], Awaitable[Rows]]

MESSAGE = b'{"version": "2.4.0", "image": "registry.example/payments@sha256:5f2c", "rollout": 25}'
_PATIENCE = 15.0
_SETTLED = {"dispatched", "blocked", "dead"}


async def tell(stage: Stage) -> bool:
    """Play the whole story; whether everything was as it should be."""
    teller = Teller()
    await _install(stage, teller)
    await _agree(stage, teller)
    await _release(stage, teller)
    await _nightly(stage, teller)
    await _experiment(stage, teller)
    return teller.conclude()


async def _install(stage: Stage, teller: Teller) -> None:
    world = stage.world
    teller.step("GitHub and Zekt are up")
    teller.say(f"GitHub (simulated) {world.github.web_url}")
    teller.say(f"Zekt {stage.url}, its database {stage.broker.database.address.shown}")
    teller.step("Two organizations install the orchestration App")
    for owner in (world.provider.owner, world.approved.owner):
        await world.github.install(world.app, owner)
        teller.say(f"{owner.login}: GitHub sent installation.created, Zekt stored it")


async def _agree(stage: Stage, teller: Teller) -> None:
    broker, who, world = stage.broker, operator(), stage.world
    provider = world.provider.full_name
    teller.step("The provider publishes two workflows; two consumers ask for them")
    await repositories.enable(broker, who, provider)
    for path, slug, event_type in (
        (RELEASE, "release", MESSAGE_TYPE),
        (NIGHTLY, "nightly", DEFAULT_EVENT_TYPE),
    ):
        await workflows.allow(broker, who, provider, path)
        await services.publish(
            broker, who, provider, Publication(path, slug, Profile(event_types=(event_type,)))
        )
        service = f"{world.provider.owner.login}/{slug}"
        teller.say(f"{provider} allows {path} and publishes it as {service}")
        for consumer in (world.approved, world.waiting):
            await subscriptions.request(broker, who, service, consumer.full_name)
        await subscriptions.approve(broker, who, service, world.approved.full_name)
    teller.say(f"{world.approved.full_name} is approved", "green")
    teller.say(f"{world.waiting.full_name} has asked, and is not approved", "yellow")
    teller.say(f"{EXPERIMENT} stays off the allow-list", "yellow")


async def _release(stage: Stage, teller: Teller) -> None:
    world = stage.world
    teller.step("Release runs, says something to its consumers, and succeeds")
    run = await world.github.start_run(world.provider, RELEASE)
    job = await run.start_job("publish")
    key = RunKey(world.provider.id, run.id, run.attempt)
    stored = await messages.store(stage.broker, WorkflowRun(key), key, MESSAGE_TYPE, MESSAGE)
    teller.say(f"the run's message is stored: {len(MESSAGE)} bytes, {stored.message_id}")
    await job.complete("success")
    await run.complete("success")
    row = await _told(stage, teller, run)
    payload = _received(stage, row)
    teller.check(
        orjson.dumps(payload.get("payload")) == orjson.dumps(orjson.loads(MESSAGE)),
        f"{world.approved.full_name} received Release's message in one dispatch",
    )
    _check_refused(stage, teller, row, "Release")


async def _nightly(stage: Stage, teller: Teller) -> None:
    world = stage.world
    teller.step("Nightly checks runs and fails: that is an event too")
    run = await world.github.start_run(world.provider, NIGHTLY, event="schedule")
    await (await run.start_job("slow tests")).complete("failure")
    await run.complete("failure")
    row = await _told(stage, teller, run)
    payload = _received(stage, row)
    teller.check(
        payload.get("workflow", {}).get("conclusion") == "failure",
        f"{world.approved.full_name} heard that Nightly checks failed",
    )
    _check_refused(stage, teller, row, "Nightly checks")


async def _experiment(stage: Stage, teller: Teller) -> None:
    world = stage.world
    teller.step("Experiment runs; nobody allowed it to leave the repository")
    before = len(world.github.dispatches)
    run = await world.github.start_run(world.provider, EXPERIMENT)
    await run.complete("success")
    row = await _event(stage, run)
    teller.say(f"arrived: workflow_run.completed of {world.provider.full_name}")
    teller.say(f"blocked: {row['blocked_reason']}", "red")
    teller.check(
        row["blocked_reason"] == "not_allowed" and row["deliveries"] == 0,
        "Experiment is not on the allow-list and was stopped at the door",
    )
    teller.check(len(world.github.dispatches) == before == 2, "two dispatches in all, no more")


@dataclass(frozen=True, slots=True)
class _Told:
    """The deliveries of one run, by consumer."""

    by_consumer: Mapping[str, Row]


async def _told(stage: Stage, teller: Teller, run: SimulatedRun) -> _Told:
    """Say what became of a run that has ended."""
    event = await _event(stage, run)
    teller.say(f"arrived: workflow_run.completed, {run.conclusion}, {event['correlation_id']}")

    async def deliveries() -> Rows:
        rows = await list_deliveries(stage.broker, operator(), Page())
        return [row for row in rows if row["correlation_id"] == event["correlation_id"]]

    def settled(rows: Rows) -> bool:
        return len(rows) == 2 and all(row["state"] in _SETTLED for row in rows)

    rows = await _until(deliveries, settled, f"the deliveries of {run.workflow.name}")
    for row in sorted(rows, key=lambda row: row["state"], reverse=True):
        reason = row["blocked_reason"] or row["reason"]
        style = "green" if row["state"] == "dispatched" else "red"
        why = f": {reason}" if reason else ""
        teller.say(f"{row['state']}{why} → {row['target']}  {row['event_type']}", style)
    if any(row["state"] == "dispatched" for row in rows):
        await _consumed(stage, teller)
    return _Told({row["target"]: row for row in rows})


async def _consumed(stage: Stage, teller: Teller) -> None:
    consumer = stage.world.approved
    run = await stage.world.github.wait_for_run(consumer, "completed", timeout=_PATIENCE)
    teller.say(f"{consumer.full_name} ran “{run.display_title}” and received")
    _say_received(teller, run.client_payload["zekt"])


def _say_received(teller: Teller, zekt: Mapping[str, Any]) -> None:
    workflow = zekt["workflow"]
    jobs = ", ".join(f"{job['name']} {job['conclusion']}" for job in zekt["jobs"])
    for name, value in (
        ("deliveryId", zekt["deliveryId"]),
        ("sourceRepo", zekt["sourceRepo"]),
        ("workflow", f"{workflow['name']} #{workflow['runNumber']} {workflow['conclusion']}"),
        ("jobs", jobs),
        ("payload", orjson.dumps(zekt["payload"]).decode()),
    ):
        teller.say(f"· {name}: {value}")


def _received(stage: Stage, told: _Told) -> dict[str, Any]:
    """What the approved consumer was sent by that run, if it was sent exactly once."""
    row = told.by_consumer[stage.world.approved.full_name]
    sent: list[dict[str, Any]] = [
        dispatch.client_payload["zekt"]
        for dispatch in stage.world.github.dispatches
        if dispatch.repository is stage.world.approved
        and dispatch.client_payload["zekt"]["deliveryId"] == row["id"]
    ]
    return sent[0] if len(sent) == 1 else {}


def _check_refused(stage: Stage, teller: Teller, told: _Told, name: str) -> None:
    row = told.by_consumer[stage.world.waiting.full_name]
    nothing = all(d.repository is not stage.world.waiting for d in stage.world.github.dispatches)
    teller.check(
        nothing and (row["state"], row["blocked_reason"]) == ("blocked", "not_approved"),
        f"{stage.world.waiting.full_name}, not approved, heard nothing of {name}",
    )


async def _event(stage: Stage, run: SimulatedRun) -> Row:
    """The row of a run, once Zekt is done with it."""

    async def found() -> Rows:
        rows = await list_events(stage.broker, operator(), Page())
        return [row for row in rows if row["run_id"] == run.id and row["state"] == "done"]

    return (await _until(found, bool, f"the event of {run.workflow.name}"))[0]


async def _until(look: Look, done: Callable[[Rows], bool], what: str) -> Rows:
    """What `look` gives, once it is as wanted.

    Raises:
        ClickException: it never was.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE
    while not done(rows := await look()):
        if loop.time() > until:
            raise click.ClickException(f"Waited {_PATIENCE:.0f} s in vain for {what}.")
        await asyncio.sleep(0.05)
    return rows
