"""Webhooks: headers, signatures, sizes, and who gets which."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from typing import TYPE_CHECKING, Any

from zekt_bot.testing import ManualClock, payloads, sign, webhook_headers
from zekt_bot.testing.github import GitHubSimulator

if TYPE_CHECKING:
    from tests.testing.conftest import Scene


async def test_a_webhook_is_signed_and_has_githubs_headers(scene: Scene) -> None:
    await scene.github.start_run(scene.api, "ci.yml")
    (hook,) = scene.receiver.hooks
    secret = scene.app.webhook_secret.encode()
    expected = hmac.new(secret, hook.raw, hashlib.sha256).hexdigest()
    assert hook.headers["X-Hub-Signature-256"] == f"sha256={expected}" == sign(secret, hook.raw)
    assert hook.headers["X-Hub-Signature"].startswith("sha1=")
    assert hook.headers["User-Agent"].startswith("GitHub-Hookshot/")
    assert hook.headers["Content-Type"] == "application/json"
    assert hook.headers["X-GitHub-Event"] == "workflow_run"
    assert hook.headers["X-GitHub-Hook-Installation-Target-ID"] == str(scene.app.id)
    assert hook.headers["X-GitHub-Hook-Installation-Target-Type"] == "integration"
    assert hook.headers["X-GitHub-Hook-ID"] == str(scene.app.hook_id)
    assert str(uuid.UUID(hook.headers["X-GitHub-Delivery"])) == hook.headers["X-GitHub-Delivery"]


async def test_a_run_from_start_to_end(scene: Scene) -> None:
    run = await scene.github.start_run(scene.api, "ci.yml", head_branch="topic")
    build = await run.start_job("build")
    test = await run.queue_job("test")
    await build.complete("success")
    await test.complete("skipped")
    await run.complete("success")
    assert scene.receiver.names == [
        "workflow_run.requested",
        "workflow_job.queued",
        "workflow_run.in_progress",
        "workflow_job.in_progress",
        "workflow_job.queued",
        "workflow_job.completed",
        "workflow_job.completed",
        "workflow_run.completed",
    ]
    job = scene.receiver.hooks[5].body["workflow_job"]
    assert (job["run_id"], job["run_attempt"], job["conclusion"]) == (run.id, 1, "success")
    assert job["steps"][0]["name"] == "Set up job"
    assert job["runner_name"] == "GitHub Actions 5"
    told = scene.receiver.hooks[-1].body
    assert told["workflow_run"]["head_branch"] == "topic"
    assert told["installation"]["id"] == scene.installation.id
    assert told["organization"]["login"] == "aurora-labs"


async def test_payloads_have_githubs_size_and_fields(scene: Scene) -> None:
    run = await scene.github.start_run(scene.api, "ci.yml")
    await run.start_job("build")
    await run.complete()
    whole = next(h for h in scene.receiver.hooks if h.named == "workflow_run.completed")
    assert 13_000 < len(whole.raw) < 20_000
    told: dict[str, Any] = whole.body
    assert set(told) == {
        "action",
        "workflow_run",
        "workflow",
        "repository",
        "organization",
        "sender",
        "installation",
    }
    wanted = (
        "id name node_id head_branch head_sha path display_title run_number event status "
        "conclusion workflow_id check_suite_id check_suite_node_id url html_url pull_requests "
        "created_at updated_at actor run_attempt referenced_workflows run_started_at "
        "triggering_actor jobs_url logs_url check_suite_url artifacts_url cancel_url rerun_url "
        "previous_attempt_url workflow_url head_commit repository head_repository"
    )
    assert set(told["workflow_run"]) == set(wanted.split())
    assert told["workflow"]["path"] == told["workflow_run"]["path"] == ".github/workflows/ci.yml"
    job = next(h for h in scene.receiver.hooks if h.named == "workflow_job.completed")
    assert 6_000 < len(job.raw) < 12_000


async def test_a_rerun_is_another_attempt_and_is_not_requested(scene: Scene) -> None:
    run = await scene.github.start_run(scene.api, "ci.yml")
    await run.complete("failure")
    scene.receiver.hooks.clear()
    await run.rerun()
    await run.complete("success")
    names = scene.receiver.names
    assert names == ["workflow_run.in_progress", "workflow_run.completed"]
    told = scene.receiver.hooks[-1].body["workflow_run"]
    assert (told["id"], told["run_attempt"]) == (run.id, 2)
    assert told["previous_attempt_url"].endswith(f"/runs/{run.id}/attempts/1")


async def test_runs_of_forks(scene: Scene) -> None:
    mine = scene.github.account("contributor", "User")
    fork = scene.github.repository(mine, "docs", fork=True)
    await scene.github.start_run(scene.docs, "ci.yml", event="pull_request", fork=fork)
    told = scene.receiver.hooks[-1].body["workflow_run"]
    assert told["head_repository"]["full_name"] == "contributor/docs"
    assert told["pull_requests"] == []
    await scene.github.start_run(scene.docs, "ci.yml", event="pull_request", fork_deleted=True)
    told = scene.receiver.hooks[-1].body["workflow_run"]
    assert (told["head_repository"], told["head_branch"]) == (None, None)


async def test_two_apps_get_the_same_guid(scene: Scene) -> None:
    other = scene.github.app("other", hook_url=scene.receiver.url)
    await scene.github.install(other, scene.org)
    scene.receiver.hooks.clear()
    await scene.github.start_run(scene.api, "ci.yml")
    first, second = scene.receiver.hooks
    assert first.headers["X-GitHub-Delivery"] == second.headers["X-GitHub-Delivery"]
    assert {hook.headers["X-GitHub-Hook-Installation-Target-ID"] for hook in (first, second)} == {
        str(scene.app.id),
        str(other.id),
    }
    assert first.headers["X-Hub-Signature-256"] != second.headers["X-Hub-Signature-256"]


async def test_only_what_is_subscribed_and_covered_is_sent(scene: Scene) -> None:
    quiet = scene.github.app("quiet", hook_url=scene.receiver.url, events=[])
    await scene.github.install(quiet, scene.org)
    await scene.github.remove_repositories(scene.installation, scene.api)
    stranger = scene.github.repository(scene.github.account("stranger"), "app")
    assert scene.receiver.names == ["installation.created", "installation_repositories.removed"]
    scene.receiver.hooks.clear()
    await scene.github.start_run(scene.api, "ci.yml")
    await scene.github.start_run(stranger, "ci.yml")
    assert not scene.receiver.hooks
    await scene.github.start_run(scene.docs, "ci.yml")
    assert len(scene.receiver.hooks) == 1


async def test_what_a_permission_is_missing_for_is_not_sent(scene: Scene) -> None:
    await scene.github.accept_permissions(scene.installation, {"contents": "write"})
    await (await scene.github.start_run(scene.api, "ci.yml")).complete()
    await scene.github.archive(scene.api)
    await scene.github.rename_account(scene.org, "aurora")
    assert scene.receiver.names == [
        "installation.new_permissions_accepted",
        "repository.archived",
        "installation_target.renamed",
    ]


async def test_a_suspended_installation_hears_only_of_itself(scene: Scene) -> None:
    await scene.github.suspend(scene.installation)
    await scene.github.start_run(scene.api, "ci.yml")
    await scene.github.unsuspend(scene.installation)
    assert scene.receiver.names == ["installation.suspend", "installation.unsuspend"]
    suspended, living = (hook.body["installation"] for hook in scene.receiver.hooks)
    assert suspended["created_at"] == "2026-07-01T12:00:00Z"
    assert suspended["suspended_by"]["login"] == "octocat"
    assert living["suspended_at"] is None


async def test_times_of_installations_are_integers_where_githubs_are(scene: Scene) -> None:
    app = scene.github.app("second", hook_url=scene.receiver.url)
    installation = await scene.github.install(app, scene.org, [scene.api])
    await scene.github.add_repositories(installation, scene.docs)
    await scene.github.accept_permissions(installation, {"actions": "read"})
    await scene.github.uninstall(installation)
    assert scene.receiver.names == [
        "installation.created",
        "installation_repositories.added",
        "installation.new_permissions_accepted",
        "installation.deleted",
    ]
    for hook in scene.receiver.hooks:
        assert isinstance(hook.body["installation"]["created_at"], int)
    created, added, *_ = (hook.body for hook in scene.receiver.hooks)
    assert [one["full_name"] for one in created["repositories"]] == ["aurora-labs/payments-api"]
    assert [one["full_name"] for one in added["repositories_added"]] == ["aurora-labs/docs"]
    assert added["repository_selection"] == "selected"


async def test_changes_of_repositories_and_accounts(scene: Scene) -> None:
    await scene.github.rename(scene.api, "payments")
    await scene.github.archive(scene.api)
    await scene.github.unarchive(scene.api)
    await scene.github.publicize(scene.api)
    await scene.github.privatize(scene.api)
    await scene.github.change_default_branch(scene.api, "trunk")
    await scene.github.rename_account(scene.org, "aurora")
    await scene.github.delete_repository(scene.docs)
    assert scene.receiver.names == [
        "repository.renamed",
        "repository.archived",
        "repository.unarchived",
        "repository.publicized",
        "repository.privatized",
        "repository.edited",
        "installation_target.renamed",
        "installation_repositories.removed",
    ]
    renamed, target = scene.receiver.hooks[0].body, scene.receiver.hooks[6].body
    assert renamed["changes"] == {"repository": {"name": {"from": "payments-api"}}}
    assert renamed["repository"]["full_name"] == "aurora-labs/payments"
    assert target["changes"] == {"login": {"from": "aurora-labs"}}
    assert target["account"]["login"] == "aurora"
    assert target["installation"]["id"] == scene.installation.id


async def test_a_transfer_is_told_to_both_sides(scene: Scene) -> None:
    owner = scene.github.account("new-owner")
    await scene.github.install(scene.app, owner)
    scene.receiver.hooks.clear()
    await scene.github.transfer(scene.api, owner)
    assert scene.receiver.names == [
        "installation_repositories.removed",
        "installation_repositories.added",
        "repository.transferred",
    ]
    told = scene.receiver.hooks[-1].body
    assert told["changes"]["owner"]["from"]["organization"]["login"] == "aurora-labs"
    assert told["repository"]["full_name"] == "new-owner/payments-api"


async def test_webhooks_can_be_held_and_delivered_in_another_order(scene: Scene) -> None:
    with scene.github.hold() as held:
        run = await scene.github.start_run(scene.api, "ci.yml")
        await run.complete()
    assert not scene.receiver.hooks
    for delivery in reversed(held):
        await scene.github.deliver(delivery)
    assert scene.receiver.names == [
        "workflow_run.completed",
        "workflow_run.in_progress",
        "workflow_run.requested",
    ]
    assert all(delivery.ok for delivery in held)


async def test_an_outage_leaves_no_trace(scene: Scene) -> None:
    before = len(scene.github.deliveries)
    with scene.github.outage():
        await scene.github.start_run(scene.api, "ci.yml")
    assert len(scene.github.deliveries) == before
    with scene.github.outage("workflow_job"):
        await (await scene.github.start_run(scene.api, "ci.yml")).start_job("build")
    assert scene.receiver.names == ["workflow_run.requested", "workflow_run.in_progress"]


async def test_nothing_is_sent_twice_but_on_request(scene: Scene) -> None:
    scene.receiver.status = 500
    await scene.github.start_run(scene.api, "ci.yml")
    assert len(scene.receiver.hooks) == 1
    first = scene.github.deliveries[-1]
    (second,) = await scene.github.redeliver(first.guid)
    assert second.redelivery
    assert second.guid == first.guid
    assert scene.receiver.hooks[0].raw == scene.receiver.hooks[1].raw


async def test_a_dead_receiver_is_written_down(scene: Scene) -> None:
    scene.app.hook_url = "http://127.0.0.1:1/"
    await scene.github.start_run(scene.api, "ci.yml")
    last = scene.github.deliveries[-1]
    assert (last.status_code, last.status) == (502, "failed to connect to host")


async def test_other_webhooks(scene: Scene) -> None:
    await scene.github.ping(scene.app)
    await scene.github.revoke_authorization(scene.app, scene.github.sender)
    await scene.github.send(scene.app, "star", {"action": "created"})
    assert [hook.event for hook in scene.receiver.hooks] == [
        "ping",
        "github_app_authorization",
        "star",
    ]
    assert scene.receiver.hooks[0].body["hook"]["app_id"] == scene.app.id
    assert set(scene.receiver.hooks[1].body) == {"action", "sender"}


async def test_payloads_can_be_built_without_a_server() -> None:
    github = GitHubSimulator(ManualClock())
    repository = github.repository(github.account("acme"), "api")
    app = github.app("zekt")
    run = await github.start_run(repository, "ci.yml")
    body = payloads.workflow_run(run, "requested")
    assert body["repository"]["url"] == "https://api.github.com/repos/acme/api"
    assert body["workflow_run"]["html_url"].startswith("https://github.com/acme/api/actions/")
    headers = webhook_headers(app, "workflow_run", b"{}", "guid")
    assert headers["X-GitHub-Delivery"] == "guid"
    assert headers["X-Hub-Signature-256"] == sign(app.webhook_secret, b"{}")
