"""What the people of one end, of the other, and of neither are denied of the catalog."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.operations.people import people
from tests.operations.subscribing import CONSUMER, ENDS, PROVIDER, go
from tests.stage import RELEASE, SERVICE
from zekt_bot.db import tables
from zekt_bot.domain.access import WorkflowRun
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.replays import Wanted
from zekt_bot.domain.subscriptions import Durable, Ordered
from zekt_bot.errors import AccessDenied, Conflict, NotFound
from zekt_bot.operations import pauses, repositories, services, subscriptions, workflows
from zekt_bot.operations.durability import make_durable
from zekt_bot.operations.ordering import make_ordered
from zekt_bot.operations.preflight import check_subscription
from zekt_bot.operations.replay import count, let_provider, replay, replay_many
from zekt_bot.operations.services import Publication
from zekt_bot.operations.subscription_terms import Terms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.stage import Stage
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

    Act = Callable[[Broker, Principal], Awaitable[object]]

OTHER = ".github/workflows/other.yml"
OF_THE_PROVIDER: dict[str, Act] = {
    "show": lambda broker, who: repositories.show(broker, who, PROVIDER),
    "enable": lambda broker, who: repositories.enable(broker, who, PROVIDER),
    "disable": lambda broker, who: repositories.disable(broker, who, PROVIDER),
    "workflows": lambda broker, who: workflows.list_workflows(broker, who, PROVIDER),
    "allow": lambda broker, who: workflows.allow(broker, who, PROVIDER, OTHER, force=True),
    "disallow": lambda broker, who: workflows.disallow(broker, who, PROVIDER, RELEASE),
    "publish": lambda b, who: services.publish(b, who, PROVIDER, Publication(RELEASE, "other")),
    "edit": lambda broker, who: services.edit(broker, who, SERVICE, {"title": "Mine"}),
    "unpublish": lambda broker, who: services.unpublish(broker, who, SERVICE),
}
OF_THE_CONSUMER: dict[str, Act] = {
    "disable": lambda broker, who: repositories.disable(broker, who, CONSUMER, "consumer"),
    "pause": lambda broker, who: subscriptions.pause(broker, who, ENDS),
    "resume": lambda broker, who: subscriptions.resume(broker, who, ENDS),
    "configure": lambda broker, who: subscriptions.configure(broker, who, ENDS, Terms()),
    "check": lambda broker, who: check_subscription(broker, who, ENDS),
    "durable": lambda broker, who: make_durable(broker, who, ENDS, Durable(), force=True),
    "ordered": lambda broker, who: make_ordered(broker, who, ENDS, Ordered(), force=True),
    "replays": lambda broker, who: let_provider(broker, who, ENDS, allowed=False),
}
OF_OPERATORS: dict[str, Act] = {
    "hold": lambda broker, who: pauses.pause(broker, who, pauses.Target()),
    "release": lambda broker, who: pauses.resume(broker, who, pauses.Target()),
    "held": pauses.list_pauses,
}
CASES = [
    *(("provider", name, act) for name, act in OF_THE_PROVIDER.items()),
    *(("consumer", name, act) for name, act in OF_THE_CONSUMER.items()),
    *(("operator", name, act) for name, act in OF_OPERATORS.items()),
]
WRITTEN = ("repositories", "allowed_workflows", "services", "subscriptions", "pauses", "audit")


async def written(stage: Stage) -> list[Any]:
    """All that any of it would change."""
    return [await stage.rows(getattr(tables, name)) for name in WRITTEN]


@pytest.mark.parametrize(("end", "name", "act"), CASES)
async def test_who_manages_not_this_end_is_denied_and_nothing_changes(
    stage: Stage, end: str, name: str, act: Act
) -> None:
    there = people(stage)
    await stage.serve()
    before = await written(stage)
    run = WorkflowRun(RunKey(stage.provider.id, 2, 1))
    its_own = {"provider": there.ada, "consumer": there.mia}.get(end)
    strangers: list[Principal] = [there.ada, there.mia, there.wes, there.eve, run]
    for who in strangers:
        if who == its_own:
            continue
        with pytest.raises((AccessDenied, NotFound)) as refused:
            await act(stage.broker, who)
        if who in {there.wes, run}:  # who sees the repositories is told why
            assert isinstance(refused.value, AccessDenied), name
    assert await written(stage) == before


async def test_what_came_before_the_approval_is_the_providers_to_send(stage: Stage) -> None:
    there, wanted = people(stage), Wanted(repository=CONSUMER)
    await stage.publish()
    await go(stage, "request")
    await stage.finish_run("build")
    await stage.flow()
    stage.clock.advance(timedelta(seconds=1))
    (early,) = [row["id"] for row in await stage.rows(tables.deliveries)]
    for approved in (False, True):
        with pytest.raises(Conflict, match="not approved when it came"):
            await replay(stage.broker, there.mia, early)
        found = await count(stage.broker, there.mia, wanted)
        assert (found.total, found.left_out) == (0, {"unapproved": 1})
        done = await replay_many(stage.broker, there.mia, wanted)
        assert (done["made"], done["left_out"]) == (0, 1)
        if not approved:
            await go(stage, "approve")
    await replay(stage.broker, there.ada, early)
    assert [each.kind for each in await stage.deliver() if each] == ["dispatched"]


async def test_what_was_blocked_while_approved_is_the_consumers_to_ask_for(stage: Stage) -> None:
    there = people(stage)
    await stage.serve()
    stage.clock.advance(timedelta(seconds=1))
    await stage.finish_run("build")
    await stage.prepare()
    await services.unpublish(stage.broker, there.ada, SERVICE)
    await stage.deliver()
    row = await stage.row(tables.deliveries)
    assert row["blocked_reason"] == "not_approved"
    await services.publish(stage.broker, there.ada, PROVIDER, Publication(RELEASE, "release"))
    await replay(stage.broker, there.mia, row["id"])
    assert [each.kind for each in await stage.deliver() if each] == ["dispatched"]
