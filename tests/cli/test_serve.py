"""`zekt serve` and `zekt worker` as processes: how they begin, share the work and end."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import sys
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from tests.acceptance.server import RELEASE, stage
from tests.cli.command import environment, process, zekt
from tests.web.front import HEAD, UNKNOWN
from zekt_bot.db.tables import deliveries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import Connection

_WITHIN = 120.0
ENDLESS = """
import threading
from zekt_bot import hookimpl

threading.Thread(target=threading.Event().wait).start()  # an interpreter waits for it at its end

@hookimpl
async def zekt_audited(entry): ...
"""

FLOOD = """
import os, time

def flood():
    while not os.path.exists("{flag}"):
        time.sleep(0.02)
    os.write(2, b"x" * 4_000_000)

threading.Thread(target=flood, daemon=True).start()
"""


@contextlib.asynccontextmanager
async def running(*words: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`zekt WORDS` once it has said that it is up; killed if it is still there at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "zekt_bot",
        *words,
        env=environment(PORT="0", ZEKT_HOST="127.0.0.1", **settings) | {"LOG_LEVEL": "INFO"},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(_WITHIN):
            async for line in process.stderr:
                if b"server.listening" in line or b"worker.started" in line:
                    break
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_well(number: signal.Signals, migrated_url: str) -> None:
    async with running("serve", DATABASE_URL=migrated_url) as server:
        server.send_signal(number)
        async with asyncio.timeout(_WITHIN):
            assert await server.wait() == 0


async def test_a_second_server_on_the_same_file_is_refused(sqlite_url: str) -> None:
    async with running("serve", DATABASE_URL=sqlite_url):
        second = await process("serve", DATABASE_URL=sqlite_url, PORT="0")
        assert second.code == 6
        assert "Another Zekt server" in second.err
        assert (await zekt("events", "list", DATABASE_URL=sqlite_url)).code == 0


async def test_a_second_signal_ends_it_at_once(sqlite_url: str, tmp_path: Path) -> None:
    async with stage(sqlite_url, tmp_path) as s:
        s.github.fail("POST", "/repos/*/dispatches", hang=True)
        await (await s.github.start_run(s.provider, RELEASE)).complete("success")
        async with asyncio.timeout(_WITHIN):
            while not any(r.path.endswith("/dispatches") for r in s.github.requests):
                await asyncio.sleep(0.02)
        assert s.zekt.process is not None
        s.zekt.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_WITHIN):
            while "server.stopping" not in s.zekt.log.read_text():
                await asyncio.sleep(0.02)
        assert await s.zekt.end(signal.SIGTERM) == 128 + signal.SIGTERM


async def test_all_that_hangs_has_one_time_together(sqlite_url: str, tmp_path: Path) -> None:
    """A POST to GitHub, a stranger's request, and a collector of traces that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = {
            "ZEKT_SHUTDOWN_TIMEOUT": "2",
            "ZEKT_TRACES": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
        }
        async with stage(sqlite_url, tmp_path, **settings) as s:
            s.github.fail("POST", "/repos/*/dispatches", hang=True)
            await (await s.github.start_run(s.provider, RELEASE)).complete("success")
            async with asyncio.timeout(_WITHIN):
                while not any(r.path.endswith("/dispatches") for r in s.github.requests):
                    await asyncio.sleep(0.02)
            reader, writer = await asyncio.open_connection("127.0.0.1", s.zekt.port)
            writer.write(HEAD + UNKNOWN + b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
            assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
            began = monotonic()
            assert await s.zekt.end() == 0
            assert monotonic() - began < 25  # each by itself would take 30, or for ever
            writer.close()
            assert s.zekt.broker is not None
            assert await s.zekt.broker.database.query(_leases) == [None]


def _leases(connection: Connection) -> list[str | None]:
    return [*connection.execute(select(deliveries.c.lease)).scalars()]


async def test_what_nothing_can_stop_is_cut_off(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(ENDLESS)
    settings = {"ZEKT_PLUGINS_DIR": str(tmp_path), "ZEKT_SHUTDOWN_TIMEOUT": "0"}
    async with running("serve", DATABASE_URL=sqlite_url, **settings) as server:
        server.terminate()
        assert server.stderr is not None
        async with asyncio.timeout(_WITHIN):
            log = await server.stderr.read()
            assert await server.wait() == 128 + signal.SIGTERM
        assert b"server.stopped" in log
        assert b"process.cut_off" in log


async def test_a_log_that_nobody_reads_holds_up_no_end(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(ENDLESS + FLOOD.format(flag=tmp_path / "flag"))
    settings = {"ZEKT_PLUGINS_DIR": str(tmp_path), "ZEKT_SHUTDOWN_TIMEOUT": "0"}
    async with running("serve", DATABASE_URL=sqlite_url, **settings) as server:
        (tmp_path / "flag").touch()
        server.terminate()
        async with asyncio.timeout(_WITHIN):
            while server.returncode is None:  # `wait` waits for what is in the pipe too
                await asyncio.sleep(0.02)
        assert server.returncode == 128 + signal.SIGTERM


async def test_without_credentials_it_starts_and_names_what_is_missing(sqlite_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "zekt_bot",
        "serve",
        env=environment(DATABASE_URL=sqlite_url, PORT="0") | {"LOG_LEVEL": "INFO"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    said = ""
    async with asyncio.timeout(_WITHIN):
        while "server.listening" not in said:
            said += (await process.stderr.readline()).decode()
    process.terminate()
    told, rest = await process.communicate()
    link = re.findall(r"http://localhost:0/setup\?token=(\S{43})", told.decode())
    assert len(link) == 1
    assert link[0] not in said + rest.decode()  # the log is read by more people
    for name in ("APP_ID", "PRIVATE_KEY", "WEBHOOK_SECRET"):
        assert f"ZEKT_ORCHESTRATOR_{name}" in said


async def test_web_and_workers_share_one_postgresql(postgres_url: str, tmp_path: Path) -> None:
    async with stage(postgres_url, tmp_path, "--no-worker") as s:
        environ = {k: v for k, v in s.zekt.environ.items() if k not in {"PORT", "ZEKT_HOST"}}
        async with running("worker", **environ), running("worker", **environ):
            for _ in range(6):
                await (await s.github.start_run(s.provider, RELEASE)).complete("success")
            await s.github.wait_for_dispatches(6, timeout=_WITHIN)
            rows = await s.zekt.until_deliveries(
                lambda rows: [r["state"] for r in rows] == ["dispatched"] * 6
            )
        sent = [d.client_payload["zekt"]["deliveryId"] for d in s.github.dispatches]
        assert sorted(sent) == sorted(row["id"] for row in rows)


async def test_a_private_key_that_is_none_stops_the_start(sqlite_url: str) -> None:
    ended = await process(
        "serve",
        DATABASE_URL=sqlite_url,
        PORT="0",
        ZEKT_ORCHESTRATOR_APP_ID="1",
        ZEKT_ORCHESTRATOR_PRIVATE_KEY="garbage",
    )
    assert ended.code == 6
    assert "ZEKT_ORCHESTRATOR_PRIVATE_KEY" in ended.err
    assert "garbage" not in ended.err
