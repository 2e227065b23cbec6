"""The export: what it holds, that it is whole in pages, and who may have it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.operations.people import people
from tests.stage import ME
from zekt_bot.db.lists import everything
from zekt_bot.db.tables import audit, deliveries, runs
from zekt_bot.domain.lists import Span
from zekt_bot.errors import AccessDenied, InvalidInput
from zekt_bot.operations.export import export

if TYPE_CHECKING:
    from tests.stage import Stage


async def exported(stage: Stage, *kinds: Any, **span: Any) -> list[dict[str, Any]]:
    if not kinds:
        return [row async for row in export(stage.broker, ME)]
    return [row async for row in export(stage.broker, ME, kinds, Span(**span))]


async def three_events(stage: Stage) -> None:
    await stage.serve()
    for _ in range(3):
        await stage.finish_run("build")
        await stage.flow()
        stage.clock.advance(timedelta(minutes=1))


async def test_everything_comes_once_and_nothing_is_unsealed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await three_events(stage)
    whole = await exported(stage)
    for kind, table, key in (
        ("event", runs, ("id",)),
        ("delivery", deliveries, ("id",)),
        ("audit", audit, ("chain", "seq")),
    ):
        found = [tuple(row[name] for name in key) for row in whole if row["record"] == kind]
        stored = [tuple(row[name] for name in key) for row in await stage.rows(table)]
        assert sorted(found) == sorted(stored)
    assert not [value for row in whole for value in row.values() if isinstance(value, bytes)]
    for size in (1, 2):
        monkeypatch.setattr(everything, "PAGE", size)
        assert await exported(stage) == whole


async def test_a_row_tells_what_people_ask(stage: Stage) -> None:
    await three_events(stage)
    event, *_ = await exported(stage, "events")
    assert (event["source"], event["conclusion"]) == ("aurora-labs/payments-api", "success")
    delivery, *_ = await exported(stage, "deliveries")
    assert (delivery["target"], delivery["state"]) == ("kestrel-bank/core-sync", "dispatched")
    entry = (await exported(stage, "audit"))[-1]
    assert (entry["verb"], entry["details"]["outcome"]) == (
        "zekt:delivery:dispatched",
        "dispatched",
    )
    assert len(entry["hash"]) == 64


@pytest.mark.parametrize(
    ("kind", "time"), [("events", "received_at"), ("deliveries", "created_at")]
)
async def test_times_let_less_through(stage: Stage, kind: str, time: str) -> None:
    await three_events(stage)
    first, second, third = await exported(stage, kind)
    at = second[time]
    assert await exported(stage, kind, since=at) == [second, third]
    assert await exported(stage, kind, until=at) == [first]
    assert await exported(stage, kind, since=at, until=third[time]) == [second]
    late = await exported(stage, "audit", since=third["received_at" if kind == "events" else time])
    assert 0 < len(late) < len(await exported(stage, "audit"))


async def test_it_is_an_operators(stage: Stage) -> None:
    with pytest.raises(AccessDenied):
        [row async for row in export(stage.broker, people(stage).ada)]
    with pytest.raises(InvalidInput, match="events, deliveries, audit"):
        await exported(stage, "secrets")
