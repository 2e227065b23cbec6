"""What every test may ask for: databases, and the Hypothesis profile."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from filelock import FileLock
from hypothesis import HealthCheck, settings

from tests import compiled, databases, figures, packages, plain_logs, wheel
from tests.turns import is_spared
from zekt_bot.db import engine, schema
from zekt_bot.github import app_pages
from zekt_bot.operations import sessions, user_tokens
from zekt_bot.plugins import calls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

# How long making an example takes is the machine's affair, as is how long trying it does.
settings.register_profile(
    "gate", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "long", settings.get_profile("gate"), derandomize=False, max_examples=2000
)
PROFILE = os.environ.get("ZEKT_TEST_PROFILE", "gate")
settings.load_profile(PROFILE)
compiled.share()
packages.share()


@pytest.fixture(autouse=True, scope="session")
def unhurried() -> None:
    """On a loaded machine nothing is at once; the tests of these limits set their own."""
    calls.LIMIT = timedelta(seconds=5)
    app_pages.MOMENT = user_tokens._PATIENCE = sessions._PATIENCE = 60.0


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The documented limit, for tests of what does not keep it."""
    monkeypatch.setattr(calls, "LIMIT", timedelta(milliseconds=100))


def pytest_configure(config: pytest.Config) -> None:
    """Let the process that hears of all tests write down what a long run saw."""
    if PROFILE == "long" and "PYTEST_XDIST_WORKER" not in os.environ:
        config.pluginmanager.register(figures.LongRun())


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Let no garbage be looked for in what is imported: all of it stays, during the tests too."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat in the long profile what `at_length` marks: each time anew, with its own database."""
    marker = metafunc.definition.get_closest_marker("at_length")
    if marker is not None and PROFILE == "long":
        metafunc.fixturenames.append("at_length")
        metafunc.parametrize("at_length", range(marker.args[0]), indirect=True)


@pytest.fixture
def at_length(request: pytest.FixtureRequest) -> int:
    """Which of its repetitions this is."""
    number: int = request.param
    return number


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the gate spare itself some of one database; a test that was named is run on both."""
    if PROFILE != "gate" or any("::" in arg for arg in config.args):
        return
    met: set[str] = set()
    databases_of = {item: _database(item) for item in items}
    left = {item for item, of in databases_of.items() if of and is_spared(item.nodeid, of, met)}
    if left:
        config.hook.pytest_deselected(items=[item for item in items if item in left])
        items[:] = [item for item in items if item not in left]


def _database(item: pytest.Item) -> str | None:
    """The database of a test that is run on both."""
    callspec = getattr(item, "callspec", None)
    params: dict[str, Any] = callspec.params if callspec else {}
    return params.get("migrated_url") or params.get("database_url")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let an asynchronous test that hangs fail where it waits.

    pytest-timeout, which bounds all else, would show the event loop instead; it comes later.
    """
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        item.obj = _bounded(item.obj, item.config)


def _bounded(
    test: Callable[..., Awaitable[None]], config: pytest.Config
) -> Callable[..., Awaitable[None]]:
    bound = float(config.getoption("timeout") or config.getini("timeout"))

    @functools.wraps(test)
    async def bounded(*args: Any, **values: Any) -> None:
        async with asyncio.timeout(bound / 2):
            await test(*args, **values)

    return bounded


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """A test that sets the logs up leaves them as they were: its streams are closed by then."""
    plain_logs.configure()
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server's maintenance database."""
    with databases.server() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, dropped after the test."""
    with databases.fresh_database(postgres_server) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'zekt.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The test runs twice: with an empty SQLite file and with an empty PostgreSQL database."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(name)
    return url


def _migrate(url: str) -> None:
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, schema.migrate(engine.parse(url))).result()


@pytest.fixture(scope="session")
def postgres_database(postgres_server: str) -> Iterator[str]:
    """The URL of a migrated PostgreSQL database that one test after the other uses."""
    with databases.fresh_database(postgres_server) as url:
        _migrate(url)
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "zekt.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def migrated_postgres(postgres_server: str, postgres_database: str) -> str:
    """The URL of a migrated PostgreSQL database without a row."""
    databases.empty(postgres_server, postgres_database)
    return postgres_database


@pytest.fixture
def migrated_sqlite(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a migrated SQLite file of one's own."""
    shutil.copy(sqlite_template, tmp_path / "zekt.db")
    return f"sqlite:///{tmp_path / 'zekt.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest) -> str:
    """The test runs twice: on SQLite and on PostgreSQL, migrated and empty."""
    name = "migrated_sqlite" if request.param == "sqlite" else "migrated_postgres"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> wheel.Installed:
    """The wheel in an environment of its own, shared by all test processes: change nothing."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(shared / "wheel.lock"):
        return wheel.install(shared / "wheel")
