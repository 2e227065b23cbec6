"""Every way to fail: an exit code of its own, and one line that says what to do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
import sys
from pathlib import Path

import pytest

from tests.cli.command import environment, process, zekt
from tests.db.rows import run_row
from zekt_bot.cli.errors import exit_code, exit_codes, sentence
from zekt_bot.errors import (
    AccessDenied,
    AppRejected,
    Conflict,
    DecryptionFailed,
    GitHubUnreachable,
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    PluginRejected,
    ZektError,
)

SHOW = ("deliveries", "show", "dlv_0")
FULL = Path("/dev/full")


async def test_usage_is_2_and_help_names_every_code(sqlite_url: str) -> None:
    for option, value in (("--state", "lost"), ("--limit", "1001")):
        assert (await zekt("deliveries", "list", option, value, DATABASE_URL=sqlite_url)).code == 2
    helped = await zekt("--help")
    assert helped.code == 0
    assert all(len(line) <= 78 for line in exit_codes().splitlines())
    for line in exit_codes().splitlines()[2:]:
        assert line.split()[1] in helped.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (SHOW, 4, "zekt deliveries list"),
        (("events", "show", "cor_0"), 4, "zekt events list"),
        (("repositories", "enable", "no-slash"), 3, "OWNER/REPO"),
        (("repositories", "enable", "aurora-labs/payments-api"), 8, "ZEKT_ORCHESTRATOR_APP_ID"),
        (("workflows", "allow", "aurora-labs/payments-api", "ci.yml"), 3, ".github/workflows/"),
        (("subscriptions", "request", "release", "kestrel-bank/core-sync"), 3, "OWNER/SLUG"),
        (("subscriptions", "request", "nobody/release", "kestrel-bank/core-sync"), 4, "service"),
        (("serve", "--no-worker"), 6, "PostgreSQL"),
        (("worker",), 6, "zekt serve"),
    ],
)
async def test_a_refused_command_says_why_on_one_line(
    words: tuple[str, ...], code: int, said: str, sqlite_url: str
) -> None:
    nowhere = "http://127.0.0.1:9"
    await zekt("migrate", DATABASE_URL=sqlite_url)
    ended = await zekt(*words, DATABASE_URL=sqlite_url, ZEKT_GITHUB_API_URL=nowhere)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("zekt: ")
    assert said in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ({"DATABASE_URL": "mysql://localhost/zekt"}, 6, "DATABASE_URL"),
        ({"DATABASE_URL": "sqlite:////no/such/folder/zekt.db"}, 6, "/no/such/folder"),
        ({"PORT": "http"}, 6, "PORT"),
        ({"ZEKT_SECRET_KEY": "short"}, 6, "ZEKT_SECRET_KEY"),
        ({"DATABASE_URL": "postgresql://zekt:hidden@127.0.0.1:9/zekt"}, 7, "DATABASE_URL"),
        ({"ZEKT_PLUGINS_DIR": "/no/such/folder"}, 9, "/no/such/folder"),
    ],
)
async def test_a_wrong_setting_is_named(
    settings: dict[str, str], code: int, said: str, sqlite_url: str
) -> None:
    ended = await zekt(*SHOW, **{"DATABASE_URL": sqlite_url, **settings})
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert "hidden" not in ended.err
    assert "Traceback" not in ended.err


async def test_serving_an_unmigrated_postgresql_names_the_command(postgres_url: str) -> None:
    before = await process("serve", DATABASE_URL=postgres_url, PORT="0")
    assert before.code == 6
    assert "zekt migrate" in before.err
    assert (await zekt("migrate", DATABASE_URL=postgres_url)).code == 0
    assert (await zekt("events", "list", DATABASE_URL=postgres_url)).code == 0


async def test_a_taken_port_is_named(sqlite_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = await process("serve", DATABASE_URL=sqlite_url, PORT=port, ZEKT_HOST="127.0.0.1")
    assert ended.code == 6
    assert f"127.0.0.1:{port}" in ended.err


async def test_a_bug_is_1_and_shows_its_trace_only_on_demand(sqlite_url: str) -> None:
    assert (await zekt("migrate", DATABASE_URL=sqlite_url)).code == 0
    row = {**run_row(1), "state": "done", "received_at": "when the moon is full"}
    with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as file, file:
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        file.execute(f"INSERT INTO runs ({names}) VALUES ({marks})", tuple(row.values()))
    quiet = await zekt("events", "list", DATABASE_URL=sqlite_url)
    assert quiet.code == 1
    assert "LOG_LEVEL=DEBUG" in quiet.err
    assert "Traceback" not in quiet.err
    loud = await zekt("events", "list", DATABASE_URL=sqlite_url, LOG_LEVEL="DEBUG")
    assert loud.code == 1
    assert "Traceback" in loud.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput(), 3),
        (Conflict(), 3),
        (NotFound(), 4),
        (AccessDenied(), 5),
        (DecryptionFailed(), 6),
        (OutcomeUnknown(), 7),
        (GitHubUnreachable(), 8),
        (AppRejected(), 8),
        (PluginRejected(), 9),
        (ZektError(), 1),
        (KeyError(), 1),
    ],
)
def test_each_error_has_its_code(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_what_strangers_said_in_an_error_cannot_steer_the_terminal() -> None:
    assert sentence(NotFound("There is no \x1b[31m\x07event.")) == "There is no ?[31m?event."


@pytest.mark.skipif(not FULL.exists(), reason="Linux has a device that is always full")
async def test_a_full_disk_is_no_bug(migrated_sqlite: str) -> None:
    settings = environment(DATABASE_URL=migrated_sqlite)
    command = (sys.executable, "-m", "zekt_bot", "pauses", "list", "--json")
    with FULL.open("wb") as full:
        running = await asyncio.create_subprocess_exec(
            *command, env=settings, stdout=full, stderr=asyncio.subprocess.PIPE
        )
        _, err = await running.communicate()
    assert running.returncode == 7
    assert err.decode().endswith("make room where the output is written.\n")
