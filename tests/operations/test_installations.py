"""GitHub's news: what takes away acts as told, what gives acts as GitHub then answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.operations.news import mirrored, news
from tests.stage import ME
from zekt_bot.db import mirror
from zekt_bot.errors import GitHubError, MalformedEvent, NotFound
from zekt_bot.operations import catalog, installations

if TYPE_CHECKING:
    from tests.stage import Stage

PROVIDER, CONSUMER = "aurora-labs/payments-api", "kestrel-bank/core-sync"


async def know(stage: Stage) -> None:
    """Make the mirror hold the provider."""
    await catalog.enable_repository(stage.broker, ME, PROVIDER)


async def consented(stage: Stage) -> bool:
    """Whether Zekt may act on the provider's repository."""
    found = await mirrored(stage, stage.provider)
    return found is not None and found.consented


def told(stage: Stage) -> dict[str, Any]:
    """The installation as a webhook names it."""
    return {
        "installation": {
            "id": stage.providing.id,
            "account": {"id": stage.provider.owner.id, "login": stage.provider.owner.login},
        }
    }


async def installation(stage: Stage, action: str, **more: Any) -> None:
    """`installation` news about the provider."""
    await installations.installation_changed(
        stage.broker, news(stage, "installation", action, **told(stage), **more)
    )


async def selection(stage: Stage, action: str) -> None:
    """`installation_repositories` news about the provider's repository."""
    listed = {f"repositories_{action}": [{"id": stage.provider.id}]}
    told_of = news(stage, "installation_repositories", action, **told(stage), **listed)
    await installations.repositories_changed(stage.broker, told_of)


async def repository(stage: Stage, action: str) -> None:
    """`repository` news about the provider."""
    body = {"repository": {"id": stage.provider.id}, **told(stage)}
    await installations.repository_changed(stage.broker, news(stage, "repository", action, **body))


@pytest.mark.parametrize("action", ["deleted", "suspend"])
async def test_what_takes_away_acts_without_asking(stage: Stage, action: str) -> None:
    await know(stage)
    assert await consented(stage)
    asked = len(stage.github.requests)
    await installation(stage, action)
    assert not await consented(stage)
    assert len(stage.github.requests) == asked


async def test_an_old_created_after_a_deletion_gives_nothing(stage: Stage) -> None:
    await know(stage)
    with stage.github.outage():
        await stage.github.uninstall(stage.providing)
    await installation(stage, "deleted")
    await installation(stage, "created", repositories=[{"id": stage.provider.id}])
    assert not await consented(stage)


async def test_an_old_unsuspend_gives_nothing_while_github_says_suspended(stage: Stage) -> None:
    await know(stage)
    with stage.github.outage():
        await stage.github.suspend(stage.providing)
        await installation(stage, "unsuspend", repositories=[{"id": stage.provider.id}])
        assert not await consented(stage)
        await stage.github.unsuspend(stage.providing)
        await installation(stage, "unsuspend", repositories=[{"id": stage.provider.id}])
    assert await consented(stage)


async def test_a_removed_repository_goes_and_comes_back_only_as_github_says(stage: Stage) -> None:
    await know(stage)
    await selection(stage, "removed")
    assert not await consented(stage)
    await selection(stage, "added")
    assert await consented(stage)  # GitHub still covers it: the removal was an old body
    with stage.github.outage():
        app = stage.providing.app
        await stage.github.uninstall(stage.providing)
        await stage.github.install(app, stage.provider.owner, [])
    await selection(stage, "added")
    assert not await consented(stage)


async def test_a_public_repository_that_is_not_covered_gives_nothing(stage: Stage) -> None:
    await know(stage)
    await selection(stage, "removed")
    with stage.github.outage():
        stage.provider.private = False
        app = stage.providing.app
        await stage.github.uninstall(stage.providing)
        other = stage.github.repository(stage.provider.owner, "other")
        new = await stage.github.install(app, stage.provider.owner, [other])
    listed = {"repositories_added": [{"id": stage.provider.id}]}
    told_of = news(
        stage, "installation_repositories", "added", installation={"id": new.id}, **listed
    )
    await installations.repositories_changed(stage.broker, told_of)
    assert not await consented(stage)


@pytest.mark.parametrize(
    ("action", "column"), [("archived", "archived"), ("privatized", "private")]
)
async def test_a_repositorys_own_news_acts(stage: Stage, action: str, column: str) -> None:
    await know(stage)
    before = await mirrored(stage, stage.provider)
    await repository(stage, action)
    after = await mirrored(stage, stage.provider)
    assert before is not None
    assert after is not None
    if column == "archived":
        assert (before.archived, after.archived) == (False, True)
        await repository(stage, "unarchived")
        now = await mirrored(stage, stage.provider)
        assert now is not None
        assert not now.archived  # GitHub said so


async def test_a_deleted_repository_is_gone(stage: Stage) -> None:
    await know(stage)
    await repository(stage, "deleted")
    assert not await consented(stage)


async def test_news_of_a_deleted_stranger_harms_nobody(stage: Stage) -> None:
    await repository(stage, "deleted")
    assert await mirrored(stage, stage.provider) is None


async def test_a_new_name_is_the_same_repository(stage: Stage) -> None:
    await know(stage)
    with stage.github.outage():
        await stage.github.rename(stage.provider, "payments")
    await repository(stage, "renamed")
    found = await mirrored(stage, stage.provider)
    assert found is not None
    assert (found.full_name, found.provider) == ("aurora-labs/payments", True)


async def test_a_renamed_account_renames_its_repositories(stage: Stage) -> None:
    await know(stage)
    account = {"id": stage.provider.owner.id, "login": "borealis"}
    told_of = news(stage, "installation_target", "renamed", account=account)
    await installations.account_renamed(stage.broker, told_of)
    found = await mirrored(stage, stage.provider)
    assert found is not None
    assert found.full_name == "borealis/payments-api"
    held = await stage.broker.database.query(mirror.account_by_login, "Borealis")
    assert held is not None
    assert held.id == stage.provider.owner.id


async def test_while_github_is_away_nothing_is_given(stage: Stage) -> None:
    await know(stage)
    await selection(stage, "removed")
    stage.github.fail("GET", "/app/installations/*", status=500, times=9)
    with pytest.raises(GitHubError):
        await selection(stage, "added")
    assert not await consented(stage)


async def test_an_unknown_repository_is_looked_up_and_a_stranger_not_found(stage: Stage) -> None:
    found = await installations.find_repository(stage.broker, CONSUMER)
    assert (found.id, found.consented) == (stage.consumer.id, True)
    asked = len(stage.github.requests)
    assert await installations.find_repository(stage.broker, CONSUMER.upper()) == found
    assert len(stage.github.requests) == asked  # known now
    with pytest.raises(NotFound, match="install the App"):
        await installations.find_repository(stage.broker, "nobody/nothing")


async def test_a_known_repository_without_consent_is_still_named(stage: Stage) -> None:
    await know(stage)
    with stage.github.outage():
        await stage.github.uninstall(stage.providing)
    await installation(stage, "deleted")
    found = await installations.find_repository(stage.broker, PROVIDER)
    assert not found.consented


@pytest.mark.parametrize(
    "listed", [3, ["a"], [{"id": 0}], [{}]], ids=["no list", "no object", "no id", "nothing"]
)
async def test_a_malformed_list_is_refused(stage: Stage, listed: Any) -> None:
    body = {"repositories_removed": listed, **told(stage)}
    told_of = news(stage, "installation_repositories", "removed", **body)
    with pytest.raises(MalformedEvent):
        await installations.repositories_changed(stage.broker, told_of)


async def test_a_repository_that_vanishes_between_two_answers_is_not_found(stage: Stage) -> None:
    path = f"/repos/{CONSUMER}"
    stage.github.fail("GET", path, status=404)
    with pytest.raises(NotFound, match="access"):
        await installations.find_repository(stage.broker, CONSUMER)


async def test_news_of_repositories_that_nobody_enabled_is_not_kept(stage: Stage) -> None:
    await selection(stage, "added")
    assert await mirrored(stage, stage.provider) is None


async def test_an_added_repository_that_github_does_not_show_is_taken_out(stage: Stage) -> None:
    await know(stage)
    stage.github.fail("GET", f"/repositories/{stage.provider.id}", status=404)
    await selection(stage, "added")
    assert not await consented(stage)
