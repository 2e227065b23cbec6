"""Questions that wait are asked together, and each is answered by what was read afterwards."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from tests.db.rows import DEADLINE, settings_for, until
from zekt_bot.db.database import open_database
from zekt_bot.db.reader import Batcher, Reader
from zekt_bot.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database
    from zekt_bot.testing import ManualClock


class Double:
    """A question, and how it was asked."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, connection: Connection, rows: Sequence[int]) -> list[int]:
        self.calls.append(list(rows))
        return [2 * row for row in rows]

    async def asked(self) -> bool:
        return bool(self.calls)


async def test_who_asks_at_once_is_answered_by_one_call(database: Database) -> None:
    double = Double()
    assert await asyncio.gather(*(database.ask(double, n) for n in range(4))) == [0, 2, 4, 6]
    assert double.calls == [[0, 1, 2, 3]]


async def test_who_asks_while_others_are_answered_is_read_for_anew(database: Database) -> None:
    double = Double()
    first = asyncio.create_task(database.ask(double, 1))
    await until(double.asked)
    assert (await database.ask(double, 2), await first) == (4, 2)
    assert double.calls == [[1], [2]]


async def test_what_cannot_be_read_is_told_to_all_who_ask(database: Database) -> None:
    def lost(connection: Connection, rows: Sequence[int]) -> list[int]:
        connection.execute(text("SELECT * FROM nowhere"))
        return [0] * len(rows)

    for _ in range(2):
        asked = [database.ask(lost, n) for n in range(2)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in found] == [StorageUnavailable] * 2
    with pytest.raises(StorageUnavailable):
        await database.query(lost, [1])


async def test_who_no_longer_waits_takes_nobodys_answer(database: Database) -> None:
    double = Double()
    gone, there = (asyncio.create_task(database.ask(double, n)) for n in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await there == 4
    assert gone.cancelled()


async def test_a_wrong_number_of_answers_ends_no_other_question(database: Database) -> None:
    wrong = [True]

    def short(connection: Connection, rows: Sequence[int]) -> list[int]:
        return [] if wrong.pop() else [*rows]

    with pytest.raises(ValueError, match="0 answers to 1 questions"):
        await database.ask(short, 1)
    wrong.append(False)
    assert await asyncio.wait_for(database.ask(short, 2), DEADLINE) == 2


@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(3)], ids=type)
async def test_what_is_no_error_of_a_question_is_told_as_an_outage(
    database: Database, error: BaseException
) -> None:
    broken = [error]

    def stray(connection: Connection, rows: Sequence[int]) -> list[int]:
        if broken:
            raise broken.pop()
        return [*rows]

    with pytest.raises(StorageUnavailable):
        await asyncio.wait_for(database.ask(stray, 1), DEADLINE)
    assert await asyncio.wait_for(database.ask(stray, 2), DEADLINE) == 2


async def test_a_batcher_that_is_cancelled_leaves_nobody_waiting() -> None:
    class Hanging(Reader):
        def __init__(self) -> None:
            """Without connections."""

        async def query(self, fn: Callable[..., Any], *args: object) -> Any:
            await asyncio.Event().wait()

        async def close(self) -> None: ...

    before, batcher, double = asyncio.all_tasks(), Batcher(Hanging()), Double()
    asked = [asyncio.create_task(batcher.ask(double, 1))]
    await asyncio.sleep(0)
    (serving,) = asyncio.all_tasks() - before - {*asked}
    await asyncio.sleep(0)
    asked.append(asyncio.create_task(batcher.ask(double, 2)))
    await asyncio.sleep(0)
    serving.cancel()
    found = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), DEADLINE)
    assert [type(each) for each in found] == [StorageUnavailable] * 2
    assert serving.cancelled()


async def test_nothing_is_read_after_the_end(migrated_url: str, clock: ManualClock) -> None:
    async with open_database(settings_for(migrated_url), clock) as closed:
        pass
    with pytest.raises(StorageUnavailable):
        await closed.query(Double(), [1])
    with pytest.raises(StorageUnavailable):
        await closed.ask(Double(), 1)


async def test_long_reads_hold_up_nothing_that_is_asked_before_a_post(sqlite: Database) -> None:
    free = threading.Event()
    slow = [asyncio.create_task(sqlite.query(lambda _: free.wait(DEADLINE))) for _ in range(20)]
    try:
        assert await asyncio.wait_for(sqlite.ask(Double(), 2), DEADLINE / 2) == 4
        assert not any(each.done() for each in slow)
    finally:
        free.set()
        await asyncio.gather(*slow)
