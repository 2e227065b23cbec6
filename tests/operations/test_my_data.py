"""What people want deleted goes though consent stands, and nothing else does."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.operations.news import mirrored
from tests.stage import ME, SERVICE
from zekt_bot.db import lapses as rows_of
from zekt_bot.db import tables
from zekt_bot.db.lapses import Deletion
from zekt_bot.domain.audit import Entry
from zekt_bot.errors import Conflict, NotFound
from zekt_bot.operations import lapses, repositories
from zekt_bot.operations import subscriptions as subscription_operations
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from tests.stage import Stage
    from zekt_bot.testing import Repository

_ENTRY = Entry("person:repository:purged", "person:1")


async def begin(stage: Stage, repository: Repository, *, older: int = 0) -> bool:
    """As a person who has seen it `older` versions ago."""
    known = await mirrored(stage, repository)
    assert known is not None
    deletion = Deletion({known.id: known.version - older}, [_ENTRY], stage.clock.now())
    return await stage.broker.database.write(rows_of.begin, deletion)


async def left(stage: Stage, *names: str) -> dict[str, int]:
    return {name: len(await stage.rows(getattr(tables, name))) for name in names}


OF_A_RUN = ("inbox", "runs", "jobs", "envelopes", "deliveries", "attempts", "messages")
AGREED = ("services", "subscriptions", "allowed_workflows")


async def sent(stage: Stage) -> None:
    await stage.serve("released")
    run = await stage.finish_run("build")
    await stage.listen()
    await stage.post(run)
    await stage.flow()


async def test_of_a_provider_everything_goes(stage: Stage) -> None:
    await sent(stage)
    assert min((await left(stage, *OF_A_RUN, *AGREED)).values()) > 0
    assert await begin(stage, stage.provider)
    await stage.finish_run("build")
    await stage.flow()  # what comes from that moment on is not stored
    assert await lapses.finish(stage.broker) == 1
    assert set((await left(stage, *OF_A_RUN, *AGREED)).values()) == {0}
    told = [row["verb"] for row in await stage.rows(tables.audit)]
    assert "person:repository:purged" in told
    assert await lapses.finish(stage.broker) == 0
    await stage.serve()  # and it may begin anew
    await stage.finish_run("build")
    await stage.flow()
    assert [row["state"] for row in await stage.rows(tables.deliveries)] == ["dispatched"]


async def test_of_a_consumer_what_came_to_it_goes_and_nothing_is_sent_to_it(stage: Stage) -> None:
    await sent(stage)
    await stage.finish_run("build")
    await stage.take()
    assert await begin(stage, stage.consumer)
    await stage.flow()
    await lapses.finish(stage.broker)
    assert await left(stage, "deliveries", "subscriptions", "services") == {
        "deliveries": 0,
        "subscriptions": 0,
        "services": 1,
    }
    ends = Ends(SERVICE, stage.consumer.full_name)
    with pytest.raises(NotFound):
        await subscription_operations.approve(stage.broker, ME, ends)


async def test_until_all_is_gone_nothing_begins_anew(stage: Stage) -> None:
    await sent(stage)
    await begin(stage, stage.provider)
    with pytest.raises(Conflict):
        await repositories.enable(stage.broker, ME, stage.provider.full_name)
    assert await lapses.finish(stage.broker, lambda: True) == 0
    with pytest.raises(Conflict):
        await repositories.enable(stage.broker, ME, stage.provider.full_name)


async def test_what_changed_since_it_was_decided_on_stays(stage: Stage) -> None:
    await sent(stage)
    before = await left(stage, *OF_A_RUN, *AGREED)
    assert not await begin(stage, stage.provider, older=1)
    stage.clock.advance(timedelta(days=1))
    assert await lapses.finish(stage.broker) == 0
    assert await left(stage, *OF_A_RUN, *AGREED) == before
    known = await mirrored(stage, stage.provider)
    assert known is not None
    assert (known.provider, known.purging) == (True, False)
