"""A page of rows: each row is decided for itself, on facts that still hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.strategies import at_length
from zekt_bot.errors import Conflict
from zekt_bot.pipeline.pages import each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from tests.stage import Stage
    from zekt_bot.operations.broker import Broker

TRIES = 8
plans = st.dictionaries(
    st.sampled_from([f"row_{n}" for n in range(6)]),
    st.lists(st.just("moved") | st.sampled_from(["moved", "raise", "gone"]), max_size=TRIES + 2),
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

    def read(self, connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, int]]:
        self.reads.append(list(ids))
        there = [row for row in ids if row in self.plans and row not in self.gone]
        return {row: (row, self.tried[row]) for row in there}

    async def step(self, broker: Broker, facts: tuple[str, int]) -> bool:
        row, version = facts
        assert version == self.tried[row], "it was asked on old facts"
        self.tried[row] += 1
        await asyncio.sleep(0)  # the rows of a page take turns
        how = dict(enumerate(self.plans[row])).get(version, "done")
        if how == "raise":
            raise RuntimeError(row)
        if how == "gone":
            self.gone.add(row)
        return how == "done"


def ends(plan: list[str]) -> tuple[int, type[Exception] | None]:
    """After how many tries a plan ends, and in what."""
    for tries, how in enumerate([*plan, "done"][:TRIES], start=1):
        if how != "moved":
            return tries, RuntimeError if how == "raise" else None
    return TRIES, Conflict


@given(plans=plans)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=at_length(60))
async def test_each_row_ends_as_it_would_alone(stage: Stage, plans: dict[str, list[str]]) -> None:
    page = Page(plans)
    wanted = [*plans, "row_of_nobody"]
    failed = await each(stage.broker, wanted, page.read, page.step)
    expected = {row: ends(plan) for row, plan in plans.items()}
    assert {row: type(error) for row, error in failed.items()} == {
        row: error for row, (_, error) in expected.items() if error
    }
    assert page.tried == Counter({row: tries for row, (tries, _) in expected.items()})
    assert all(str(error) == row for row, error in failed.items() if type(error) is RuntimeError)


@given(plans=plans)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=at_length(15))
async def test_facts_are_read_once_for_all_and_again_only_for_who_needs_it(
    stage: Stage, plans: dict[str, list[str]]
) -> None:
    page = Page(plans)
    failed = await each(stage.broker, list(plans), page.read, page.step)
    first, *again = page.reads
    assert first == list(plans)
    moved = {
        row: tries - (row not in page.gone and not isinstance(failed.get(row), Conflict))
        for row, tries in page.tried.items()
    }
    assert Counter(row for rows in again for row in rows) == +Counter(moved)
    assert all(len(rows) == 1 for rows in again)


async def test_a_page_of_nothing_is_nothing(stage: Stage) -> None:
    page = Page({})
    assert await each(stage.broker, [], page.read, page.step) == {}
