"""A `state` is good once, in time, for the browser and the purpose that it was made for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.db.rows import stored
from zekt_bot.db import web_states
from zekt_bot.db.tables import web_states as table
from zekt_bot.db.web_states import Found, Return, State, fingerprint

if TYPE_CHECKING:
    from zekt_bot.db.database import Database
    from zekt_bot.db.web_states import Standing
    from zekt_bot.testing import ManualClock

LIFE = timedelta(minutes=10)
HASH, BROWSER = fingerprint("a state"), fingerprint("a browser")


async def begin(database: Database, clock: ManualClock, hash_: str = HASH) -> Return:
    """Keep a state; gives what comes back with it."""
    now = clock.now()
    state = State(hash_, "sign-in", BROWSER, b"sealed", now, now + LIFE)
    await database.write(web_states.put, state)
    return Return(hash_, "sign-in", BROWSER, now)


async def test_it_is_good_once(database: Database, clock: ManualClock) -> None:
    back = await begin(database, clock)
    many = await asyncio.gather(*(database.write(web_states.take, back) for _ in range(5)))
    assert sorted(found.standing for found in many) == ["ours", *["used"] * 4]
    assert Found("ours", b"sealed") in many


@pytest.mark.parametrize(
    ("changed", "standing"),
    [
        ({"hash": fingerprint("another")}, "unknown"),
        ({"purpose": "setup"}, "unknown"),
        ({"browser": fingerprint("another")}, "other_browser"),
    ],
)
async def test_what_is_not_as_it_was_given_is_refused_and_uses_nothing_up(
    changed: dict[str, Any], standing: Standing, database: Database, clock: ManualClock
) -> None:
    back = await begin(database, clock)
    wrong = replace(back, **changed)
    assert await database.write(web_states.take, wrong) == Found(standing)
    assert (await database.write(web_states.take, back)).standing == "ours"


async def test_it_expires_and_is_forgotten(database: Database, clock: ManualClock) -> None:
    back = await begin(database, clock)
    late = replace(back, now=back.now + LIFE)
    assert await database.write(web_states.take, late) == Found("expired")
    clock.advance(LIFE * 2 + timedelta(seconds=1))
    await begin(database, clock, fingerprint("a later state"))
    assert [row["hash"] for row in await stored(database, table)] == [fingerprint("a later state")]


async def test_one_process_holds_it_while_github_is_asked(
    database: Database, clock: ManualClock
) -> None:
    back = await begin(database, clock)
    holding = replace(back, until=back.now + timedelta(minutes=1))
    assert (await database.write(web_states.take, holding)).standing == "ours"
    assert (await database.write(web_states.take, holding)).standing == "held"
    await database.write(web_states.let_go, HASH)
    assert (await database.write(web_states.take, holding)).standing == "ours"
    later = replace(holding, now=back.now + timedelta(minutes=1))  # who held it has died
    assert (await database.write(web_states.take, later)).standing == "ours"
    assert (await database.write(web_states.take, back)).standing == "ours"
    assert (await database.write(web_states.take, holding)).standing == "used"


async def test_the_table_holds_no_secret(database: Database, clock: ManualClock) -> None:
    await begin(database, clock)
    (row,) = await stored(database, table)
    assert "a state" not in repr(row)
    assert "a browser" not in repr(row)
