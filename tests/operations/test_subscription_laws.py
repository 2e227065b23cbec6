"""Whatever is said of a subscription, and whoever comes to own its ends: one row, one entry a move,
and nobody is subscribed whose present owners did not both agree.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from tests.operations.subscribing import SAY
from tests.stage import ME, RELEASE
from tests.strategies import at_length
from zekt_bot.db import tables
from zekt_bot.db.tables import audit
from zekt_bot.domain.subscriptions import SUBSCRIPTION_MOVES
from zekt_bot.errors import Conflict, NotFound
from zekt_bot.operations import repositories, services, workflows
from zekt_bot.operations.services import Publication
from zekt_bot.operations.subscription_moves import PAST
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from tests.stage import Stage
    from zekt_bot.testing.model import Account, Repository

steps = st.sampled_from([*SAY, "move provider", "move consumer"])
plans = st.lists(steps, min_size=4, max_size=10)


def forget(connection: Connection, rows: Sequence[None]) -> Sequence[None]:
    """Nobody ever subscribed."""
    connection.execute(delete(tables.subscriptions))
    return rows


class Model:
    """What must be true of the one subscription, told by whose word stands."""

    def __init__(self) -> None:
        """There is none yet."""
        self.state: str | None = None
        self.agreed: set[str] = set()  # ends whose present owner said yes

    def says(self, verb: Any) -> bool:
        """Whether this is done; then it is."""
        sources, to = SUBSCRIPTION_MOVES[verb]
        widened = (verb, self.state) == ("accept", "approved")  # of what is there already
        anew = (verb, self.state) == ("request", "requested") and "consumer" not in self.agreed
        unheard = verb == "approve" and "consumer" not in self.agreed
        if widened:
            return True
        if (self.state not in sources and not anew) or unheard:
            return False
        self.state = to
        self.agreed |= {"consumer"} if verb in {"request", "accept"} else {"provider"}
        if to == "requested":
            self.agreed = {"consumer"}
        elif to == "invited":
            self.agreed = {"provider"}
        elif to != "approved":
            self.agreed = set()
        return True

    def moves(self, end: str) -> None:
        """Another owner at an end."""
        if self.state == "approved":
            self.state = "requested"
        if self.state == "invited":
            self.state = "ended"
        self.agreed -= {end, "provider"}


class World:
    """The stage with two accounts that the ends go to and fro between."""

    def __init__(self, stage: Stage, homes: dict[str, Account], other: Account) -> None:
        """Nothing is published yet."""
        self.stage, self.homes, self.other = stage, homes, other

    async def publish(self) -> None:
        """Let the provider's present owner offer it."""
        broker, name = self.stage.broker, self.stage.provider.full_name
        await repositories.enable(broker, ME, name)
        await workflows.allow(broker, ME, name, RELEASE)
        await services.publish(broker, ME, name, Publication(RELEASE, "release"))

    async def move(self, end: str) -> None:
        """Transfer an end; the provider's new owner publishes it again."""
        moving: Repository = getattr(self.stage, end)
        home = self.homes[end]
        await self.stage.github.transfer(moving, self.other if moving.owner is home else home)
        await self.stage.listen()
        if end == "provider":
            await self.publish()

    async def say(self, verb: Any) -> bool:
        """Whether an operator could."""
        provider, consumer = self.stage.provider, self.stage.consumer
        ends = Ends(f"{provider.owner.login}/release", consumer.full_name)
        try:
            await SAY[verb](self.stage.broker, ME, ends)
        except (Conflict, NotFound):
            return False
        return True

    async def row(self) -> Any:
        """The subscription, if there is one."""
        rows = await self.stage.rows(tables.subscriptions)
        assert len(rows) <= 1
        return rows[0] if rows else None

    async def entries(self) -> Counter[tuple[str, str]]:
        """How many entries of a verb the audit has of a subscription."""
        told = select(audit.c.verb, audit.c.details).where(audit.c.verb.like("%:subscription:%"))
        rows = await self.stage.broker.database.query(lambda c: c.execute(told).all())
        return Counter((row.verb, json.loads(row.details)["subscription"]) for row in rows)


async def world_of(stage: Stage) -> World:
    """The world as the last example left it, and no subscription."""
    accounts = {each.login: each for each in stage.github.core.world.accounts.values()}
    homes = {"provider": accounts["aurora-labs"], "consumer": accounts["kestrel-bank"]}
    if "other-org" in accounts:
        await stage.broker.database.write(forget, None)
        return World(stage, homes, accounts["other-org"])
    world = World(stage, homes, stage.github.account("other-org"))
    await stage.github.install(stage.app, world.other)
    await world.publish()
    return world


@settings(max_examples=at_length(2), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans)
@example(plan=["invite", "accept", "move provider", "approve", "move consumer", "approve"])
@example(plan=["request", "move consumer", "approve", "request", "end", "invite", "move provider"])
async def test_nothing_is_approved_but_by_both_present_owners(
    stage: Stage, plan: list[str]
) -> None:
    world, model = await world_of(stage), Model()
    for step in plan:
        before, told = await world.row(), await world.entries()
        verb, _, end = step.partition(" ")
        former = model.state
        if end:
            await world.move(end)
            model.moves(end)
        else:
            assert await world.say(verb) == model.says(verb), (step, former)
        after = await world.row()
        assert (after["state"] if after else None) == model.state
        new = list((await world.entries() - told).elements())
        if after == before:
            assert new == []
            continue
        assert [each for _, each in new] == [after["id"]]
        assert after["version"] == (before["version"] + 1 if before else 1)
        if not end and former != model.state:
            assert new[0][0] == f"person:subscription:{PAST[verb]}"
        if model.state == "approved":
            owners = {stage.provider.owner.id, stage.consumer.owner.id}
            assert {after["requested_account_id"], after["approved_account_id"]} == owners
