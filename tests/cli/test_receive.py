"""`zekt receive`: a payload file becomes a webhook that a running server takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.acceptance.server import stage
from tests.cli.command import zekt

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_payload_is_taken_once_and_its_answer_printed(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with stage(sqlite_url, tmp_path) as s:
        with s.github.hold() as held:
            run = await s.github.start_run(s.provider, ".github/workflows/release.yml")
            await run.complete("success")
        file = tmp_path / "payload.json"
        file.write_bytes(held[-1].body)
        words = ("receive", str(file), "--event", "workflow_run", "--url", f"{s.zekt.url}/")
        first, second = [
            await zekt(*words, "--delivery", "by-hand-1", **s.zekt.environ) for _ in range(2)
        ]
        assert (first.code, second.code) == (0, 0)
        for ended, duplicate in ((first, False), (second, True)):
            status, _, said = ended.out.partition(" ")
            assert status == "202"
            assert json.loads(said) == {"delivery": "by-hand-1", "duplicate": duplicate}
        await s.zekt.until_deliveries(lambda rows: [r["state"] for r in rows] == ["dispatched"])

        other = {"ZEKT_ORCHESTRATOR_WEBHOOK_SECRET": "another secret than the App's"}
        refused = await zekt(*words, **{**s.zekt.environ, **other})
        assert (refused.code, refused.out) == (3, "")
        assert "The server answered 401" in refused.err


async def test_without_a_server_or_a_secret_it_says_so(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_text("{}")
    words = ("receive", str(file), "--event", "ping")
    bare = await zekt(*words, DATABASE_URL=sqlite_url)
    assert (bare.code, "ZEKT_ORCHESTRATOR_WEBHOOK_SECRET" in bare.err) == (6, True)
    alone = await zekt(
        *words,
        DATABASE_URL=sqlite_url,
        ZEKT_PUBLIC_URL="http://127.0.0.1:9",
        ZEKT_ORCHESTRATOR_WEBHOOK_SECRET="a secret of some length",
    )
    assert (alone.code, "zekt serve" in alone.err) == (7, True)
    assert (await zekt("receive", str(tmp_path / "none"), "--event", "ping")).code == 2
