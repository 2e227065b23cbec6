"""Providers, consumers, subscriptions and backlogs in a database, and a server's settings."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from benchmarks import rows
from benchmarks.served import SECRET
from zekt_bot import config
from zekt_bot.app import open_broker
from zekt_bot.clock import SystemClock
from zekt_bot.db import chores, tables
from zekt_bot.db.database import Database
from zekt_bot.db.sql import insert_new
from zekt_bot.pipeline import recovery
from zekt_bot.testing.world import private_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Table

    from benchmarks.tokens import Issuer
    from zekt_bot.operations.broker import Broker

_PAGE = 5_000
_NUMBERS = count()  # of runs, each once in this process


def environ(database_url: str, github_port: int = 9, **more: str) -> dict[str, str]:
    """The settings of a server whose GitHub is the sink on that port."""
    return {
        "DATABASE_URL": database_url,
        "PORT": "0",
        "ZEKT_HOST": "127.0.0.1",
        "ZEKT_SECRET_KEY": "a key of the benchmarks that is long enough",
        "ZEKT_GITHUB_API_URL": f"http://127.0.0.1:{github_port}",
        "ZEKT_ORCHESTRATOR_APP_ID": "4711",
        "ZEKT_ORCHESTRATOR_PRIVATE_KEY": private_key(0),
        "ZEKT_ORCHESTRATOR_WEBHOOK_SECRET": SECRET,
        "ZEKT_JOB_GRACE": "0",
        "LOG_FORMAT": "json",
        **more,
    }


def taking_messages(
    database_url: str, github_port: int, issuer: Issuer, **more: str
) -> dict[str, str]:
    """The same of one that takes the messages of this issuer's runs, however many a minute."""
    taking = {"ZEKT_OIDC_ISSUER": issuer.url, "ZEKT_API_PER_MINUTE": "0"}
    return environ(database_url, github_port, **taking, **more)


async def migrated(settings: config.Settings) -> None:
    """Make the tables."""
    database = Database(settings, SystemClock())
    await database.migrate()
    await database.close()


async def insert_rows(broker: Broker, table: Table, some: Sequence[Mapping[str, Any]]) -> None:
    """Write many rows of one table, all with the same columns; those that are there stay."""

    def write(connection: Connection, pages: Sequence[Any]) -> list[None]:
        for page in pages:
            insert_new(connection, table, page)
        return [None] * len(pages)

    for start in range(0, len(some), _PAGE):
        await broker.database.write(write, list(some[start : start + _PAGE]))


@dataclass(frozen=True)
class World:
    """`services` of one account's repositories, each with so many `subscribers` of their own.

    Every subscriber has an installation, thus a lane, of its own. `first` is the number of the
    first service and of the first subscriber: two worlds can be in one database.
    """

    services: int
    subscribers: int
    first: int = 0

    @property
    def lanes(self) -> int:
        """How many lanes its deliveries have."""
        return self.services * self.subscribers

    @property
    def repositories(self) -> range:
        """The numbers of the providers' repositories, which their services have too."""
        return range(self.first, self.first + self.services)

    @property
    def _consumers(self) -> range:
        return range(self.first, self.first + self.lanes)

    def _of(self, service: int) -> range:
        """The consumers of a service."""
        at = (service - self.first) * self.subscribers
        return self._consumers[at : at + self.subscribers]

    async def prepare(self, environ: Mapping[str, str]) -> None:
        """Make the database of these settings, with this world in it."""
        settings = config.load(environ)
        await migrated(settings)
        async with open_broker(settings) as broker:
            await self.settle(broker)

    async def settle(self, broker: Broker) -> None:
        """Write accounts, installations, repositories, allow-list, services, subscriptions.

        And that GitHub was just asked for what was missed: to ask is no part of what is measured.
        """
        now = broker.now()
        just_done = (recovery.CHORE, now, now + recovery.EVERY)
        await broker.database.write(chores.take, just_done)
        owner = rows.account(rows.PROVIDER_ACCOUNT, "bench-provider", now)
        installed = rows.installation(rows.PROVIDER_INSTALLATION, rows.PROVIDER_ACCOUNT, now)
        accounts, installations, repositories = [owner], [installed], []
        for n in self._consumers:
            number = rows.CONSUMER + n
            accounts.append(rows.account(number, f"bench-consumer-{n}", now))
            installations.append(rows.installation(number, number, now))
            repositories.append(rows.consumer(n, now))
        repositories.extend(rows.repository(n, now) for n in self.repositories)
        for table, some in (
            (tables.accounts, accounts),
            (tables.installations, installations),
            (tables.repositories, repositories),
            (
                tables.allowed_workflows,
                [rows.allowed(rows.REPOSITORY + n, now) for n in self.repositories],
            ),
            (tables.services, [rows.service(n, now) for n in self.repositories]),
            (
                tables.subscriptions,
                [
                    rows.subscription(service, n, now)
                    for service in self.repositories
                    for n in self._of(service)
                ],
            ),
        ):
            await insert_rows(broker, table, some)

    async def backlog(self, broker: Broker, events: int, **changes: Any) -> int:
        """So many events of each service, matched and due; answers how many deliveries that is.

        `changes` are columns of the deliveries, such as `state`: their lanes are then not ready.
        """
        now = broker.now()
        ran = [service for service in self.repositories for _ in range(events)]
        runs = [rows.run(service, next(_NUMBERS), now) for service in ran]
        envelopes = [rows.envelope(broker, run) for run in runs]
        due = [
            rows.delivery(envelope, service, n, now) | changes
            for service, envelope in zip(ran, envelopes, strict=True)
            for n in self._of(service)
        ]
        lanes = [
            {
                "name": rows.lane_name(n),
                "tokens": 20.0,
                "refilled_at": now,
                "next_ready_at": None if changes else now,
            }
            for n in self._consumers
        ]
        for table, some in (
            (tables.runs, runs),
            (tables.envelopes, envelopes),
            (tables.lanes, lanes),
            (tables.deliveries, due),
        ):
            await insert_rows(broker, table, some)
        return len(due)
