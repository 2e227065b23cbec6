"""What a commit makes due is leased by that very commit for a worker that has room."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.db.rows import inbox_row, put, stored
from zekt_bot.db import handover, units
from zekt_bot.db.leases import Claim
from zekt_bot.db.tables import inbox
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database
    from zekt_bot.db.handover import Page

LEASE = timedelta(seconds=60)


class Hand:
    """Takes up to `room` rows of the inbox."""

    def __init__(self, room: int) -> None:
        self.room, self.woken = room, 0
        self.pages: list[Page] = []

    def request(self) -> Claim | None:
        return Claim("inbox", START, START + LEASE, "lea_hand", self.room) if self.room else None

    def take(self, page: Page) -> None:
        self.pages.append(page)

    def wake(self) -> None:
        self.woken += 1

    @property
    def taken(self) -> list[str]:
        return [row.id for page in self.pages for row in page.rows]


def add(connection: Connection, rows: Sequence[int]) -> list[None]:
    """Due rows; a number below zero is refused."""
    put(connection, [(inbox, [inbox_row(abs(n), due_at=START) for n in rows])])
    units.wake(connection, "inbox")
    if any(n < 0 for n in rows):
        raise ValueError("below zero")
    return [None] * len(rows)


def offering(database: Database, room: int) -> Hand:
    hand = Hand(room)
    database.hand_over("inbox", hand)
    return hand


async def test_what_becomes_due_is_leased_by_the_commit_that_made_it_so(database: Database) -> None:
    hand = offering(database, 64)
    await database.write(add, 1)
    (row,) = await stored(database, inbox)
    ((leased,),) = [page.rows for page in hand.pages]
    assert leased == (row["id"], row["lease"], row["due_at"]) == (row["id"], "lea_hand", leased[2])
    assert row["due_at"] == START + LEASE == hand.pages[0].next_due
    assert hand.woken == 0


async def test_who_has_no_room_is_woken(database: Database) -> None:
    hand = offering(database, 0)
    await database.write(add, 1)
    assert (hand.taken, hand.woken) == ([], 1)
    assert (await stored(database, inbox))[0]["lease"] is None


async def test_what_is_left_due_is_told(database: Database) -> None:
    hand = offering(database, 1)
    await asyncio.gather(database.write(add, 1), database.write(add, 2))
    found = {row["id"]: row["lease"] for row in await stored(database, inbox)}
    assert [found[row_id] for row_id in hand.taken] == ["lea_hand"] * len(hand.taken)
    assert hand.pages[0].next_due == (START if None in found.values() else START + LEASE)


@pytest.mark.parametrize("room", [1, 64])
async def test_others_are_told_only_of_what_is_left(database: Database, room: int) -> None:
    told: list[set[str]] = []

    def write(connection: Connection, rows: Sequence[int]) -> list[None]:
        add(connection, rows)
        unit = units.Unit(topics={"inbox", "runs"})
        handover.finish(connection, unit, {"inbox": Claim("inbox", *_LEASED, room)}.get)
        told.append(unit.topics)
        return [None] * len(rows)

    def both(connection: Connection, rows: Sequence[None]) -> Sequence[None]:
        write(connection, [1, 2])
        return rows

    await database.write(both, None)
    assert told == [{"inbox", "runs"} if room == 1 else {"runs"}]


_LEASED = START, START + LEASE, "lea_1"


async def test_a_failed_transaction_hands_nothing_over(database: Database) -> None:
    hand = offering(database, 64)
    written = await asyncio.gather(
        database.write(add, 1), database.write(add, -2), return_exceptions=True
    )
    assert [type(each) for each in written] == [type(None), ValueError]
    assert hand.taken == [row["id"] for row in await stored(database, inbox)]
    assert len(hand.taken) == 1
