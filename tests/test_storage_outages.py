"""The database breaks below a server and its worker: GitHub hears 503, all that it was told is
stored goes on, and both recover by themselves."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
from collections import Counter
from contextlib import asynccontextmanager, closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from sqlalchemy import text

from tests import databases
from tests.chance import seeded
from tests.conftest import PROFILE
from tests.db.rows import until
from tests.figures import FIGURES
from tests.stage import Stage, open_stage
from tests.working import a_second_passes
from zekt_bot.app import serving, working
from zekt_bot.db import engine, schema
from zekt_bot.db.tables import deliveries
from zekt_bot.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from sqlalchemy import Connection

    from zekt_bot.testing import WebhookDelivery

    Broken = Callable[[Stage, str], AbstractAsyncContextManager[None]]

_SECOND = timedelta(seconds=1)
_MOST_RUNS = 40


def _pragma(connection: Connection, rows: Sequence[str]) -> list[Any]:
    return [connection.execute(text(f"PRAGMA {row}")).scalar_one() for row in rows]


@asynccontextmanager
async def locked(stage: Stage, url: str) -> AsyncIterator[None]:
    """Another program holds the file."""
    await stage.broker.database.write(_pragma, "busy_timeout = 50")
    with closing(sqlite3.connect(urlsplit(url).path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@asynccontextmanager
async def full(stage: Stage, _url: str) -> AsyncIterator[None]:
    """The file may not grow."""
    await stage.broker.database.write(_pragma, "max_page_count = 1")  # the least: its present size
    yield
    await stage.broker.database.write(_pragma, "max_page_count = 1000000")


@asynccontextmanager
async def no_room(_stage: Stage, url: str) -> AsyncIterator[None]:
    """Something else fills the disk."""
    filler = Path(urlsplit(url).path).parent / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):  # also what others leave
        while True:
            file.write(bytes(1024))
    yield
    filler.unlink()


_FULL = {full, no_room}


def _alter(url: str, change: str) -> None:
    """Change the database, and end every connection, so that the next ones find it changed."""
    name = urlsplit(url).path.lstrip("/")
    databases.execute(
        urlsplit(url)._replace(path="/postgres").geturl(),
        f"ALTER DATABASE {name} {change}",
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'",
    )


@asynccontextmanager
async def read_only(_stage: Stage, url: str) -> AsyncIterator[None]:
    """A failover's moment: connections end, and who comes back meets a server that only reads."""
    _alter(url, "SET default_transaction_read_only = on")
    yield
    _alter(url, "RESET default_transaction_read_only")


@asynccontextmanager
async def away(_stage: Stage, url: str) -> AsyncIterator[None]:
    """A restart: connections end, and for a while nobody is let in."""
    _alter(url, "ALLOW_CONNECTIONS false")
    yield
    _alter(url, "ALLOW_CONNECTIONS true")


class Front:
    """GitHub before the server: what it sends, and what it hears."""

    def __init__(self, stage: Stage, session: aiohttp.ClientSession, port: int) -> None:
        self._stage, self._session = stage, session
        self._url = f"http://127.0.0.1:{port}"
        self.runs: set[int] = set()

    async def finish_run(self) -> list[WebhookDelivery]:
        """A run from start to end; answers the webhooks that were refused."""
        self.runs.add((await self._stage.finish_run("build")).id)
        sent, self._stage.held[:] = list(self._stage.held), []
        return [one for one in sent if not await self.post(one)]

    async def post(self, sent: WebhookDelivery) -> bool:
        """Send a webhook; whether it was taken. Refused, it hears when to come back."""
        url = f"{self._url}/webhooks/github"
        async with self._session.post(url, data=sent.body, headers=sent.headers) as answer:
            assert answer.status in {202, 503}, await answer.text()
            assert ("Retry-After" in answer.headers) == (answer.status == 503)
            return answer.status == 202

    async def redeliver(self, refused: Sequence[WebhookDelivery]) -> None:
        """Send them again until they are taken."""
        for sent in refused:

            async def taken(sent: WebhookDelivery = sent) -> bool:
                return await self.post(sent)

            await until(taken)

    async def status(self, path: str) -> int:
        async with self._session.get(self._url + path) as answer:
            return answer.status


@asynccontextmanager
async def front(url: str) -> AsyncIterator[tuple[Stage, Front]]:
    async with (
        open_stage(url, host="127.0.0.1", port=0) as stage,
        serving(stage.broker) as port,
        working(stage.broker),
        aiohttp.ClientSession() as session,
    ):
        await stage.serve()
        yield stage, Front(stage, session, port)


async def all_sent(stage: Stage, runs: set[int]) -> Counter[int]:
    """Wait, letting time pass, until every run's delivery is dispatched; how often each was."""

    async def over() -> bool:
        try:
            await a_second_passes(stage)
            rows = await stage.rows(deliveries)
        except StorageUnavailable:
            stage.clock.advance(_SECOND)
            return False
        return len(rows) == len(runs) and {row["state"] for row in rows} == {"dispatched"}

    await until(over)
    sent = [one.client_payload["zekt"]["workflow"]["runId"] for one in stage.github.dispatches]
    return Counter(sent)


@pytest.mark.at_length(10)
@pytest.mark.parametrize(
    ("kind", "broken"),
    [("sqlite", locked), ("sqlite", full), ("postgres", read_only), ("postgres", away)],
)
async def test_while_nothing_can_be_stored_github_hears_503_and_nothing_is_lost(
    kind: str, broken: Broken, request: pytest.FixtureRequest
) -> None:
    await outlived(request.getfixturevalue(f"migrated_{kind}"), broken)


async def outlived(url: str, broken: Broken) -> None:
    """A server and its worker meet this, and outlive it."""
    async with front(url) as (stage, github):
        assert await github.finish_run() == []  # the worker is at it when it breaks
        async with broken(stage, url):
            refused: list[WebhookDelivery] = []
            while not refused:
                assert len(github.runs) < _MOST_RUNS
                refused = await github.finish_run()
            assert await github.status("/healthz") == 200
            if broken not in _FULL:  # a row that changes in its place still can be stored there
                assert await github.status("/readyz") == 503
            for _ in range(5):
                stage.clock.advance(_SECOND)
                await asyncio.sleep(0.01)
        await github.redeliver(refused)
        sent_of = await all_sent(stage, github.runs)
        assert set(sent_of) == github.runs
        if url.startswith(
            "sqlite"
        ):  # a COMMIT that is cut on PostgreSQL may leave a POST unrecorded
            assert set(sent_of.values()) == {1}
        assert await github.status("/readyz") == 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | str]:
    """A disk of 8 MB; or why there is none."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        yield str(error)
        return
    yield folder if done.returncode == 0 else done.stderr.strip()
    subprocess.run(["umount", folder], capture_output=True, check=False)


@pytest.mark.long
async def test_a_full_disk_is_outlived(
    small_disk: Path | str,
    sqlite_template: Path,
    record_property: Callable[[str, object], None],
) -> None:
    if isinstance(small_disk, str):
        record_property(FIGURES, f"not tried, nothing can be mounted here: {small_disk}")
        return
    shutil.copy(sqlite_template, small_disk / "zekt.db")
    await outlived(f"sqlite:///{small_disk / 'zekt.db'}", no_room)
    record_property(FIGURES, "a full tmpfs of 8 MB: 503 while it was full, nothing lost")


@pytest.fixture
async def crashing_url() -> AsyncIterator[str]:
    """A migrated database on a server of its own, which keeps what it committed."""
    with databases.own_server(synchronous_commit="on") as url:
        await schema.migrate(engine.parse(url))
        yield url


async def test_postgresql_crashes_and_restarts_under_load(
    crashing_url: str, record_property: Callable[[str, object], None]
) -> None:
    with seeded() as chance:
        async with front(crashing_url) as (stage, github):
            refused: list[WebhookDelivery] = []
            crashes = 30 if PROFILE == "long" else 1
            for _ in range(crashes):
                load = [asyncio.create_task(github.finish_run()) for _ in range(4)]
                await asyncio.sleep(chance.uniform(0.01, 0.3))  # the moment is the test's chance
                await _crash(crashing_url)
                refused += [sent for some in await asyncio.gather(*load) for sent in some]
                stage.clock.advance(_SECOND)
            await github.redeliver(refused)
            sent_of = await all_sent(stage, github.runs)
            assert set(sent_of) == github.runs
            again = sent_of.total() - len(sent_of)
            seen = f"{len(sent_of)} events, none lost, {len(refused)} webhooks heard 503"
            record_property(FIGURES, f"{crashes} crashes: {seen}, {again} POSTs sent again")


async def _crash(url: str) -> None:
    """Kill the process of one of the server's connections: the server ends all and recovers."""
    import asyncpg

    async def killed() -> bool:
        try:
            connection = await asyncpg.connect(url)
        except (asyncpg.CannotConnectNowError, OSError):
            return False  # it still recovers from the one before
        os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)
        await connection.close(timeout=5)
        return True

    await until(killed)
