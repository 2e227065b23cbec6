"""What a provider may do, in which order, and what the audit keeps of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from tests.operations.news import mirrored
from tests.stage import ME, Stage
from zekt_bot.db import workflows as workflow_rows
from zekt_bot.db.tables import audit
from zekt_bot.domain.access import WorkflowRun
from zekt_bot.domain.catalog import Conditions, Profile
from zekt_bot.domain.events import RunKey
from zekt_bot.errors import AccessDenied, Conflict, InvalidInput, NotFound
from zekt_bot.operations import repositories, services, subscriptions, workflows
from zekt_bot.operations.services import Publication
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

PROVIDER, CONSUMER = "aurora-labs/payments-api", "kestrel-bank/core-sync"
RELEASE, SERVICE = ".github/workflows/release.yml", "aurora-labs/release"
STRANGER = WorkflowRun(RunKey(1, 2, 3))

OPERATIONS: dict[str, Callable[[Broker, Principal], Awaitable[object]]] = {
    "enable": lambda broker, who: repositories.enable(broker, who, PROVIDER),
    "list workflows": lambda broker, who: workflows.list_workflows(broker, who, PROVIDER),
    "allow": lambda broker, who: workflows.allow(broker, who, PROVIDER, RELEASE),
    "publish": lambda broker, who: services.publish(
        broker, who, PROVIDER, Publication(RELEASE, "release")
    ),
    "request": lambda broker, who: subscriptions.request(broker, who, Ends(SERVICE, CONSUMER)),
    "approve": lambda broker, who: subscriptions.approve(broker, who, Ends(SERVICE, CONSUMER)),
}
STEPS = ("enable", "allow", "publish", "request", "approve")


async def verbs(stage: Stage) -> list[str]:
    """What the audit says that people did."""
    statement = select(audit.c.verb).where(audit.c.actor == ME.actor).order_by(audit.c.seq)
    found = await stage.broker.database.query(lambda c: list(c.execute(statement).scalars()))
    return [str(verb) for verb in found]


@pytest.mark.parametrize("name", OPERATIONS)
async def test_who_may_not_is_denied_and_nothing_changes(stage: Stage, name: str) -> None:
    with pytest.raises(AccessDenied):
        await OPERATIONS[name](stage.broker, STRANGER)
    assert await mirrored(stage, stage.provider) is None
    assert stage.github.requests == []  # not even asked


async def test_each_step_is_audited_once(stage: Stage) -> None:
    for step in STEPS:
        await OPERATIONS[step](stage.broker, ME)
    assert await verbs(stage) == [
        "person:repository:enabled",
        "person:workflow:allowed",
        "person:service:published",
        "person:subscription:requested",
        "person:subscription:approved",
    ]


async def test_a_refused_step_writes_nothing(stage: Stage) -> None:
    for number, step in enumerate(STEPS):
        for later in STEPS[number + 1 :]:
            with pytest.raises((Conflict, NotFound)):
                await OPERATIONS[later](stage.broker, ME)
        assert len(await verbs(stage)) == number
        await OPERATIONS[step](stage.broker, ME)


async def test_a_workflow_is_allowed_once(stage: Stage) -> None:
    await OPERATIONS["enable"](stage.broker, ME)
    assert await workflows.allow(stage.broker, ME, PROVIDER, RELEASE)
    assert not await workflows.allow(stage.broker, ME, PROVIDER, f"{RELEASE}@refs/heads/x")
    assert len(await verbs(stage)) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        Conditions(branches=("",)),
        Conditions(branches=(" main",)),
        Conditions(events=("Push!",)),
        Conditions(conclusions=("good",)),
        Conditions(conclusions=()),
    ],
)
async def test_senseless_conditions_are_invalid(stage: Stage, wrong: Conditions) -> None:
    with pytest.raises(InvalidInput):
        await workflows.allow(stage.broker, ME, PROVIDER, RELEASE, wrong)


async def test_conditions_given_again_replace_the_former_ones(stage: Stage) -> None:
    await OPERATIONS["enable"](stage.broker, ME)
    for wanted in (
        Conditions(forks=True),
        Conditions(branches=("main", "release/**"), events=("push",)),
        Conditions(conclusions=("failure",)),
        Conditions(),
    ):
        assert await workflows.allow(stage.broker, ME, PROVIDER, RELEASE, wanted)
        assert not await workflows.allow(stage.broker, ME, PROVIDER, RELEASE, wanted)
        found = await stage.broker.database.query(
            workflow_rows.allowed, [(stage.provider.id, RELEASE)]
        )
        assert [entry.conditions for entry in found.values()] == [wanted]


@pytest.mark.parametrize(
    "wanted",
    [
        Publication(RELEASE, "Release"),
        Publication(RELEASE, "r"),
        Publication("release.yml", "release"),
        Publication(RELEASE, "release", Profile(event_types=(" blank ",))),
    ],
)
async def test_a_senseless_publication_is_invalid(stage: Stage, wanted: Publication) -> None:
    with pytest.raises(InvalidInput):
        await services.publish(stage.broker, ME, PROVIDER, wanted)


async def test_slug_and_workflow_are_taken_once(stage: Stage) -> None:
    other = ".github/workflows/other.yml"
    for step in STEPS[:3]:
        await OPERATIONS[step](stage.broker, ME)
    await workflows.allow(stage.broker, ME, PROVIDER, other, force=True)
    for taken in (Publication(other, "release"), Publication(RELEASE, "another")):
        with pytest.raises(Conflict, match="already"):
            await services.publish(stage.broker, ME, PROVIDER, taken)
    made = await services.publish(
        stage.broker,
        ME,
        PROVIDER,
        Publication(other, "other", Profile(event_types=("*", "b", "*"))),
    )
    assert (made.owner, made.profile.event_types) == ("aurora-labs", ("*", "b"))


async def test_enabling_twice_is_enabling(stage: Stage) -> None:
    first = await repositories.enable(stage.broker, ME, PROVIDER.upper())
    second = await repositories.enable(stage.broker, ME, PROVIDER)
    assert first == second
    assert (first.full_name, first.provider, first.consumer) == (PROVIDER, True, False)


async def test_a_request_enables_the_consumer(stage: Stage) -> None:
    for step in STEPS[:3]:
        await OPERATIONS[step](stage.broker, ME)
    assert await mirrored(stage, stage.consumer) is None
    asked = await subscriptions.request(stage.broker, ME, Ends(SERVICE, CONSUMER))
    assert asked.state == "requested"
    found = await mirrored(stage, stage.consumer)
    assert found is not None
    assert (found.provider, found.consumer) == (False, True)


async def test_a_service_needs_an_owner_and_a_slug(stage: Stage) -> None:
    with pytest.raises(InvalidInput, match="OWNER/SLUG"):
        await subscriptions.request(stage.broker, ME, Ends("release", CONSUMER))
    with pytest.raises(NotFound, match="no service"):
        await subscriptions.request(stage.broker, ME, Ends("nobody/release", CONSUMER))
