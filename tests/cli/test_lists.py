"""`zekt events` and `zekt deliveries`, beside a server that is running."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.acceptance.server import RELEASE, Stage, stage

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "Release \x1b[31m\x07 [bold]v2[/bold]"


async def two_runs(s: Stage) -> list[dict[str, Any]]:
    """One that arrives and one that GitHub refuses; the deliveries, newest first."""
    for conclusion in ("success", "failure"):
        run = await s.github.start_run(s.provider, RELEASE)
        await (await run.start_job(f"build {conclusion}")).complete(conclusion)
        await run.complete(conclusion)
        await s.zekt.until_deliveries(lambda rows: bool(rows) and rows[0]["state"] != "pending")
        s.github.fail("POST", "/repos/*/dispatches", status=422)
    return await s.zekt.until_deliveries(lambda rows: [r["state"] for r in rows][:1] == ["dead"])


async def test_lists_and_details_tell_the_same_story(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as s:
        dead, dispatched = await two_runs(s)
        assert (dead["state"], dispatched["state"]) == ("dead", "dispatched")

        async def ids(*options: str) -> list[str]:
            listed = json.loads(await s.zekt.command("deliveries", "list", "--json", *options))
            return [row["id"] for row in listed]

        assert await ids("--limit", "1") == [dead["id"]]
        assert await ids("--before", dead["id"]) == [dispatched["id"]]
        assert await ids("--state", "dispatched") == [dispatched["id"]]

        shown = json.loads(await s.zekt.command("deliveries", "show", dead["id"], "--json"))
        assert [a["status"] for a in shown["attempts"]] == [422]
        assert shown["history"][-1]["verb"].endswith(":dead")
        told = await s.zekt.command("deliveries", "show", dead["id"])
        for part in (
            "✕ dead (github_422)",
            "GitHub refused the content",
            "aurora-labs/release ╌╌ ✕ dead ╌╌ kestrel-bank/core-sync",
            "attempt 1",
            "GitHub answered 422",
            "+0 s",
        ):
            assert part in told

        event = json.loads(await s.zekt.command("events", "show", dead["correlation_id"], "--json"))
        assert [job["name"] for job in event["jobs"]] == ["build failure"]
        assert [row["id"] for row in event["deliveries"]] == [dead["id"]]
        assert event["id"] in await s.zekt.command("events", "show", event["correlation_id"])
        assert "aurora-labs/payments-api" in await s.zekt.command("events", "list")
        table = await s.zekt.command("deliveries", "list")
        assert all(row["id"] in table for row in (dead, dispatched))


async def test_what_strangers_wrote_cannot_steer_the_terminal(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with stage(sqlite_url, tmp_path) as s:
        run = await s.github.start_run(s.provider, RELEASE)
        job = await run.start_job(HOSTILE)
        await job.complete("success")
        await run.complete("success")
        (row,) = await s.zekt.until_deliveries(
            lambda rows: bool(rows) and rows[0]["state"] == "dispatched"
        )
        shown = await s.zekt.command("events", "show", row["correlation_id"])
        assert "Release ?[31m? [bold]v2[/bold]" in shown
        assert "\x1b" not in shown
