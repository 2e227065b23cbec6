"""What becomes of a delivery for each answer that GitHub may give, through the real process."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.server import RELEASE, Stage, stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.at_length(5)

POST = "/repos/*/dispatches"
MINT = "/app/installations/*/access_tokens"
QUICK = """
from datetime import timedelta
from zekt_bot import hookimpl

@hookimpl(tryfirst=True)
def zekt_retry_delay(attempt):
    return timedelta(milliseconds=50)
"""


@asynccontextmanager
async def quick_stage(url: str, folder: Path) -> AsyncIterator[Stage]:
    """A server that retries at once, as far as GitHub lets it."""
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "quick.py").write_text(QUICK)
    async with stage(url, folder, ZEKT_PLUGINS_DIR=str(plugins), ZEKT_LANE_PER_MINUTE="0") as s:
        yield s


async def outcome(s: Stage, *final: str) -> dict[str, Any]:
    """Finish a run; gives its delivery once it is in a final state."""
    known = {row["id"] for row in await s.zekt.deliveries()}
    run = await s.github.start_run(s.provider, RELEASE)
    await run.complete("success")

    def ended(rows: list[dict[str, Any]]) -> bool:
        return any(row["id"] not in known and row["state"] in final for row in rows)

    rows = await s.zekt.until_deliveries(ended)
    return next(row for row in rows if row["id"] not in known)


ARRIVES: dict[str, Any] = {
    "500": {"status": 500, "times": 2},
    "502": {"status": 502},
    "503": {"status": 503},
    "520": {"status": 520},
    "another 2xx": {"status": 200, "body": {}},
    "the connection is reset": {"reset": True},
    "401, then a fresh token": {"status": 401},
    "401 twice": {"status": 401, "times": 2},
    "404 while it is still granted": {"status": 404},
    "403 while it is still granted": {"status": 403},
    "429": {"status": 429, "headers": {"Retry-After": "1"}},
    "403 with a limit": {"status": 403, "headers": {"Retry-After": "1"}},
    "301": {"status": 301, "headers": {"Location": "https://github.invalid/"}},
    "302": {"status": 302, "headers": {"Location": "https://github.invalid/"}},
    "307": {"status": 307, "headers": {"Location": "https://github.invalid/"}},
    "308": {"status": 308, "headers": {"Location": "https://github.invalid/"}},
}


async def test_what_passes_is_sent_again_until_it_arrives_and_what_is_refused_is_not(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with quick_stage(sqlite_url, tmp_path) as s:
        for number, (name, fault) in enumerate(ARRIVES.items(), start=1):
            s.github.fail("POST", POST, **fault)
            delivery = await outcome(s, "dispatched", "dead", "blocked")
            assert (name, delivery["state"]) == (name, "dispatched")
            assert len(s.github.dispatches) == number, name  # once each, whatever the answer
        for fault in ({"status": 500}, {"reset": True}):
            s.github.revoke_tokens()
            s.github.fail("POST", MINT, **fault)
            assert (await outcome(s, "dispatched", "dead", "blocked"))["state"] == "dispatched"
        arrived = len(s.github.dispatches)
        s.github.fail("POST", POST, status=422)  # a refused payload is dead
        delivery = await outcome(s, "dead")
        assert (delivery["attempts"], len(s.github.dispatches)) == (1, arrived)


async def test_a_rename_that_nobody_told_is_followed(database_url: str, tmp_path: Path) -> None:
    async with quick_stage(database_url, tmp_path) as s:
        with s.github.outage():
            await s.github.rename(s.consumer, "core-sync-2")
        assert (await outcome(s, "dispatched", "dead", "blocked"))["state"] == "dispatched"
        assert (await s.zekt.deliveries())[0]["target"] == "kestrel-bank/core-sync-2"
        posts = [r for r in s.github.requests if r.path.endswith("/dispatches")]
        assert [r.status for r in posts] == [307, 204]


@pytest.mark.parametrize("taken", ["archived", "suspended", "uninstalled", "removed"])
async def test_what_was_taken_away_unheard_is_blocked(
    taken: str, sqlite_url: str, tmp_path: Path
) -> None:
    async with quick_stage(sqlite_url, tmp_path) as s:
        assert (await outcome(s, "dispatched"))["state"] == "dispatched"
        held = next(i for i in s.github.core.world.live_installations() if i.covers(s.consumer))
        with s.github.outage():
            if taken == "archived":
                await s.github.archive(s.consumer)
            elif taken == "suspended":
                await s.github.suspend(held)
            elif taken == "uninstalled":
                await s.github.uninstall(held)
            else:
                await s.github.remove_repositories(held, s.consumer)
        delivery = await outcome(s, "blocked", "dead")
        assert (delivery["state"], delivery["blocked_reason"]) == ("blocked", "no_access")
        assert delivery["reason"]
        assert len(s.github.dispatches) == 1


async def test_what_was_taken_away_by_webhook_is_never_posted(
    database_url: str, tmp_path: Path
) -> None:
    async with quick_stage(database_url, tmp_path) as s:
        held = next(i for i in s.github.core.world.live_installations() if i.covers(s.consumer))
        await s.github.suspend(held)
        delivery = await outcome(s, "blocked", "dispatched")
        assert (delivery["state"], delivery["blocked_reason"]) == ("blocked", "consent")
        await s.github.unsuspend(held)
        async with asyncio.timeout(60):
            while (await outcome(s, "dispatched", "blocked"))["state"] != "dispatched":
                await asyncio.sleep(0.05)
        posts = [r for r in s.github.requests if r.path.endswith("/dispatches")]
        assert len(posts) == len(s.github.dispatches)


async def test_a_refused_key_pauses_the_app_and_the_delivery_goes_out_with_the_right_one(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with quick_stage(sqlite_url, tmp_path) as s:
        s.github.fail("POST", MINT, status=401, times=100)
        run = await s.github.start_run(s.provider, RELEASE)
        await run.complete("success")
        rows = await s.zekt.until_deliveries(lambda rows: any(r["waits_for"] for r in rows))
        assert (rows[0]["state"], rows[0]["waits_for"]) == ("pending", "app")
        s.github.clear_faults()
        assert await s.zekt.end() == 0
        await s.zekt.start()
        await s.github.wait_for_dispatches(1)
        await s.zekt.until_deliveries(lambda rows: rows[0]["state"] == "dispatched")
        assert len(s.github.dispatches) == 1
