"""Erasing an account: nothing of it is left but its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from tests.operations.people import people
from tests.pipeline.between import aggregated
from tests.stage import ME, SERVICE
from zekt_bot.db import erasure as parts
from zekt_bot.db.runs import meet
from zekt_bot.db.tables import (
    accounts,
    audit,
    deliveries,
    envelopes,
    inbox,
    installations,
    metadata,
    principals,
    repositories,
    runs,
)
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.ids import new_correlation_id, new_id
from zekt_bot.errors import AccessDenied, NotFound
from zekt_bot.operations import erasure
from zekt_bot.operations.audit_proof import verify
from zekt_bot.operations.subscription_parties import Ends
from zekt_bot.operations.subscriptions import end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from tests.operations.people import People
    from tests.stage import Stage
    from zekt_bot.db.erasure import Part

PROVIDER, CONSUMER = "aurora-labs", "kestrel-bank"


async def delivered(stage: Stage) -> People:
    """An event with a message, delivered, and what people did for it."""
    await stage.serve("released")
    run = await stage.finish_run("build")
    await stage.listen()
    await stage.post(run)
    await stage.flow()
    there = people(stage)
    await end(stage.broker, there.ada, "revoke", Ends(SERVICE, stage.consumer.full_name))
    return there


async def everything(stage: Stage) -> dict[str, list[dict[str, object]]]:
    return {
        name: [dict(row) for row in await stage.rows(table)]
        for name, table in metadata.tables.items()
    }


@pytest.mark.parametrize("login", [PROVIDER, CONSUMER])
async def test_nothing_names_it_any_more(stage: Stage, login: str) -> None:
    await delivered(stage)
    before = await stage.rows(audit)
    account_id = await erasure.erase(stage.broker, ME, login)
    found = await everything(stage)
    assert login not in repr(found)
    for table in ("deliveries", "attempts", "subscriptions", "installations"):
        rows = [row for row in found[table] if account_id in row.values()]
        assert rows == [], table
    assert found["deliveries"] == found["attempts"] == found["subscriptions"] == []
    (account,) = [row for row in await stage.rows(accounts) if row["id"] == account_id]
    assert (account["login"], account["rule"]) == ("", "block")
    after = await stage.rows(audit)
    assert after[: len(before)] == before
    assert [row["verb"] for row in after[len(before) :]] == [
        "person:account:blocked",
        "person:account:erased",
    ]
    assert (await verify(stage.broker, ME))["intact"]


async def test_the_other_side_keeps_what_is_its_own(stage: Stage) -> None:
    await delivered(stage)
    await erasure.erase(stage.broker, ME, CONSUMER)
    found = await everything(stage)
    for table in ("runs", "messages", "envelopes", "jobs", "services", "allowed_workflows"):
        assert found[table], table
    await erasure.erase(stage.broker, ME, PROVIDER)
    found = await everything(stage)
    for table in ("runs", "messages", "envelopes", "jobs", "services", "allowed_workflows"):
        assert found[table] == [], table
    assert found["repositories"] == []


async def test_anothers_repository_in_its_installation_changes_with_it(stage: Stage) -> None:
    """As after a transfer of which GitHub's news have not come yet."""
    await stage.serve()
    await stage.broker.database.write(stray, (stage.provider.id, stage.consuming.id))
    (before,) = [row for row in await stage.rows(repositories) if row["id"] == stage.provider.id]
    await erasure.erase(stage.broker, ME, CONSUMER)
    (after,) = await stage.rows(repositories)
    assert (after["id"], after["version"]) == (stage.provider.id, before["version"] + 1)


def stray(connection: Connection, rows: Sequence[tuple[int, int]]) -> list[None]:
    """Let a repository stand in this installation."""
    for repository_id, installation_id in rows:
        moved = update(repositories).where(repositories.c.id == repository_id)
        connection.execute(moved.values(installation_id=installation_id))
    return [None] * len(rows)


async def test_nothing_new_of_it_comes_in(stage: Stage) -> None:
    await delivered(stage)
    await erasure.erase(stage.broker, ME, PROVIDER)
    await stage.finish_run("build")
    await stage.flow()
    assert await stage.rows(runs) == []


async def test_news_that_take_away_do_not_bring_its_name_back(stage: Stage) -> None:
    await delivered(stage)
    await erasure.erase(stage.broker, ME, PROVIDER)
    await stage.github.suspend(stage.providing)
    await stage.listen()
    assert [row["state"] for row in await stage.rows(inbox)] == ["processed"]
    assert PROVIDER not in repr(await everything(stage))
    assert [row["id"] for row in await stage.rows(installations)] == [stage.consuming.id]


async def test_what_a_worker_makes_of_it_meanwhile_goes_too(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await delivered(stage)
    key, now, made = RunKey(stage.provider.id, 1, 1), stage.clock.now(), list[str]()

    def make(connection: Connection, rows: Sequence[Part]) -> list[int]:
        if not made:
            made.append(new_id("run", now))
            row = {"id": made[0], "correlation_id": new_correlation_id(), "received_at": now}
            meet(connection, {key: {**row, "account_id": rows[0].account_id}})
        return [0] * len(rows)

    monkeypatch.setattr(parts, "PARTS", (*parts.PARTS, make))
    await erasure.erase(stage.broker, ME, PROVIDER)
    assert made
    assert await stage.rows(runs) == []
    verbs = [row["verb"] for row in await stage.rows(audit)]
    assert verbs.count("person:account:erased") == 1


async def test_what_is_left_of_it_holds_up_nobody(stage: Stage) -> None:
    """A page of runs, or of envelopes, of which one has lost its repository."""
    await stage.serve()
    for run_id in (1, 2, 3):
        await stage.finish_run("build")
        await stage.listen()
        if run_id == 1:
            await stage.broker.database.write(leave, None)
    await aggregated(stage)
    assert len(await stage.rows(envelopes)) == 2
    await stage.broker.database.write(leave, None)
    assert await stage.match() == {}
    assert len(await stage.rows(deliveries)) == 1


def leave(connection: Connection, rows: Sequence[None]) -> list[None]:
    """Of one more run nobody knows the repository."""
    for _ in rows:
        known = select(runs.c.id).where(runs.c.repository_id != 9).limit(1).scalar_subquery()
        connection.execute(update(runs).where(runs.c.id == known).values(repository_id=9))
    return [None] * len(rows)


async def test_a_persons_name_is_erased_from_who_acted(stage: Stage) -> None:
    ada = (await delivered(stage)).ada
    await stage.broker.database.write(known, (ada.id, ada.login))
    await erasure.erase(stage.broker, ME, ada.login)
    names = {row["id"]: row["name"] for row in await stage.rows(principals)}
    assert names[ada.actor] is None
    assert names[ME.actor] == ME.actor


def known(connection: Connection, rows: Sequence[tuple[int, str]]) -> list[None]:
    """Let an account, which Zekt has met already, be this person's."""
    for account_id, login in rows:
        spare = update(accounts).where(accounts.c.login == CONSUMER)
        connection.execute(spare.values(id=account_id, login=login, login_lower=login))
    return [None] * len(rows)


async def test_a_person_is_forgotten_in_the_runs_of_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "_WALK", 2)
    await stage.serve()
    ada = stage.github.account("Ada", kind="User")
    for actor in (ada, stage.provider.owner, ada):
        await stage.finish_run("build", actor=actor)
    await stage.flow()
    await stage.broker.database.write(known, (ada.id, "ada"))
    await erasure.erase(stage.broker, ME, "ada")
    actors = {row["run_number"]: row["actor"] for row in await stage.rows(runs)}
    assert [actors[number] for number in sorted(actors)] == [None, PROVIDER, None]


async def test_parts_follow_each_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "_PART", 1)
    await stage.serve()
    for _ in range(3):
        await stage.finish_run("build")
        await stage.flow()
    await erasure.erase(stage.broker, ME, PROVIDER)
    assert await stage.rows(runs) == []


async def test_it_is_an_operators_and_of_a_known_account(stage: Stage) -> None:
    there = await delivered(stage)
    with pytest.raises(AccessDenied):
        await erasure.erase(stage.broker, there.ada, PROVIDER)
    with pytest.raises(NotFound):
        await erasure.erase(stage.broker, ME, "nobody-here")
