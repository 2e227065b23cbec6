"""What no webhook told is found by asking GitHub, and acts as if it had been told."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.operations.news import mirrored
from tests.stage import ME, Stage, open_stage
from zekt_bot.config import AppCredentials
from zekt_bot.db.tables import accounts, audit, installations
from zekt_bot.operations import repositories
from zekt_bot.operations.reconciliation import reconcile

if TYPE_CHECKING:
    from zekt_bot.domain.catalog import Repository as Mirrored
    from zekt_bot.testing import Repository


async def known(stage: Stage, repository: Repository | None = None) -> Mirrored:
    found = await mirrored(stage, repository or stage.provider)
    assert found is not None
    return found


async def lapse(stage: Stage, how: str) -> None:
    """Consent is withdrawn, and nobody tells."""
    github = stage.github
    if how == "uninstalled":
        await github.uninstall(stage.providing)
    elif how == "suspended":
        await github.suspend(stage.providing)
    elif how == "archived":
        await github.archive(stage.provider)
    elif how == "deleted":
        await github.delete_repository(stage.provider)
    else:
        await github.transfer(stage.provider, github.account("cedar-group"))
    stage.held.clear()


def stands(repository: Mirrored) -> bool:
    return repository.consented and not repository.archived


@pytest.mark.parametrize("how", ["uninstalled", "suspended", "archived", "deleted", "transferred"])
async def test_a_withdrawal_that_nobody_told_is_found(stage: Stage, how: str) -> None:
    await stage.serve()
    owner = stage.provider.owner
    assert await reconcile(stage.broker) == 0
    await lapse(stage, how)
    assert stands(await known(stage))
    assert await reconcile(stage.broker) == 1
    assert not stands(await known(stage))
    told = [row for row in await stage.rows(audit) if row["verb"].endswith(":reconciled")]
    assert [row["account_id"] for row in told] == [owner.id]
    assert await reconcile(stage.broker) == 0


async def test_a_repository_taken_out_of_the_selection_is_found_and_comes_back(
    migrated_url: str,
) -> None:
    async with open_stage(migrated_url) as stage:
        other = stage.github.repository(stage.provider.owner, "other")
        await stage.github.uninstall(stage.providing)
        chosen = await stage.github.install(
            stage.app, stage.provider.owner, [stage.provider, other]
        )
        await stage.serve()
        await stage.github.remove_repositories(chosen, stage.provider)
        assert await reconcile(stage.broker) == 1
        assert not (await known(stage)).consented
        await stage.github.add_repositories(chosen, stage.provider)
        assert await reconcile(stage.broker) == 1
        assert (await known(stage)).consented
        stage.held.clear()


async def test_an_end_of_a_suspension_and_a_new_name_are_found(stage: Stage) -> None:
    await stage.serve()
    await lapse(stage, "suspended")
    assert await reconcile(stage.broker) == 1
    await stage.github.unsuspend(stage.providing)
    await stage.github.rename(stage.provider, "billing-api")
    assert await reconcile(stage.broker) == 1
    assert (await known(stage)).consented
    assert (await known(stage)).full_name == "aurora-labs/billing-api"
    await stage.github.rename_account(stage.provider.owner, "aurora-works")
    assert await reconcile(stage.broker) == 1
    assert (await known(stage)).full_name == "aurora-works/billing-api"
    stage.held.clear()


async def test_an_installation_that_nobody_told_of_is_learned(stage: Stage) -> None:
    assert await reconcile(stage.broker) == 2
    states = {row["id"]: row["state"] for row in await stage.rows(installations)}
    assert states == {stage.providing.id: "active", stage.consuming.id: "active"}


async def test_of_an_account_that_is_not_admitted_nothing_is_stored(migrated_url: str) -> None:
    async with open_stage(migrated_url, allowed_accounts=("kestrel-bank",)) as stage:
        assert await reconcile(stage.broker) == 1
        assert [row["login"] for row in await stage.rows(accounts)] == ["kestrel-bank"]


async def test_where_github_does_not_answer_all_stays_as_it_is(stage: Stage) -> None:
    await stage.serve()
    await lapse(stage, "uninstalled")
    stage.github.fail("GET", "/app/installations", status=502)
    assert await reconcile(stage.broker) == 0
    stage.github.fail("GET", f"/app/installations/{stage.providing.id}", status=502)
    assert await reconcile(stage.broker) == 0
    assert (await known(stage)).consented
    assert await reconcile(stage.broker) == 1
    assert not (await known(stage)).consented


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/installation/repositories", 403), ("POST", "{provider}/access_tokens", 404)],
)
async def test_one_that_cannot_be_read_hides_no_other(
    stage: Stage, method: str, path: str, status: int
) -> None:
    await stage.serve()
    stage.clock.advance(timedelta(hours=2))  # so that tokens are minted anew
    place = path.format(provider=f"/app/installations/{stage.providing.id}")
    stage.github.fail(method, place, status=status, times=9 if method == "POST" else 1)
    await stage.github.archive(stage.consumer)
    stage.held.clear()
    assert await reconcile(stage.broker) == 1
    assert (await known(stage, stage.consumer)).archived


async def test_a_list_that_is_none_is_not_believed(stage: Stage) -> None:
    await stage.serve()
    stage.github.fail("GET", "/app/installations", status=200)
    assert await reconcile(stage.broker) == 0
    assert (await known(stage)).consented


async def test_a_large_installation_is_read_to_its_end(stage: Stage) -> None:
    for number in range(120):
        stage.github.repository(stage.provider.owner, f"other-{number:03d}")
    last = stage.github.repository(stage.provider.owner, "zebra")
    await repositories.enable(stage.broker, ME, last.full_name)
    assert await reconcile(stage.broker) == 1  # the consumer's installation was not known
    assert (await known(stage, last)).consented


async def test_it_stops_when_told_to(stage: Stage) -> None:
    assert await reconcile(stage.broker, lambda: True) == 0
    assert await stage.rows(installations) == []


async def test_before_there_is_an_app_nobody_is_asked(migrated_url: str) -> None:
    async with open_stage(migrated_url, orchestrator=AppCredentials()) as stage:
        assert await reconcile(stage.broker) == 0
        assert stage.github.requests == []
