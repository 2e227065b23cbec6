"""GitHub's news: what takes away acts as told, what gives acts as GitHub then answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.operations.news import mirrored, news
from tests.stage import ME
from zekt_bot.db import mirror, tables
from zekt_bot.db import services as service_rows
from zekt_bot.db.tables import audit
from zekt_bot.domain.catalog import Account
from zekt_bot.errors import GitHubError, MalformedEvent, NotFound
from zekt_bot.operations import erasure, installations, repositories
from zekt_bot.operations.accounts import learn
from zekt_bot.testing import payloads

if TYPE_CHECKING:
    from tests.stage import Stage
    from zekt_bot.testing import Repository

PROVIDER, CONSUMER = "aurora-labs/payments-api", "kestrel-bank/core-sync"


async def know(stage: Stage) -> None:
    """Make the mirror hold the provider."""
    await repositories.enable(stage.broker, ME, PROVIDER)


async def consented(stage: Stage, repository: Repository | None = None) -> bool:
    """Whether Zekt may act on a repository, the provider's unless another is named."""
    found = await mirrored(stage, repository or stage.provider)
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
async def test_what_takes_away_acts_at_once_whether_github_answers_or_not(
    stage: Stage, action: str
) -> None:
    await know(stage)
    assert await consented(stage)
    stage.github.fail("GET", "*", status=500, times=9)
    with pytest.raises(GitHubError):  # so the webhook is not done, and asked again later
        await installation(stage, action)
    assert not await consented(stage)


@pytest.mark.parametrize("action", ["deleted", "suspend"])
async def test_an_old_withdrawal_sent_again_is_put_right(stage: Stage, action: str) -> None:
    await know(stage)
    await installation(stage, action)
    assert await consented(stage)  # GitHub said that it stands


async def test_an_answer_that_was_overtaken_is_asked_again(stage: Stage) -> None:
    await know(stage)
    path = f"/app/installations/{stage.providing.id}"
    free = asyncio.Event()
    stage.github.fail("GET", path, until=free, when="after")
    asking = asyncio.create_task(installation(stage, "created"))
    while not stage.github.requests[-1].path.endswith(f"/{stage.providing.id}"):
        await asyncio.sleep(0.01)
    with stage.github.outage():
        await stage.github.suspend(stage.providing)
    await installation(stage, "suspend")
    free.set()
    await asking
    assert not await consented(stage)


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
    assert await consented(stage)  # GitHub still covers it: the removal was an old body
    with stage.github.outage():
        app = stage.providing.app
        await stage.github.uninstall(stage.providing)
        await stage.github.install(app, stage.provider.owner, [])
    for action in ("removed", "added"):
        await selection(stage, action)
        assert not await consented(stage)


async def test_a_public_repository_that_is_not_covered_gives_nothing(stage: Stage) -> None:
    await know(stage)
    with stage.github.outage():
        stage.provider.private = False
        app = stage.providing.app
        await stage.github.uninstall(stage.providing)
        other = stage.github.repository(stage.provider.owner, "other")
        new = await stage.github.install(app, stage.provider.owner, [other])
    await installation(stage, "deleted")
    listed = {"repositories_added": [{"id": stage.provider.id}]}
    told_of = news(
        stage, "installation_repositories", "added", installation={"id": new.id}, **listed
    )
    await installations.repositories_changed(stage.broker, told_of)
    assert not await consented(stage)


async def test_an_archived_repository_is_marked_as_github_says(stage: Stage) -> None:
    await know(stage)
    for happens, action in ((stage.github.archive, "archived"), (stage.github.unarchive, "edited")):
        with stage.github.outage():
            await happens(stage.provider)
        await repository(stage, action)
        found = await mirrored(stage, stage.provider)
        assert found is not None
        assert found.archived is stage.provider.archived


async def test_archived_acts_at_once_whether_github_answers_or_not(stage: Stage) -> None:
    await know(stage)
    stage.github.fail("GET", "*", status=500, times=9)
    with pytest.raises(GitHubError):
        await repository(stage, "archived")
    found = await mirrored(stage, stage.provider)
    assert found is not None
    assert found.archived


async def test_a_deleted_repository_is_gone(stage: Stage) -> None:
    await know(stage)
    with stage.github.outage():
        await stage.github.delete_repository(stage.provider)
    await repository(stage, "deleted")
    assert not await consented(stage)


async def test_with_another_owner_all_consent_ends(stage: Stage) -> None:
    await stage.serve()
    with stage.github.outage():
        await stage.github.transfer(stage.consumer, stage.provider.owner)
        await stage.github.transfer(stage.provider, stage.github.account("somebody-else"))
        await stage.github.install(stage.app, stage.provider.owner)
    for moved in (stage.provider, stage.consumer):
        found = await installations.find_repository(stage.broker, moved.full_name)
        assert (found.account_id, found.provider, found.consumer) == (moved.owner.id, False, False)
    service = await stage.broker.database.query(service_rows.by_name, "somebody-else", "release")
    assert service is not None
    assert not service.published


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


async def renamed(stage: Stage, login: str) -> None:
    """`installation_target` news of a login, whether or not it is so."""
    account = {"id": stage.provider.owner.id, "login": login}
    body = {"account": account, "installation": {"id": stage.providing.id}}
    told_of = news(stage, "installation_target", "renamed", **body)
    await installations.account_renamed(stage.broker, told_of)


async def test_a_renamed_account_renames_its_repositories(stage: Stage) -> None:
    await know(stage)
    with stage.github.outage():
        await stage.github.rename_account(stage.provider.owner, "borealis")
    await renamed(stage, "what the body says counts for nothing")
    found = await mirrored(stage, stage.provider)
    assert found is not None
    assert found.full_name == "borealis/payments-api"


async def test_an_old_renaming_sent_again_changes_nothing(stage: Stage) -> None:
    await know(stage)
    await renamed(stage, "a-former-name")
    found = await mirrored(stage, stage.provider)
    assert found is not None
    assert found.full_name == PROVIDER


async def test_while_github_is_away_nothing_is_given(stage: Stage) -> None:
    await know(stage)
    stage.github.fail("GET", "/app/installations/*", status=500, times=9)
    for action in ("removed", "added"):
        with pytest.raises(GitHubError):
            await selection(stage, action)
        assert not await consented(stage)


async def test_an_unknown_repository_is_looked_up_and_a_stranger_not_found(stage: Stage) -> None:
    found = await installations.find_repository(stage.broker, CONSUMER)
    assert (found.id, found.consented) == (stage.consumer.id, True)
    assert await installations.find_repository(stage.broker, CONSUMER.upper()) == found
    with pytest.raises(NotFound, match="install the App"):
        await installations.find_repository(stage.broker, "nobody/nothing")


async def test_whoever_only_looks_leaves_no_trace(stage: Stage) -> None:
    async def entries() -> list[str]:
        return [row["verb"] for row in await stage.rows(audit)]

    await installations.find_repository(stage.broker, CONSUMER)
    assert await entries() == ["github:repository:confirmed"]
    await installations.find_repository(stage.broker, CONSUMER)
    assert len(await entries()) == 1
    with stage.github.outage():
        await stage.github.rename(stage.consumer, "core-sink")
    await installations.find_repository(stage.broker, "kestrel-bank/core-sink")
    assert await entries() == ["github:repository:confirmed"] * 2


async def test_a_name_means_whoever_bears_it_now(stage: Stage) -> None:
    await know(stage)
    with stage.github.outage():
        await stage.github.rename(stage.provider, "payments-old")
    newcomer = stage.github.repository(stage.provider.owner, "payments-api", private=True)
    found = await installations.find_repository(stage.broker, PROVIDER)
    assert (found.id, found.provider) == (newcomer.id, False)


async def test_a_known_repository_without_consent_is_not_found(stage: Stage) -> None:
    await know(stage)
    with stage.github.outage():
        await stage.github.uninstall(stage.providing)
    with pytest.raises(NotFound):
        await installations.find_repository(stage.broker, PROVIDER)


@pytest.mark.parametrize(
    "listed", [3, ["a"], [{"id": 0}], [{}]], ids=["no list", "no object", "no id", "nothing"]
)
async def test_a_malformed_list_is_refused(stage: Stage, listed: Any) -> None:
    body = {"repositories_removed": listed, **told(stage)}
    told_of = news(stage, "installation_repositories", "removed", **body)
    with pytest.raises(MalformedEvent):
        await installations.repositories_changed(stage.broker, told_of)


@pytest.mark.parametrize("account_id", [2**63, -1, True, "1"])
async def test_news_of_an_account_whose_id_is_absurd_is_done_at_once(
    stage: Stage, account_id: Any
) -> None:
    await know(stage)
    body = payloads.installation_repositories(
        stage.providing, [], [stage.provider], stage.github.sender
    )
    body["installation"]["account"]["id"] = account_id
    await stage.tell("installation_repositories", body)
    await stage.listen()
    assert (await stage.row(tables.inbox))["state"] == "processed"
    last = (await stage.rows(audit))[-1]
    assert (last["verb"], last["account_id"]) == ("github:installation_repositories:removed", None)


async def test_a_repository_that_vanishes_between_two_answers_is_not_found(stage: Stage) -> None:
    path = f"/repos/{CONSUMER}"
    stage.github.fail("GET", path, status=404)
    with pytest.raises(NotFound, match="GitHub shows no"):
        await installations.find_repository(stage.broker, CONSUMER)


async def test_repositories_that_nobody_enabled_are_noted_and_have_no_power(stage: Stage) -> None:
    body = payloads.installation(stage.providing, "created", [stage.provider], stage.github.sender)
    await stage.tell("installation", body)
    await stage.listen()
    found = await mirrored(stage, stage.provider)
    assert found is not None
    assert (found.full_name, found.private) == (PROVIDER, True)
    assert (found.provider, found.consumer) == (False, False)
    await stage.github.rename(stage.provider, "pay")
    await stage.listen()
    found = await mirrored(stage, stage.provider)
    assert found is not None
    assert found.full_name == "aurora-labs/pay"


async def test_a_noted_repository_takes_no_name_from_another(stage: Stage) -> None:
    await know(stage)
    body = payloads.installation(stage.providing, "created", [stage.provider], stage.github.sender)
    body["repositories"][0]["id"] = 4711
    await stage.tell("installation", body)
    while await stage.route():
        pass
    found = await stage.broker.database.query(mirror.repository_by_name, PROVIDER)
    assert found is not None
    assert found.id == stage.provider.id


async def test_a_noted_repository_that_was_taken_out_comes_back(stage: Stage) -> None:
    await stage.github.unsuspend(stage.consuming)
    await stage.listen()
    await stage.github.remove_repositories(stage.consuming, stage.consumer)
    await stage.listen()
    assert not (await consented(stage, stage.consumer))
    await stage.github.add_repositories(stage.consuming, stage.consumer)
    await stage.listen()
    assert await consented(stage, stage.consumer)


async def test_an_added_repository_that_github_does_not_show_is_taken_out(stage: Stage) -> None:
    await know(stage)
    stage.github.fail("GET", f"/repositories/{stage.provider.id}", status=404)
    await selection(stage, "added")
    assert not await consented(stage)


async def hands(stage: Stage) -> list[tuple[object, ...]]:
    names = ("installed_by", "installed_by_id", "suspended_by", "suspended_by_id")
    rows = await stage.rows(tables.installations)
    return [tuple(row[name] for name in names) for row in rows]


async def test_who_installed_and_who_suspended_is_known_until_they_are_erased(stage: Stage) -> None:
    await know(stage)
    assert await hands(stage) == [(None, None, None, None)]
    tom, ada = (stage.github.account(login, "User") for login in ("tom-haber", "ada"))
    for person in (tom, ada):  # whoever comes second, by an old body, changes nothing
        sender = {"id": person.id, "login": person.login}
        await installation(stage, "created", sender=sender)
    await installation(stage, "created")
    with stage.github.outage():
        await stage.github.suspend(stage.providing)
    await installation(stage, "suspend")
    me = stage.github.core.world.sender
    assert await hands(stage) == [("tom-haber", tom.id, me.login, me.id)]
    (row,) = await stage.rows(tables.installations)
    assert (row["installed_at"], row["suspended_at"]) == (
        stage.providing.created_at,
        stage.providing.suspended_at,
    )
    for gone in (tom, me):
        await learn(stage.broker, Account(gone.id, gone.login, "User"))
        await erasure.erase(stage.broker, ME, gone.login)
    assert await hands(stage) == [(None, None, None, None)]
    await installation(stage, "suspend")
    await installation(stage, "created", sender={"id": tom.id, "login": tom.login})
    assert await hands(stage) == [(None, None, None, None)]
