"""News of consent go before all that waits in the inbox."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.db.rows import leased
from tests.stage import LEASE, ME
from zekt_bot.db import leases, mirror
from zekt_bot.db.leases import Claim, Return
from zekt_bot.db.tables import deliveries, inbox
from zekt_bot.operations.status import status

if TYPE_CHECKING:
    from tests.stage import Stage
    from zekt_bot.db.handover import Page

SECOND = timedelta(seconds=1)
PAGE = 64
NEWS = ["not_installed", "app_suspended", "archived", "taken out"]


class Idle:
    """A worker that waits for one row of the inbox."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.pages: list[Page] = []

    def request(self) -> Claim:
        now = self.stage.clock.now()
        return Claim("inbox", now, now + LEASE, "lea_idle", 1)

    def take(self, page: Page) -> None:
        self.pages.append(page)

    def wake(self) -> None:
        """It is asked for more anyway."""


async def fill(stage: Stage) -> None:
    """More waits than a page, for as long as it takes to be late."""
    await stage.serve()
    for _ in range(PAGE // 6 + 1):
        await stage.finish_run("build")
    assert len(await stage.take()) > PAGE
    stage.clock.advance(60 * SECOND)


async def tell(stage: Stage, how: str) -> None:
    """The provider's consent goes."""
    if how == "not_installed":
        await stage.github.uninstall(stage.providing)
    elif how == "app_suspended":
        await stage.github.suspend(stage.providing)
    elif how == "archived":
        await stage.github.archive(stage.provider)
    else:
        await stage.github.remove_repositories(stage.providing, stage.provider)
    await stage.take()


async def obstacle(stage: Stage) -> str | None:
    found = await stage.broker.database.query(mirror.repositories_by_id, [stage.provider.id])
    return found[stage.provider.id].obstacle


@pytest.mark.parametrize("how", NEWS)
async def test_the_next_page_acts_on_them(stage: Stage, how: str) -> None:
    await fill(stage)
    await tell(stage, how)
    await stage.route()
    assert await obstacle(stage) == ("not_installed" if how == "taken out" else how)


async def test_what_waited_before_them_does_not_go_out(stage: Stage) -> None:
    await fill(stage)
    await tell(stage, "app_suspended")
    while await stage.route():
        await stage.aggregate()
        await stage.match()
        await stage.deliver()
    assert {row["state"] for row in await stage.rows(deliveries)} <= {"blocked"}
    assert stage.github.dispatches == []


async def test_among_them_the_oldest_is_the_first(stage: Stage) -> None:
    await fill(stage)
    told = [stage.github.suspend, stage.github.unsuspend, stage.github.suspend]
    for each in told:
        await each(stage.providing)
        await stage.take()
        stage.clock.advance(SECOND)
    now = stage.clock.now()
    taken: list[str] = []
    for _ in range(4):
        one = Claim("inbox", now, now + LEASE, "lea_1", 1)
        taken += await stage.broker.database.write(leased, one)
    rows = {row["id"]: row for row in await stage.rows(inbox)}
    assert [rows[each]["action"] for each in taken[:3]] == ["suspend", "unsuspend", "suspend"]
    assert taken == [*sorted(taken[:3]), taken[3]]
    assert rows[taken[3]]["event"] in {"workflow_run", "workflow_job"}


@pytest.mark.parametrize("how", ["given back", "released at a start"])
async def test_what_was_leased_and_not_begun_keeps_its_place(stage: Stage, how: str) -> None:
    await fill(stage)
    await tell(stage, "app_suspended")
    now = stage.clock.now()
    one = Claim("inbox", now, now + LEASE, "lea_1", 1)
    (held,) = await stage.broker.database.write(leased, one)
    stage.clock.advance(SECOND)
    if how == "given back":
        back = Return("inbox", held, "lea_1", stage.clock.now())
        await stage.broker.database.write(leases.give_back, back)
    else:
        await stage.broker.database.write(leases.release_all, stage.clock.now())
    await stage.route()
    assert await obstacle(stage) == "app_suspended"


async def test_what_ended_before_is_not_sent_when_consent_is_back(stage: Stage) -> None:
    await fill(stage)
    await tell(stage, "app_suspended")
    await stage.route()
    stage.clock.advance(SECOND)
    await stage.github.unsuspend(stage.providing)
    await stage.take()
    stage.clock.advance(SECOND)
    while await stage.route():
        await stage.aggregate()
        await stage.match()
    while any(row["state"] == "pending" for row in await stage.rows(deliveries)):
        stage.clock.advance(60 * SECOND)  # at their lane's pace
        await stage.deliver()
    found = {(row["state"], row["blocked_reason"]) for row in await stage.rows(deliveries)}
    assert found == {("blocked", "withdrawn")}
    assert stage.github.dispatches == []


async def test_their_own_commit_hands_them_over(stage: Stage) -> None:
    await fill(stage)
    idle = Idle(stage)
    stage.broker.database.hand_over("inbox", idle)
    await tell(stage, "app_suspended")
    ((first,), *_) = [page.rows for page in idle.pages]
    (row,) = [row for row in await stage.rows(inbox) if row["id"] == first.id]
    assert (row["event"], row["action"]) == ("installation", "suspend")


async def test_they_are_due_since_they_came(stage: Stage) -> None:
    await tell(stage, "app_suspended")
    came = stage.clock.now()
    stage.clock.advance(7 * SECOND)
    assert _shown(await status(stage.broker, ME)) == (1, came, came, 7.0)
    await stage.broker.database.write(
        leased, Claim("inbox", stage.clock.now(), stage.clock.now() + LEASE, "lea_1", 1)
    )
    assert _shown(await status(stage.broker, ME)) == (1, came, stage.clock.now() + LEASE, 0.0)


def _shown(found: dict[str, Any]) -> tuple[Any, ...]:
    (row,) = [row for row in found["waiting"] if row["queue"] == "inbox"]
    return row["rows"], row["oldest_at"], row["due_at"], row["late_seconds"]
