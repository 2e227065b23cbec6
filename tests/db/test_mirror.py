"""The mirror: everything is known by its id, and names follow what GitHub last said."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete

from tests.db.rows import stored
from zekt_bot.db import admissions, mirror, tables
from zekt_bot.db.present import present
from zekt_bot.db.rows import APP
from zekt_bot.db.tables import repositories
from zekt_bot.domain.catalog import Account, Repository
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database

SECOND = timedelta(seconds=1)


class Mirror:
    """Tells the mirror its news, each a second after the one before."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = START

    async def tell(self, fn: Callable[..., Any], *facts: Any) -> Any:
        self.now += SECOND
        now = self.now

        def write(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
            timed = () if fn in {mirror.put_installation, mirror.touch} else (now,)
            return [fn(connection, *row, *timed) for row in rows]

        return await self.database.write(write, facts)

    async def put(self, repository_id: int, full_name: str, **values: Any) -> None:
        row = {"id": repository_id, "full_name": full_name, "account_id": 10, "private": False}
        await self.tell(mirror.put_repository, row | values)

    async def install(self, installation_id: int, state: str = "active") -> None:
        row: dict[str, Any] = {
            "app": APP,
            "id": installation_id,
            "account_id": 10,
            "state": state,
            "repository_selection": "all",
            "permissions": "{}",
            "updated_at": self.now,
        }
        await self.tell(mirror.put_installation, row)

    async def named(self, full_name: str) -> int | None:
        found = await self.database.query(mirror.repository_by_name, full_name)
        return found.id if found else None

    async def get(self, repository_id: int) -> Repository:
        found = await self.database.query(mirror.repositories_by_id, [repository_id])
        return found[repository_id]

    async def admitted(self, allowed: list[str], asking: dict[int, str]) -> set[int]:
        found: set[int] = await self.tell(
            lambda connection, logins, asked, now: admissions.admitted(
                connection, admissions.Listed(tuple(logins), now), asked
            ),
            allowed,
            asking,
        )
        return found


@pytest.fixture
async def known(database: Database) -> Mirror:
    """A mirror that knows one repository, Acme/App, in an active installation."""
    mirrored = Mirror(database)
    await mirrored.install(7)
    await mirrored.put(1, "Acme/App", installation_id=7)
    return mirrored


async def test_a_repository_is_found_by_its_name_in_any_case(known: Mirror) -> None:
    assert await known.named("aCME/aPP") == 1
    assert await known.named("Acme/Other") is None
    assert (await known.get(1)).full_name == "Acme/App"
    assert await known.database.query(mirror.repositories_by_id, [2]) == {}


async def test_a_renamed_or_transferred_repository_keeps_its_id(known: Mirror) -> None:
    await known.put(1, "Other/Tool", account_id=20)
    assert (await known.named("acme/app"), await known.named("other/tool")) == (None, 1)
    assert (await known.get(1)).account_id == 20


async def test_versions_after_an_erasure_are_not_those_from_before(known: Mirror) -> None:
    def versions(connection: Connection) -> dict[int, tuple[int, datetime]]:
        return present(connection, repositories=[1, 2]).repositories

    before = await known.database.query(versions)
    await known.tell(lambda connection, now: connection.execute(delete(repositories)))
    assert await known.database.query(versions) == {}
    await known.put(1, "Acme/App", installation_id=7)
    assert (await known.database.query(versions))[1] != before[1]


async def test_an_installation_that_is_learned_late_moves_its_repositories(known: Mirror) -> None:
    await known.put(2, "Acme/Other", installation_id=8)
    before = await known.get(2)
    await known.install(8)
    after = await known.get(2)
    assert (before.installation_state, after.installation_state) == (None, "active")
    assert after.version > before.version


async def test_who_held_a_name_that_another_one_got_loses_it(known: Mirror) -> None:
    await known.put(2, "acme/app", installation_id=8)
    assert await known.named("Acme/App") == 2
    # Later news of the old holder that says nothing of its name does not give it back.
    await known.tell(mirror.set_installation_state, 7, "suspended")
    await known.tell(mirror.change_repository, 1, {"archived": True})
    assert await known.named("Acme/App") == 2
    await known.put(1, "Acme/App", installation_id=7)  # but GitHub may
    assert await known.named("Acme/App") == 1


async def test_a_renamed_accounts_repositories_take_its_name(known: Mirror) -> None:
    await known.tell(mirror.put_account, Account(10, "Acme", "Organization"))
    await known.put(2, "Other/App", account_id=20)
    before = (await known.get(1)).version
    await known.tell(mirror.rename_account, 10, "Umbrella")
    assert (await known.named("umbrella/app"), await known.named("acme/app")) == (1, None)
    assert await known.named("other/app") == 2
    assert (await known.get(1)).version == before + 1


@pytest.mark.parametrize("renamed", [True, False])
async def test_a_login_that_another_account_got_finds_that_one_alone(
    known: Mirror, renamed: bool
) -> None:
    await known.tell(mirror.put_account, Account(10, "Acme", "Organization"))
    await known.tell(mirror.put_account, Account(20, "Other", "User"))
    if renamed:
        await known.tell(mirror.rename_account, 20, "acme")
    else:
        await known.tell(mirror.put_account, Account(20, "acme", "User"))
    found = await stored(known.database, tables.accounts)
    assert [row["id"] for row in found if row["login_lower"] == "acme"] == [20]


async def test_an_account_is_found_by_the_login_it_was_last_known_under(known: Mirror) -> None:
    async def called(login: str) -> Account | None:
        return await known.database.query(mirror.account_by_login, login)

    assert await called("acme") is None
    acme, thief = Account(10, "Acme", "Organization"), Account(20, "acme", "User")
    await known.tell(mirror.put_account, acme)
    assert await called("ACME") == acme
    await known.tell(mirror.put_account, Account(10, "Umbrella", "Organization"))
    await known.tell(mirror.put_account, thief)
    assert (await called("acme"), (await called("umbrella"))) == (
        thief,
        Account(10, "Umbrella", "Organization"),
    )


@pytest.mark.parametrize(
    ("values", "rises"),
    [
        ({}, 0),
        ({"archived": False, "private": False}, 0),
        ({"archived": True}, 1),
        ({"account_id": 11}, 1),
        ({"installation_id": None}, 1),
        ({"full_name": "acme/App"}, 1),
    ],
)
async def test_the_version_rises_when_what_is_told_is_new(
    known: Mirror, values: dict[str, Any], rises: int
) -> None:
    before = (await known.get(1)).version
    told: dict[str, Any] = {"full_name": "Acme/App", "installation_id": 7} | values
    await known.put(1, **told)
    assert (await known.get(1)).version == before + rises


@pytest.mark.parametrize("state", ["suspended", "deleted"])
async def test_an_installation_takes_all_of_its_repositories_with_it(
    known: Mirror, state: str
) -> None:
    await known.put(2, "Other/App", installation_id=8)
    before = [await known.get(each) for each in (1, 2)]
    await known.tell(mirror.set_installation_state, 7, state)
    one, other = await known.get(1), await known.get(2)
    assert (before[0].consented, one.consented, one.installation_state) == (True, False, state)
    assert (one.version, other.version) == (before[0].version + 1, before[1].version)


async def test_a_removed_repository_leaves_only_the_installation_it_was_removed_from(
    known: Mirror,
) -> None:
    await known.install(8)
    await known.put(2, "Acme/Moved", installation_id=8)
    await known.tell(mirror.detach, 7, [1, 2])
    assert ((await known.get(1)).installation_id, (await known.get(1)).version) == (None, 2)
    assert ((await known.get(2)).installation_id, (await known.get(2)).version) == (8, 1)


@pytest.mark.parametrize("role", ["provider", "consumer"])
async def test_a_repository_is_enabled_once(known: Mirror, role: str) -> None:
    await known.tell(mirror.enable, 1, role)
    enabled = await known.get(1)
    assert (enabled.provider, enabled.consumer) == (role == "provider", role == "consumer")
    await known.tell(mirror.enable, 1, role)
    assert (await known.get(1)).version == enabled.version == 2
    (row,) = await stored(known.database, tables.repositories)
    assert row[f"{role}_enabled_at"] == known.now - SECOND


async def test_what_is_told_of_a_repository_leaves_it_enabled(known: Mirror) -> None:
    await known.tell(mirror.enable, 1, "provider")
    await known.put(1, "Acme/Renamed", installation_id=7)
    assert (await known.get(1)).provider


async def test_a_touched_repository_has_a_new_version(known: Mirror) -> None:
    before = (await known.get(1)).version
    await known.tell(mirror.touch, 1)
    assert (await known.get(1)).version == before + 1


async def test_with_no_list_everybody_is_admitted(known: Mirror) -> None:
    assert await known.admitted([], {10: "Acme", 20: "Other"}) == {10, 20}
    assert await stored(known.database, tables.admissions) == []


async def test_only_listed_accounts_are_admitted(known: Mirror) -> None:
    assert await known.admitted(["acme"], {10: "Acme", 20: "Other"}) == {10}
    assert await known.admitted(["acme"], {20: "Other"}) == set()


async def test_an_admitted_account_is_known_by_its_id_from_then_on(known: Mirror) -> None:
    assert await known.admitted(["acme"], {10: "acme"}) == {10}
    assert await known.admitted(["acme"], {10: "umbrella", 20: "acme"}) == {10}
    (pin,) = await stored(known.database, tables.admissions)
    assert (pin["account_id"], pin["pinned_at"]) == (10, START + 3 * SECOND)
    assert isinstance(pin["pinned_at"], datetime)


async def test_an_account_taken_off_the_list_is_admitted_no_longer(known: Mirror) -> None:
    assert await known.admitted(["acme", "other"], {10: "acme", 20: "other"}) == {10, 20}
    assert await known.admitted(["other"], {10: "acme", 20: "other"}) == {20}
