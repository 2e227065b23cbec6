"""An alias is one account's, whoever claims and frees it at the same moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from tests.db.rows import open_transaction, put, stored, until, waiting_for_lock
from zekt_bot.db import mirror, services
from zekt_bot.db.tables import aliases
from zekt_bot.db.tables import services as services_table
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from zekt_bot.db.database import Database

MINE, THEIRS = 10, 20


def service(number: int, alias: str | None) -> dict[str, Any]:
    """A service of account 10."""
    return {
        "id": f"svc_{number}",
        "account_id": MINE,
        "repository_id": 1,
        "workflow_path": f".github/workflows/{number}.yml",
        "slug": f"service-{number}",
        "title": "",
        "description": "",
        "tags": "[]",
        "alias": alias,
        "visibility": "public",
        "listed": True,
        "hidden_source": False,
        "event_types": "[]",
        "approves": "[]",
        "version": 1,
        "created_at": START,
    }


async def begin(postgres: Database) -> None:
    """The first of two services shows the alias."""

    def learn(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[Any]:
        for row in rows:
            mirror.put_repository(connection, row, START)
        return rows

    await postgres.write(
        learn, {"id": 1, "full_name": "acme/app", "account_id": MINE, "private": False}
    )
    await postgres.write(put, (services_table, [service(1, "north"), service(2, None)]))
    named = {"name_lower": "north", "name": "north", "account_id": MINE, "created_at": START}
    await postgres.write(put, (aliases, [named]))


async def shows(connection: AsyncConnection, number: int, alias: str | None) -> None:
    """Let a service show it, or nothing."""
    which = services_table.c.id == f"svc_{number}"
    await connection.execute(update(services_table).where(which).values(alias=alias))


def hide(connection: Connection, rows: Sequence[None]) -> Sequence[None]:
    """The first service shows it no longer."""
    services.change(connection, "svc_1", alias=None)
    services.free_alias(connection, "North")
    return rows


async def test_what_another_service_begins_to_show_is_not_freed(
    postgres: Database, migrated_postgres: str
) -> None:
    await begin(postgres)
    async with open_transaction(migrated_postgres) as claiming:
        assert await claiming.run_sync(services.claim_alias, "north", MINE, START)
        await shows(claiming, 2, "north")
        freeing = asyncio.create_task(postgres.write(hide, None))
        await until(lambda: waiting_for_lock(postgres))
        await claiming.commit()
    await freeing
    assert [row["account_id"] for row in await stored(postgres, aliases)] == [MINE]


@pytest.mark.parametrize("account_id", [MINE, THEIRS])
async def test_what_is_being_freed_is_claimed_afterwards(
    postgres: Database, migrated_postgres: str, account_id: int
) -> None:
    await begin(postgres)

    def claim(connection: Connection, rows: Sequence[None]) -> list[bool]:
        return [services.claim_alias(connection, "NORTH", account_id, START) for _ in rows]

    async with open_transaction(migrated_postgres) as freeing:
        await shows(freeing, 1, None)
        await freeing.run_sync(services.free_alias, "north")
        claiming = asyncio.create_task(postgres.write(claim, None))
        await until(lambda: waiting_for_lock(postgres))
        await freeing.commit()
    assert await claiming
    assert [row["account_id"] for row in await stored(postgres, aliases)] == [account_id]
