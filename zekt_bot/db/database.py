"""The database as the rest of the product sees it: read, write, wake."""

from __future__ import annotations

import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
import structlog
from filelock import FileLock, Timeout
from sqlalchemy import select

from zekt_bot.db import engine, schema, units
from zekt_bot.db.connections import Connections, Threads
from zekt_bot.db.crypto import Keyring, key_beside
from zekt_bot.db.listener import Listener
from zekt_bot.db.reader import Batcher, Reader
from zekt_bot.db.sql import insert_if_new, upsert
from zekt_bot.db.tables import chores, credentials
from zekt_bot.db.writer import Backend, Committed, PostgresqlBackend, SqliteBackend, Writer
from zekt_bot.errors import ConfigurationError, DecryptionFailed, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.clock import Clock
    from zekt_bot.config import Settings
    from zekt_bot.db.handover import Request, Taker
    from zekt_bot.domain.audit import Entry

Row = TypeVar("Row")
Answer = TypeVar("Answer")

_READERS = 7
_PROMPT = 1  # and one for what is asked before each POST, which waits behind no long list
_CANARY = ("credentials", "canary", "zekt")
_log = structlog.get_logger()


class Database:
    """One process's way to the database. Make it with `open_database`."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Parse the address and find the keys; connects to nothing yet."""
        self.address = engine.parse(settings.database_url, pooled=settings.pgbouncer)
        self.direct = _direct(settings) or self.address
        path = self.address.path
        if path and not path.parent.is_dir():
            raise ConfigurationError(f"DATABASE_URL: there is no folder {path.parent}.")
        keys = settings.secret_keys or ((key_beside(path),) if path else ())
        self.keyring = Keyring(keys)
        self._clock = clock
        self._takers: dict[str, Taker] = {}
        self._lock = FileLock(f"{path}.lock") if path else None
        backend: Backend
        if path:
            backend = SqliteBackend(Threads(engine.sqlite(path), 1, "zekt-writer"))
        else:
            only = engine.postgresql(self.address, size=1)
            backend = PostgresqlBackend(Connections(only, 1))
        self._reader = _reader(self.address, _READERS)
        self._batcher = Batcher(_reader(self.address, _PROMPT))
        self._writer = Writer(backend, clock, self._request, self._committed)
        self._listener = Listener(self.direct, clock, self._wake, self._tell)
        self._auditors: list[Callable[[Sequence[Entry]], None]] = []

    async def start(self, *, alone: bool) -> None:
        """Open for reading and writing; `alone`: as a server, the only one on an SQLite file.

        Raises:
            ConfigurationError: another server has the SQLite file.
        """
        if alone and self._lock:
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise ConfigurationError(
                    f"Another Zekt server uses {self.address.path}. SQLite serves one process: "
                    "stop the other one, or use PostgreSQL."
                ) from None
        self._writer.start()
        if alone:
            self._listener.start()

    async def close(self) -> None:
        """Finish what waits to be written and close every connection."""
        await self._listener.close()
        await self._writer.close()
        await self._batcher.close()
        await self._reader.close()
        if self._lock:
            self._lock.release()

    async def migrate(self) -> None:
        """Bring the schema to this version's (`db/migrations`)."""
        await schema.migrate(self.direct)

    async def migrate_alone(self) -> None:
        """Migrate an SQLite file that no server of another version is using.

        Raises:
            ConfigurationError: one is.
        """
        with contextlib.ExitStack() as stack:
            if self._lock:
                try:
                    stack.enter_context(self._lock.acquire(timeout=0))
                except Timeout:
                    raise ConfigurationError(
                        f"A Zekt server of another version uses {self.address.path}: stop it, or "
                        "use its own command line."
                    ) from None
            await self.migrate()

    async def check_key(self) -> None:
        """Leave a sealed word in a new database, and open the one that is there.

        Raises:
            ConfigurationError: ZEKT_SECRET_KEY is not what this database was sealed with.
        """
        found = await self.query(_canary)
        if found is None:
            await self.write(_put_canary, self.keyring.seal(_CANARY, b"zekt"))
            found = await self.query(_canary)
        try:
            self.keyring.open(_CANARY, found or b"")
        except DecryptionFailed:
            raise ConfigurationError(
                "ZEKT_SECRET_KEY does not open what is stored in this database: give it the key "
                "that it had before, as one of several if there is a new one."
            ) from None

    async def schema_is_current(self) -> bool:
        """Whether the schema is this version's."""
        return await self.query(schema.is_current)

    def write(
        self,
        fn: Callable[[Connection, Sequence[Row]], Sequence[Answer]],
        row: Row,
        *,
        weight: int = 1,
    ) -> Coroutine[Any, Any, Answer]:
        """Write `row` with `fn`, together with what else waits (see `db/writer.py`)."""
        return self._writer.write(fn, row, weight=weight)

    def write_all(
        self,
        fn: Callable[[Connection, Sequence[Row]], Sequence[Answer]],
        rows: Sequence[tuple[Row, int]],
    ) -> Coroutine[Any, Any, list[Answer | Exception]]:
        """Write rows, each with its weight, and answer all together (see `db/writer.py`)."""
        return self._writer.write_all(fn, rows)

    def query(self, fn: Callable[..., Answer], *args: object) -> Coroutine[Any, Any, Answer]:
        """Read with `fn(connection, *args)`.

        Raises:
            StorageUnavailable: the database cannot be reached.
        """
        return self._reader.query(fn, *args)

    def ask(
        self, fn: Callable[[Connection, Sequence[Row]], Sequence[Answer]], row: Row
    ) -> Coroutine[Any, Any, Answer]:
        """What `fn` answers to `row`, read together with whoever asks the same (`db/reader.py`).

        Raises:
            StorageUnavailable: the database cannot be reached.
        """
        return self._batcher.ask(fn, row)

    async def check(self) -> None:
        """Store a row that changes: raises StorageUnavailable unless this process can store."""
        await self.write(_touch, self._clock.now())

    def hand_over(self, topic: str, taker: Taker) -> None:
        """`taker` is given what commits of this process make due, and woken by all others."""
        self._takers[topic] = taker

    async def settled(self) -> None:
        """Return once no commit is under way that was begun before."""
        await self.write(_nothing, None)

    @property
    def hears(self) -> bool | None:
        """Whether other processes' commits are heard of; None: not known yet, or SQLite."""
        return self._listener.hears

    async def try_listening(self) -> bool:
        """Whether a commit is heard of at the address that is listened at (PostgreSQL).

        Raises:
            StorageUnavailable: one of the two addresses cannot be reached.
        """
        try:
            return await self._listener.try_once()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StorageUnavailable(f"{self.direct.shown} cannot be listened at.") from error

    async def _tell(self, word: str) -> None:
        await self.write(_wake_for, word)

    def on_audited(self, hear: Callable[[Sequence[Entry]], None]) -> None:
        """`hear` is called with the audit entries of each commit of this process."""
        self._auditors.append(hear)

    def _request(self, topic: str) -> Request | None:
        taker = self._takers.get(topic)
        return None if taker is None else taker.request()  # an empty queue is falsy

    def _committed(self, done: Committed) -> None:
        for topic, page in done.pages.items():
            self._takers[topic].take(page)
        self._wake(done.topics - done.pages.keys())
        for hear in self._auditors if done.entries else ():
            hear(done.entries)

    def _wake(self, topics: set[str]) -> None:
        for topic in topics & self._takers.keys():
            self._takers[topic].wake()


def _reader(address: engine.Address, size: int) -> Reader:
    """A reader of `size` connections."""
    if address.path:
        local = engine.sqlite(address.path, reading=True)
        return Reader(Threads(local, size, "zekt-reader"))
    return Reader(Connections(engine.postgresql(address, size=size, reading=True), size))


def _direct(settings: Settings) -> engine.Address | None:
    """Where to listen and to migrate, if that is not where everything else happens.

    Raises:
        ConfigurationError: it cannot be used.
    """
    url = settings.direct_database_url
    if url and not settings.on_postgresql:
        raise ConfigurationError(
            "ZEKT_DIRECT_DATABASE_URL is for PostgreSQL, and DATABASE_URL is not: leave it out."
        )
    return engine.parse(url) if url else None


def _wake_for(connection: Connection, rows: Sequence[str]) -> Sequence[str]:
    for topic in rows:
        units.wake(connection, topic)
    return rows


def _nothing(connection: Connection, rows: Sequence[None]) -> Sequence[None]:
    return rows


def _canary(connection: Connection) -> bytes | None:
    of_ours = credentials.c.app == "zekt", credentials.c.name == "canary"
    found: bytes | None = connection.execute(
        select(credentials.c.body).where(*of_ours)
    ).scalar_one_or_none()
    return found


def _put_canary(connection: Connection, rows: Sequence[bytes]) -> Sequence[bytes]:
    row = {"app": "zekt", "name": "canary", "body": rows[0], "version": "1"}
    insert_if_new(connection, credentials, row)
    return rows


def _touch(connection: Connection, rows: Sequence[datetime]) -> Sequence[datetime]:
    upsert(connection, chores, [{"name": "check", "due_at": rows[-1]}], ["due_at"])
    return rows


@asynccontextmanager
async def open_database(
    settings: Settings, clock: Clock, *, alone: bool = False
) -> AsyncIterator[Database]:
    """Open the database; on SQLite the schema is migrated, on PostgreSQL it must be current.

    Raises:
        ConfigurationError: the schema is not this version's, or another server has the file.
    """
    database = Database(settings, clock)
    on_sqlite = database.address.path is not None
    with contextlib.ExitStack() as stack:
        stack.callback(_log.debug, "database.closed")
        try:
            if not on_sqlite and not await database.schema_is_current():
                raise ConfigurationError(
                    "The database's tables are not this version's: run `zekt migrate` first."
                )
            await database.start(alone=alone)
            if on_sqlite and not await database.schema_is_current():
                await database.migrate_alone()
            await database.check_key()
            yield database
        finally:
            await database.close()
