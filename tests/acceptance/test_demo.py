"""`make demo`: the story ends well, says so, and fails aloud when something is not as it should."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession

from tests.programs import needs
from zekt_bot.cli.demo.stage import DEPLOY, open_stage
from zekt_bot.cli.demo.story import tell

if TYPE_CHECKING:
    from zekt_bot.cli.demo.stage import Stage

_WITHIN = 120.0


async def start_demo(folder: Path, *options: str) -> asyncio.subprocess.Process:
    """`zekt demo` as somebody else's command, somewhere else."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "zekt_bot",
        "demo",
        *options,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def test_it_shows_what_arrived_went_out_and_was_blocked(tmp_path: Path) -> None:
    process = await start_demo(tmp_path)
    async with asyncio.timeout(_WITHIN):
        out = (await process.communicate())[0].decode()
    assert process.returncode == 0, out
    assert out.rstrip().endswith("All as it should be.")
    for told in (
        "arrived: workflow_run.completed",
        "dispatched → kestrel-bank/core-sync release-published",
        "dispatched → kestrel-bank/core-sync zekt-workflow-completed",
        "blocked: not_approved → kestrel-bank/mobile-app",
        "blocked: not_allowed",
        '"image":"registry.example/payments@sha256:5f2c"',
        "kestrel-bank/release-board ran .github/workflows/consumer-receive.yml: success",
        "delivery completed",
    ):
        assert told in out
    assert re.search(r"ran to their ends, in \d+\.\d s", out)
    assert "✗" not in out
    assert list(tmp_path.iterdir()) == []  # it cleans up after itself


async def ends_badly(stage: Stage, out: pytest.CaptureFixture[str], *failed: str) -> None:
    """The story is told to its end, and these checks alone fail."""
    assert not await tell(stage)
    said = out.readouterr().out
    assert re.findall(r"✗ (.*)", said) == list(failed)
    assert said.rstrip().endswith("Something was not as it should be.")


async def test_it_fails_when_a_dispatch_does_not_go_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with open_stage() as stage:
        stage.world.github.fail("POST", "/repos/*/dispatches", status=422)
        await ends_badly(
            stage,
            capsys,
            "kestrel-bank/core-sync was sent Release exactly once",
            "kestrel-bank/core-sync received Release's message in one dispatch",
            "two dispatches of these three runs, no more",
        )


@pytest.mark.long
async def test_it_fails_when_an_installation_is_not_heard_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with open_stage(patience=3) as stage:
        stage.world.github.fail("GET", "/app/installations", status=502, times=99)
        with stage.world.github.outage("installation"):
            await ends_badly(
                stage,
                capsys,
                "Zekt heard that aurora-labs installed the App",
                "Zekt heard that kestrel-bank installed the App",
            )


@pytest.mark.long
async def test_it_fails_when_no_job_was_heard_of(capsys: pytest.CaptureFixture[str]) -> None:
    async with open_stage() as stage:
        with stage.world.github.outage("workflow_job"):
            await ends_badly(
                stage,
                capsys,
                "what was sent of Release names the jobs that ran",
                "what was sent of Nightly checks names the jobs that ran",
            )


async def test_it_fails_when_a_webhook_was_refused(capsys: pytest.CaptureFixture[str]) -> None:
    async with open_stage() as stage:
        app = stage.world.app
        right, app.webhook_secret = app.webhook_secret, "another secret"
        await stage.world.github.ping(app)
        app.webhook_secret = right
        await ends_badly(stage, capsys, "Zekt accepted 29 of GitHub's 30 webhooks")


@pytest.mark.long
async def test_it_fails_when_the_consumers_workflow_does_not_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with open_stage(patience=3) as stage:
        (deploy,) = stage.world.approved.workflows
        deploy.finishes = None
        await ends_badly(
            stage,
            capsys,
            "kestrel-bank/core-sync's workflow ran to its end on Release",
            "kestrel-bank/core-sync's workflow got what was sent of Release",
            "kestrel-bank/core-sync's workflow ran to its end on Nightly checks",
            "kestrel-bank/core-sync's workflow got what was sent of Nightly checks",
        )


async def test_it_fails_when_the_consumers_workflow_got_something_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with open_stage() as stage:
        (deploy,) = stage.world.approved.workflows
        deploy.on_dispatch_types = ()
        for _ in range(2):
            run = await stage.world.github.start_run(
                stage.world.approved, DEPLOY, event="repository_dispatch", client_payload={}
            )
            await run.complete()
        await ends_badly(
            stage,
            capsys,
            "kestrel-bank/core-sync's workflow got what was sent of Release",
            "kestrel-bank/core-sync's workflow got what was sent of Nightly checks",
        )


async def test_a_signal_ends_the_story_and_leaves_nothing_behind(tmp_path: Path) -> None:
    process = await start_demo(tmp_path)
    await until(process, re.compile("2. Two organizations"))
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(_WITHIN):
        out = (await process.communicate())[0].decode()
    assert process.returncode == 1, out
    assert out.rstrip().endswith("Error: Stopped before its end.")
    assert list(tmp_path.iterdir()) == []


async def test_its_console_waits_to_be_set_up_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    process = await start_demo(tmp_path, "--console")
    try:
        said = await until(process, re.compile("Ctrl-C ends it"))
        assert "you are octocat, who owns aurora-labs and kestrel-bank there" in said
        (link,) = re.findall(r"^  (http\S+/setup\?token=\S+)$", said, re.MULTILINE)
        async with ClientSession() as session, session.get(link) as answer:
            assert "Begin in this browser" in await answer.text()
    finally:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(_WITHIN):
            rest = (await process.communicate())[0].decode()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []


async def until(process: asyncio.subprocess.Process, wanted: re.Pattern[str]) -> str:
    """What the process says, up to and with what is wanted."""
    assert process.stdout is not None
    said = ""
    async with asyncio.timeout(_WITHIN):
        while not wanted.search(said):
            line = await process.stdout.readline()
            assert line, said
            said += line.decode()
    return said


async def shell(script: str) -> str:
    """Run a script as pasted into a shell."""
    own = str(Path(sys.executable).parent)
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if p != own)
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-ec",
        script,
        env={"PATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out = (await process.communicate())[0].decode()
    assert process.returncode == 0, out
    return out


@needs("curl", "openssl")
async def test_kept_running_what_it_advises_works(tmp_path: Path) -> None:
    process = await start_demo(tmp_path, "--keep")
    try:
        said = await until(process, re.compile(r"API is at http\S+\n"))
        advice = said.partition("Still running")[2]
        (sourced,) = re.findall(r"^  (\. /.*)$", advice, re.MULTILINE)
        signed = advice[advice.index("  signature=") : advice.index("--data-binary")]
        body = re.findall(r"--data-binary (@\S+)", advice)[0]
        post = f"{sourced}\n{signed}--data-binary {body}\n"
        assert '"duplicate":false' in (await shell(post)).replace(" ", "")
        assert '"duplicate":true' in (await shell(post)).replace(" ", "")
        await until(process, re.compile("dispatched zekt-workflow-completed → .*/core-sync"))
        listed = await shell(f"{sourced}\nzekt deliveries list")
        assert listed.count("dispatched") == 3
        assert "Nobody works" not in await shell(f"{sourced}\nzekt status")
    finally:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(_WITHIN):
            assert await process.wait() == 0
    assert list(tmp_path.iterdir()) == []
