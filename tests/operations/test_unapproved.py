"""Who is not approved learns nothing of the provider: that something came, and of which type."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.operations.people import people
from tests.operations.subscribing import ENDS, WAY, go
from tests.stage import ME, RELEASE, SERVICE
from zekt_bot import Delivery, hookimpl
from zekt_bot.domain.lists import DeliveryFilter, Page
from zekt_bot.domain.subscriptions import Filters
from zekt_bot.errors import Conflict
from zekt_bot.operations import deliveries, pauses, subscriptions
from zekt_bot.operations.replay import replay
from zekt_bot.operations.subscription_terms import Terms

if TYPE_CHECKING:
    from tests.stage import Stage

PROVIDER, CONSUMER = "aurora-labs/payments-api", "kestrel-bank/core-sync"


@pytest.mark.parametrize("state", ["requested", "rejected", "revoked", "invited"])
async def test_who_is_not_approved_learns_nothing_of_the_provider(stage: Stage, state: Any) -> None:
    there = people(stage)
    await stage.publish()
    await go(stage, *WAY[state])
    await stage.finish_run("build", head_branch="next")
    await stage.flow()
    to_me = DeliveryFilter(repository=CONSUMER)
    (listed,) = await deliveries.list_deliveries(stage.broker, there.mia, Page(), to_me)
    shown = await deliveries.show_delivery(stage.broker, there.mia, listed["id"])
    secrets = (PROVIDER, RELEASE, str(stage.provider.id), "/actions/runs/", "Release", "success")
    for found in (listed, shown):
        assert (found["service"], found["blocked_reason"]) == (SERVICE, "not_approved")
        assert [word for word in secrets if word in repr(found)] == []
    assert [entry["verb"] for entry in shown["history"]] == ["zekt:delivery:blocked"]
    whole = await deliveries.show_delivery(stage.broker, there.ada, listed["id"])
    assert (whole["source"], whole["conclusion"]) == (PROVIDER, "success")


class _First:
    """A plugin that is asked before the built-in policy, and has a reason of its own, or fails."""

    def __init__(self, *, fails: bool) -> None:
        self.fails = fails

    @hookimpl
    def zekt_block_reason(self, subject: object) -> str | None:
        if not isinstance(subject, Delivery):
            return None
        if self.fails:
            raise RuntimeError
        return "quiet_hours"


@pytest.mark.parametrize("how", ["blocks", "fails", "is held"])
async def test_who_is_not_approved_learns_nothing_whatever_else_stands_in_the_way(
    stage: Stage, how: str
) -> None:
    there = people(stage)
    await stage.publish()
    await go(stage, "request")
    if how == "is held":
        await pauses.pause(stage.broker, ME, pauses.Target())
    else:
        stage.broker.plugins.register(_First(fails=how == "fails"), "first")
    await stage.finish_run("build")
    await stage.flow()
    to_me = DeliveryFilter(repository=CONSUMER)
    stage.clock.advance(timedelta(seconds=1))
    secrets = (PROVIDER, RELEASE, str(stage.provider.id), "/actions/runs/", "success")
    for approved in (False, True):
        (listed,) = await deliveries.list_deliveries(stage.broker, there.mia, Page(), to_me)
        shown = await deliveries.show_delivery(stage.broker, there.mia, listed["id"])
        assert [word for word in secrets if word in repr((listed, shown))] == []
        with pytest.raises(Conflict):
            await replay(stage.broker, there.mia, listed["id"])
        if not approved:
            await go(stage, "approve")
    whole = await deliveries.show_delivery(stage.broker, there.ada, listed["id"])
    assert [word for word in secrets if word not in repr(whole)] == []


@pytest.mark.parametrize("only", [Filters(branches=("ne*",)), Filters(conclusions=("success",))])
async def test_no_filter_of_who_is_not_approved_tells_of_a_run(stage: Stage, only: Filters) -> None:
    there = people(stage)
    await stage.publish()
    await subscriptions.request(stage.broker, there.mia, ENDS, Terms(filters=only))
    to_me = DeliveryFilter(repository=CONSUMER)
    for many in (0, 1):
        await stage.finish_run("build", head_branch="next")
        await stage.flow()
        found = await deliveries.list_deliveries(stage.broker, there.mia, Page(), to_me)
        assert len(found) == many
        if not many:
            await go(stage, "approve")
