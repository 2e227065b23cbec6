"""What happens in the demo, told step by step, and whether it was as it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.cli.demo import looks
from zekt_bot.cli.demo.circle import tell_circle
from zekt_bot.cli.demo.stage import EXPERIMENT, MESSAGE_TYPE, NIGHTLY, RELEASE
from zekt_bot.cli.demo.teller import Teller
from zekt_bot.cli.session import operator
from zekt_bot.domain.access import WorkflowRun
from zekt_bot.domain.catalog import Profile
from zekt_bot.domain.events import DEFAULT_EVENT_TYPE, RunKey
from zekt_bot.operations import messages, repositories, services, subscriptions, workflows
from zekt_bot.operations.services import Publication
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.cli.demo.looks import Row
    from zekt_bot.cli.demo.stage import Stage
    from zekt_bot.testing import WorkflowRun as SimulatedRun

MESSAGE = b'{"version": "2.4.0", "image": "registry.example/payments@sha256:5f2c", "rollout": 25}'


async def tell(stage: Stage) -> bool:
    """Play the whole story; whether everything was as it should be."""
    teller = Teller()
    await _install(stage, teller)
    await _agree(stage, teller)
    await _release(stage, teller)
    await _nightly(stage, teller)
    await _experiment(stage, teller)
    await tell_circle(stage, teller)
    await _check_webhooks(stage, teller)
    return teller.conclude()


async def _install(stage: Stage, teller: Teller) -> None:
    world = stage.world
    teller.step("GitHub and Zekt are up")
    teller.say(f"GitHub (simulated) {world.github.web_url}")
    teller.say(f"Zekt {stage.url}, its database {stage.broker.database.address.shown}")
    teller.step("Two organizations install the orchestration App")
    for owner in (world.provider.owner, world.approved.owner):
        installation = await world.github.install(world.app, owner)
        known = await looks.knows(stage, installation)
        teller.check(known, f"Zekt heard that {owner.login} installed the App")
        if known:
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
            await subscriptions.request(broker, who, Ends(service, consumer.full_name))
        await subscriptions.approve(broker, who, Ends(service, world.approved.full_name))
    teller.say(f"{world.approved.full_name} is approved", "green")
    teller.say(f"{world.waiting.full_name} has asked, and is not approved", "yellow")
    teller.say(f"{EXPERIMENT} stays off the allow-list", "yellow")


async def _release(stage: Stage, teller: Teller) -> None:
    world = stage.world
    teller.step("Release runs, says something to its consumers, and succeeds")
    run = await world.github.start_run(world.provider, RELEASE)
    job = await run.start_job("publish")
    key = RunKey(world.provider.id, run.id, run.attempt)
    stored = await messages.store(stage.broker, WorkflowRun(key, RELEASE), MESSAGE_TYPE, MESSAGE)
    teller.say(f"the run's message is stored: {len(MESSAGE)} bytes, {stored.message_id}")
    await job.complete("success")
    await run.complete("success")
    told = await _told(stage, teller, run)
    teller.check(
        orjson.dumps(told.received.get("payload")) == orjson.dumps(orjson.loads(MESSAGE)),
        f"{world.approved.full_name} received Release's message in one dispatch",
    )
    _check_refused(stage, teller, told, "Release")


async def _nightly(stage: Stage, teller: Teller) -> None:
    world = stage.world
    teller.step("Nightly checks runs and fails: that is an event too")
    run = await world.github.start_run(world.provider, NIGHTLY, event="schedule")
    await (await run.start_job("slow tests")).complete("failure")
    await run.complete("failure")
    told = await _told(stage, teller, run)
    teller.check(
        told.received.get("workflow", {}).get("conclusion") == "failure",
        f"{world.approved.full_name} heard that Nightly checks failed",
    )
    _check_refused(stage, teller, told, "Nightly checks")


async def _experiment(stage: Stage, teller: Teller) -> None:
    world = stage.world
    teller.step("Experiment runs; nobody allowed it to leave the repository")
    before = len(world.github.dispatches)
    run = await world.github.start_run(world.provider, EXPERIMENT)
    await run.complete("success")
    row = await looks.event(stage, run)
    teller.say(f"arrived: workflow_run.completed of {world.provider.full_name}")
    teller.say(f"blocked: {row['blocked_reason']}", "red")
    teller.check(
        row["blocked_reason"] == "not_allowed" and row["deliveries"] == 0,
        "Experiment is not on the allow-list and was stopped at the door",
    )
    teller.check(
        len(world.github.dispatches) == before == 2, "two dispatches of these three runs, no more"
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """What became of one run: its deliveries by consumer, and what the approved one was sent."""

    by_consumer: Mapping[str, Row]
    received: Mapping[str, Any]


async def _told(stage: Stage, teller: Teller, run: SimulatedRun) -> _Told:
    """Say what became of a run that has ended."""
    event = await looks.event(stage, run)
    teller.say(f"arrived: workflow_run.completed, {run.conclusion}, {event['correlation_id']}")
    rows = await looks.deliveries(stage, event)
    for row in sorted(rows, key=lambda row: row["state"], reverse=True):
        reason = row["blocked_reason"] or row["reason"]
        style = "green" if row["state"] == "dispatched" else "red"
        why = f": {reason}" if reason else ""
        teller.say(f"{row['state']}{why} → {row['target']}  {row['event_type']}", style)
    by_consumer = {row["target"]: row for row in rows}
    return _Told(by_consumer, await _consumed(stage, teller, run, by_consumer))


async def _consumed(
    stage: Stage, teller: Teller, run: SimulatedRun, by_consumer: Mapping[str, Row]
) -> Mapping[str, Any]:
    """Say what the approved consumer's workflow received, and check it; gives what was sent."""
    consumer, name = stage.world.approved, run.workflow.name
    sent = looks.sent(stage, by_consumer[consumer.full_name])
    if sent is None:
        teller.check(False, f"{consumer.full_name} was sent {name} exactly once")
        return {}
    consumed = await looks.consumed(stage, sent)
    zekt: Mapping[str, Any] = sent.client_payload["zekt"]
    if consumed is not None:
        teller.say(f"{consumer.full_name} ran “{consumed.display_title}” and received")
        _say_received(teller, zekt)
    ran = [(job.name, job.conclusion) for job in run.latest_jobs]
    teller.check(
        [(job["name"], job["conclusion"]) for job in zekt["jobs"]] == ran,
        f"what was sent of {name} names the jobs that ran",
    )
    teller.check(
        consumed is not None and consumed.conclusion == "success",
        f"{consumer.full_name}'s workflow ran to its end on {name}",
    )
    teller.check(
        consumed is not None and consumed.client_payload == sent.client_payload,
        f"{consumer.full_name}'s workflow got what was sent of {name}",
    )
    return zekt


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


def _check_refused(stage: Stage, teller: Teller, told: _Told, name: str) -> None:
    row = told.by_consumer[stage.world.waiting.full_name]
    nothing = all(d.repository is not stage.world.waiting for d in stage.world.github.dispatches)
    teller.check(
        nothing and (row["state"], row["blocked_reason"]) == ("blocked", "not_approved"),
        f"{stage.world.waiting.full_name}, not approved, heard nothing of {name}",
    )


async def _check_webhooks(stage: Stage, teller: Teller) -> None:
    await stage.world.github.settle()
    sent = stage.world.github.deliveries
    refused = [one for one in sent if not one.ok]
    teller.check(
        bool(sent) and not refused,
        f"Zekt accepted {len(sent) - len(refused)} of GitHub's {len(sent)} webhooks",
    )
