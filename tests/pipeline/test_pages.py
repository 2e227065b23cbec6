"""A page of rows: each row is decided for itself, on facts that still hold."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.strategies import at_length
from zekt_bot.errors import Conflict
from zekt_bot.pipeline.pages import Step, each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from tests.stage import Stage
    from zekt_bot.operations.broker import Broker

TRIES = 8
ERRORS = {"raise": RuntimeError, "unwritable": ValueError}
plans = st.dictionaries(
    st.sampled_from([f"row_{n}" for n in range(6)]),
    st.lists(st.just("moved") | st.sampled_from(["moved", "gone", *ERRORS]), max_size=TRIES + 2),
)


class Page:
    """Rows whose facts move, that go away and whose steps raise, as their plans say.

    A plan tells how each try of its row ends; after its end a try succeeds.
    """

    def __init__(self, plans: dict[str, list[str]]) -> None:
        self.plans = plans
        self.tried: Counter[str] = Counter()
        self.gone: set[str] = set()
        self.reads: list[list[str]] = []
        self.decided: list[str] = []
        self.told: list[str] = []

    @property
    def step(self) -> Step[tuple[str, int], tuple[str, str]]:
        return Step(self.read, self.decide, self.apply, self.tell)

    def read(self, connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, int]]:
        self.reads.append(list(ids))
        there = [row for row in ids if row in self.plans and row not in self.gone]
        return {row: (row, self.tried[row]) for row in reversed(there)}  # as databases may

    async def decide(self, broker: Broker, facts: tuple[str, int]) -> tuple[str, str]:
        row, version = facts
        assert version == self.tried[row], "it was asked on old facts"
        self.tried[row] += 1
        self.decided.append(row)
        how = dict(enumerate(self.plans[row])).get(version, "done")
        if how == "raise":
            raise RuntimeError(row)
        if how == "gone":
            self.gone.add(row)
        return row, how

    def apply(self, connection: Connection, rows: Sequence[tuple[str, str]]) -> list[bool]:
        for row, how in rows:
            if how == "unwritable":
                raise ValueError(row)
        return [how == "done" for _, how in rows]

    def tell(self, decision: tuple[str, str]) -> None:
        self.told.append(decision[0])


def ends(plan: list[str]) -> tuple[int, type[Exception] | None]:
    """After how many tries a plan ends, and in what."""
    for tries, how in enumerate([*plan, "done"][:TRIES], start=1):
        unseen = how == "gone" and tries == TRIES  # it is not read once more
        if how != "moved" and not unseen:
            return tries, ERRORS.get(how)
    return TRIES, Conflict


@given(plans=plans)
@example(plans={"row_0": ["moved"] * (TRIES - 1) + ["gone"]})
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=at_length(60))
async def test_each_row_ends_as_it_would_alone(stage: Stage, plans: dict[str, list[str]]) -> None:
    page = Page(plans)
    wanted = [*plans, "row_of_nobody"]
    failed = await each(stage.broker, wanted, page.step)
    expected = {row: ends(plan) for row, plan in plans.items()}
    assert {row: type(error) for row, error in failed.items()} == {
        row: error for row, (_, error) in expected.items() if error
    }
    assert page.tried == Counter({row: tries for row, (tries, _) in expected.items()})
    assert all(str(error) == row for row, error in failed.items() if type(error) is not Conflict)
    assert Counter(page.told) == Counter(plans.keys() - failed.keys() - page.gone)


@given(plans=plans)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=at_length(15))
async def test_facts_are_read_once_for_all_and_again_for_those_who_need_it(
    stage: Stage, plans: dict[str, list[str]]
) -> None:
    page = Page(plans)
    await each(stage.broker, list(plans), page.step)
    tries = {row: ends(plan)[0] + (row in page.gone) for row, plan in plans.items()}
    most = min(TRIES, max(tries.values(), default=1))
    assert page.reads == [[row for row in plans if tries[row] > number] for number in range(most)]


async def test_a_page_of_nothing_is_nothing(stage: Stage) -> None:
    page = Page({})
    assert await each(stage.broker, [], page.step) == {}


async def test_rows_are_decided_and_written_in_their_order(stage: Stage) -> None:
    rows = [f"row_{n}" for n in range(6)]
    page = Page({row: ["moved"] * (n % 3) for n, row in enumerate(rows)})
    assert await each(stage.broker, rows, page.step) == {}
    again = [row for row in rows if page.plans[row]]
    assert page.decided == [*rows, *again, *(row for row in again if len(page.plans[row]) > 1)]
    assert page.told == sorted(rows, key=lambda row: (len(page.plans[row]), row))


async def test_what_is_decided_does_not_wait_for_slow_neighbours(stage: Stage) -> None:
    """A plugin may take up to 100 ms for each."""

    class Slow(Page):
        async def decide(self, broker: Broker, facts: tuple[str, int]) -> tuple[str, str]:
            assert len(self.decided) - len(self.told) <= 1, "a page would outlast its lease"
            stage.clock.advance(timedelta(milliseconds=40))
            return await super().decide(broker, facts)

    page = Slow({f"row_{n}": [] for n in range(7)})
    assert await each(stage.broker, list(page.plans), page.step) == {}
    assert page.told == list(page.plans)


async def test_a_read_that_fails_later_keeps_what_failed_before(stage: Stage) -> None:
    class Unreadable(Page):
        def read(self, connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, int]]:
            if self.reads:
                raise ValueError("unreadable")
            return super().read(connection, ids)

    page = Unreadable({"row_0": ["raise"], "row_1": ["moved"], "row_2": []})
    failed = await each(stage.broker, list(page.plans), page.step)
    assert {row: str(error) for row, error in failed.items()} == {
        "row_0": "row_0",
        "row_1": "unreadable",
    }
    assert page.told == ["row_2"]
