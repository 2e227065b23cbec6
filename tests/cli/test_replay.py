"""`zekt deliveries replay`: counted first, sent when it is said so; and `zekt events retry`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.server import environ_of
from tests.cli.command import KEY, zekt
from tests.pipeline.between import Raising
from tests.pipeline.test_set_aside import wear_out
from tests.stage import SERVICE, open_stage
from zekt_bot.domain.events import Run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONSUMER = "kestrel-bank/core-sync"


@pytest.fixture
async def environ(migrated_sqlite: str) -> AsyncIterator[dict[str, str]]:
    """A server's settings, after one delivery."""
    async with open_stage(migrated_sqlite, secret_keys=(KEY,)) as stage:
        await stage.serve()
        await stage.finish_run("build")
        await stage.flow()
        yield environ_of(migrated_sqlite, stage.github, stage.app) | {"ZEKT_SECRET_KEY": KEY}


async def test_many_are_counted_and_sent_only_with_yes(environ: dict[str, str]) -> None:
    async def listed() -> list[str]:
        found = json.loads((await zekt("deliveries", "list", "--json", **environ)).out)
        return [row["id"] for row in found]

    words = ("deliveries", "replay", "--service", SERVICE)
    counted = await zekt(*words, **environ)
    assert "1 would be sent again (dispatched 1)." in counted.out
    assert "--yes" in counted.out
    (original,) = await listed()
    assert "1 are sent again, 0 are not." in (await zekt(*words, "--yes", **environ)).out
    assert len(await listed()) == 2
    none = await zekt(*words, "--state", "dead", **environ)
    assert none.out == "0 would be sent again.\n"
    busy = await zekt("deliveries", "replay", original, **environ)
    assert busy.code == 3
    assert "wait for its end" in busy.err


async def test_one_is_sent_by_its_id(environ: dict[str, str]) -> None:
    (row,) = json.loads((await zekt("deliveries", "list", "--json", **environ)).out)
    made = await zekt("deliveries", "replay", row["id"], **environ)
    assert "zekt deliveries show dlv_" in made.out


async def test_it_must_be_said_which(environ: dict[str, str]) -> None:
    for words in ((), ("dlv_1", "--service", SERVICE)):
        ended = await zekt("deliveries", "replay", *words, **environ)
        assert ended.code == 2
        assert "name one delivery" in ended.err


async def test_a_consumer_keeps_its_provider_from_it(environ: dict[str, str]) -> None:
    for verb, said in (("refuse-replay", "Only the people"), ("allow-replay", "may send again")):
        ended = await zekt("subscriptions", verb, SERVICE, CONSUMER, **environ)
        assert said in ended.out


async def test_an_event_that_was_set_aside_is_tried_again_by_its_id(migrated_sqlite: str) -> None:
    async with open_stage(migrated_sqlite, secret_keys=(KEY,)) as stage:
        await stage.serve()
        await stage.finish_run("build")
        await stage.listen()
        stage.broker.plugins.register(Raising(Run), "raising")
        await wear_out(stage, "runs")
        environ = environ_of(migrated_sqlite, stage.github, stage.app) | {"ZEKT_SECRET_KEY": KEY}
        (row,) = json.loads((await zekt("events", "list", "--json", **environ)).out)
        assert row["state"] == "set_aside"
        tried = await zekt("events", "retry", row["correlation_id"], **environ)
        assert f"zekt events show {row['correlation_id']}" in tried.out
        (row,) = json.loads((await zekt("events", "list", "--json", **environ)).out)
        assert (row["state"], row["failures"]) == ("gathering", 0)
        none = await zekt("events", "retry", row["id"], **environ)
        assert none.code == 3
        assert "Nothing of it is set aside" in none.err
