from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from tests import databases


async def tables(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        )
        await connection.execute("CREATE TABLE left_behind (id integer)")
    finally:
        await connection.close()
    return count


@pytest.mark.parametrize("time_round", [1, 2])
async def test_every_test_gets_an_empty_database(postgres_url: str, time_round: int) -> None:
    assert await tables(postgres_url) == 0


def test_a_database_goes_even_when_connections_are_left_open(postgres_server: str) -> None:
    with databases.fresh_database(postgres_server) as url:
        holder = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import asyncio, asyncpg, sys\n"
                "async def hold():\n"
                "    connection = await asyncpg.connect(sys.argv[1])\n"
                "    print('open', flush=True)\n"
                "    await asyncio.sleep(60)\n"
                "asyncio.run(hold())",
                url,
            ],
            stdout=subprocess.PIPE,
        )
        assert holder.stdout
        assert holder.stdout.readline() == b"open\n"
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        databases.execute(url, "SELECT 1")
    holder.kill()
    holder.communicate()


def test_both_kinds_of_database_have_a_url(database_url: str, tmp_path: Path) -> None:
    kind, rest = database_url.split("://")
    if kind == "sqlite":
        assert rest == f"/{tmp_path}/zekt.db"
    else:
        assert kind == "postgresql"
        assert rest.split("/")[1].startswith("zekt_test_")


def test_the_server_named_in_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEKT_TEST_DATABASE_URL", "postgresql+asyncpg://me@db.example/postgres")
    with databases.server() as url:
        assert url == "postgresql://me@db.example/postgres"


def test_no_postgresql_is_a_failure_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(databases, "find_programs", lambda: None)
    with (
        pytest.raises(databases.NoPostgreSQL, match=r"apt install postgresql"),
        databases.own_server(),
    ):
        pass


def test_the_server_and_its_folder_go_even_if_the_tests_are_killed(tmp_path: Path) -> None:
    tests = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time\n"
            "from tests.databases import own_server\n"
            "with own_server() as url:\n"
            "    print(url, flush=True)\n"
            "    time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    assert tests.stdout
    url = tests.stdout.readline().strip()
    databases.execute(url, "SELECT 1")
    tests.kill()
    tests.communicate()
    give_up = time.monotonic() + 20
    while True:
        try:
            databases.execute(url, "SELECT 1")
        except (OSError, asyncpg.PostgresError):
            break
        assert time.monotonic() < give_up, "the server outlived the tests"
        time.sleep(0.1)


@pytest.mark.long
def test_the_package_from_pypi_does_when_no_server_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [programs] = databases.programs_from_pypi()
    monkeypatch.setattr(databases, "find_programs", lambda: programs)
    with databases.own_server() as url:
        databases.execute(url, "SELECT 1")


def test_what_postgresql_refuses_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in {"postgres": "exit 0", "initdb": "echo no room; exit 1"}.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    monkeypatch.setattr(databases, "find_programs", lambda: tmp_path)
    monkeypatch.setattr(databases, "server_user", lambda: None)
    with pytest.raises(databases.NoPostgreSQL, match="no room"), databases.own_server():
        pass


def test_the_newest_installed_server_wins(tmp_path: Path) -> None:
    folders = [tmp_path / version / "bin" for version in ("9.6", "18", "15")]
    assert max(folders, key=databases._version).parent.name == "18"


def test_root_hands_the_server_to_another_user() -> None:
    user = databases.server_user()
    assert user in {"postgres", "nobody"} if os.geteuid() == 0 else user is None
