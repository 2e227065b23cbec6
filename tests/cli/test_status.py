"""`zekt status`: the same as `/status`, for people, once or live."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.acceptance.server import stage
from tests.cli.command import KEY, environment, zekt
from tests.db.rows import put, settings_for
from tests.stage import open_stage
from zekt_bot.chores import Chores
from zekt_bot.cli.output import moment
from zekt_bot.clock import SystemClock
from zekt_bot.db.database import open_database
from zekt_bot.db.tables import coverage, processes, repositories
from zekt_bot.domain.recovery import READ_EVERY
from zekt_bot.pipeline import recovery
from zekt_bot.testing import ManualClock

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


async def test_a_running_server_shows_itself_to_both(sqlite_url: str, tmp_path: Path) -> None:
    async with stage(sqlite_url, tmp_path) as s, aiohttp.ClientSession() as session:
        told = json.loads(await s.zekt.command("status", "--json"))
        (process,) = told["processes"]
        assert s.zekt.process is not None
        assert (process["kind"], process["pid"]) == ("serve", s.zekt.process.pid)
        async with session.get(f"{s.zekt.url}/status") as answer:
            served = await answer.json()
        assert served["processes"][0]["id"] == process["id"]
        assert served.keys() == told.keys()


def unread(count: int, now: datetime) -> list[dict[str, Any]]:
    """Repositories that take part, and that GitHub does not list."""
    row = {"account_id": 1, "installation_id": 1, "private": True, "archived": False, "version": 1}
    moments = dict.fromkeys(("consumer_enabled_at", "unread_since", "updated_at"), now)
    return [
        row
        | moments
        | {"id": n, "full_name": f"aurora-labs/api-{n}", "full_name_lower": f"aurora-labs/api-{n}"}
        for n in range(1, count + 1)
    ]


async def test_people_see_who_is_not_well_and_what_waits(migrated_sqlite: str) -> None:
    empty = await zekt("status", DATABASE_URL=migrated_sqlite)
    assert "Nobody works" in empty.out
    assert "not known yet" in empty.out
    now = SystemClock().now()
    row: dict[str, Any] = {
        "kind": "worker",
        "host": "there",
        "pid": 7,
        "version": "1",
        "started_at": now,
    }
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("a", "well", {}),
        ("b", "clock +2.5 s off", {"clock_offset_us": 2_500_000}),
        ("c", "hears nothing", {"listening": False}),
        ("d", "no heartbeat", {"beat_at": now - timedelta(minutes=1)}),
    ]
    rows = [
        row
        | {"id": name, "beat_at": now, "figures": "{}", "clock_offset_us": 0, "listening": True}
        | changed
        for name, _, changed in kinds
    ]
    async with open_database(settings_for(migrated_sqlite, KEY), SystemClock()) as database:
        await database.write(put, (processes, rows))
        row = {"no_gap_since": now, "covered_to": now}
        await database.write(put, (coverage, [{"name": name, **row} for name in READ_EVERY]))
        await database.write(put, (repositories, unread(22, now)))
    shown = await zekt("status", DATABASE_URL=migrated_sqlite)
    assert shown.code == 0
    for said in (*(said for _, said, _ in kinds), "No event is missing since"):
        assert said in shown.out
    assert shown.out.count("could not be compared") == 20
    assert "Except of aurora-labs/api-1:" in shown.out
    assert "And of 2 more repositories." in shown.out


async def look(url: str, at: datetime, status: int = 200) -> None:
    """Read GitHub's lists at this time; it answers so to who asks for the App's webhooks."""
    async with open_stage(url, ManualClock(at), secret_keys=(KEY,)) as held:
        if status != 200:
            held.github.fail("GET", "/app/hook/deliveries", status=status)
        every = Chores(held.broker, lambda: False).every
        await next(chore.work() for chore in every if chore.name == recovery.CHORE)


async def test_people_see_up_to_when_anybody_looked(migrated_url: str) -> None:
    async def shown() -> str:
        ended = await zekt("status", DATABASE_URL=migrated_url, ZEKT_SECRET_KEY=KEY)
        assert ended.code == 0, ended.err
        return " ".join(ended.out.split())

    began = SystemClock().now() - timedelta(hours=5)
    since, webhooks = moment(began - timedelta(hours=72)), moment(began - timedelta(minutes=1))
    await look(migrated_url, began)
    await look(migrated_url, began + timedelta(hours=1), status=500)
    told = await shown()
    assert f"No event is missing since {since}, up to {webhooks}." in told
    assert f"the App's webhooks since {webhooks}: GitHub answered 500: Server Error." in told
    runs = moment(began + timedelta(hours=1))
    assert f"Nobody has read GitHub's lists of runs since {runs}." in told
    now = SystemClock().now()
    await look(migrated_url, now)
    told = await shown()
    assert f"No event is missing since {since}, up to {moment(now - timedelta(minutes=1))}." in told
    assert "Nobody has read" not in told
    assert "Nobody could" not in told


async def test_watching_shows_it_again_until_it_is_stopped(migrated_sqlite: str) -> None:
    await look(migrated_sqlite, SystemClock().now() - timedelta(hours=5))
    watching = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "zekt_bot",
        "status",
        "--watch",
        env=environment(DATABASE_URL=migrated_sqlite),
        stdout=asyncio.subprocess.PIPE,
        # A shell's background job has it ignored, and a child would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert watching.stdout is not None
    seen = 0
    async with asyncio.timeout(60):
        while seen < 2:
            seen += b"Nobody has read" in await watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        await watching.communicate()
    assert watching.returncode == 0


async def test_watching_is_for_people(migrated_sqlite: str) -> None:
    ended = await zekt("status", "--watch", "--json", DATABASE_URL=migrated_sqlite)
    assert ended.code == 2
    assert "leave out --json" in ended.err
