"""The bodies of GitHub's webhooks, whole and in GitHub's size. Pure: no server is needed.

`installation` is an installation or only its id; None leaves the part out.

Source: https://docs.github.com/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zekt_bot.testing import app_shapes, run_shapes, shapes
from zekt_bot.testing.shapes import GITHUB_COM, Json, Urls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zekt_bot.testing.model import Account, App, Installation, Repository
    from zekt_bot.testing.runs import Job, WorkflowRun

SILENT_ACTIONS = frozenset({"suspend", "unsuspend"})
"""Actions of `installation` that do not list its repositories."""

EPOCH_ACTIONS = frozenset({"created", "deleted", "new_permissions_accepted"})
"""Actions of `installation` whose times are integers; elsewhere they are text."""


def workflow_run(
    run: WorkflowRun,
    action: str = "completed",
    installation: Installation | None = None,
    urls: Urls = GITHUB_COM,
) -> Json:
    """`workflow_run`: requested, in_progress or completed."""
    body = {
        "action": action,
        "workflow_run": run_shapes.workflow_run(run, urls),
        "workflow": run_shapes.workflow(run.workflow, urls),
    }
    return _about(body, run.repository, run.triggering_actor, installation, urls)


def workflow_job(
    job: Job,
    action: str = "completed",
    installation: Installation | None = None,
    urls: Urls = GITHUB_COM,
) -> Json:
    """`workflow_job`: queued, in_progress or completed."""
    body = {"action": action, "workflow_job": run_shapes.workflow_job(job, urls)}
    return _about(body, job.run.repository, job.run.triggering_actor, installation, urls)


def repository(
    changed: Repository,
    action: str,
    sender: Account,
    changes: Json | None = None,
    *,
    urls: Urls = GITHUB_COM,
) -> Json:
    """`repository`: renamed, transferred, archived, unarchived, privatized, publicized, edited.

    Its `installation` is added when it is sent.
    """
    body: Json = {"action": action}
    if changes is not None:
        body["changes"] = changes
    return _about(body, changed, sender, None, urls)


def _about(
    body: Json,
    repository: Repository,
    sender: Account,
    installation: Installation | None,
    urls: Urls,
) -> Json:
    body["repository"] = {**shapes.repository(repository, urls), "custom_properties": {}}
    if repository.owner.kind == "Organization":
        body["organization"] = shapes.organization(repository.owner, urls)
    body["sender"] = shapes.simple_user(sender, urls)
    if installation is not None:
        body["installation"] = app_shapes.installation_reference(installation)
    return body


def installation(
    changed: Installation,
    action: str,
    repositories: Iterable[Repository],
    sender: Account,
    urls: Urls = GITHUB_COM,
) -> Json:
    """`installation`: created, deleted, suspend, unsuspend, new_permissions_accepted."""
    body: Json = {
        "action": action,
        "installation": _installation(changed, urls, epoch=action in EPOCH_ACTIONS),
        "sender": shapes.simple_user(sender, urls),
    }
    if action not in SILENT_ACTIONS:
        body["repositories"] = shapes.named_repositories(repositories)
    if action == "created":
        body["requester"] = None
    return body


def installation_repositories(
    changed: Installation,
    added: Iterable[Repository],
    removed: Iterable[Repository],
    sender: Account,
    urls: Urls = GITHUB_COM,
) -> Json:
    """`installation_repositories`: added or removed."""
    gone = shapes.named_repositories(removed)
    return {
        "action": "removed" if gone else "added",
        "installation": _installation(changed, urls, epoch=True),
        "repository_selection": changed.repository_selection,
        "repositories_added": shapes.named_repositories(added),
        "repositories_removed": gone,
        "requester": None,
        "sender": shapes.simple_user(sender, urls),
    }


def _installation(changed: Installation, urls: Urls, *, epoch: bool) -> Json:
    told = app_shapes.installation(changed, urls)
    if epoch:
        told["created_at"] = int(changed.created_at.timestamp())
        told["updated_at"] = int(changed.updated_at.timestamp())
    return told


def installation_target(
    account: Account, former_login: str, sender: Account, urls: Urls = GITHUB_COM
) -> Json:
    """`installation_target` renamed; its `installation` is added when it is sent."""
    body: Json = {
        "action": "renamed",
        "account": {
            **shapes.simple_user(account, urls),
            "created_at": shapes.iso(account.created_at),
        },
        "changes": {"login": {"from": former_login}},
        "target_type": account.kind,
        "sender": shapes.simple_user(sender, urls),
    }
    if account.kind == "Organization":
        body["account"].update(shapes.organization(account, urls), description=None)
        body["organization"] = shapes.organization(account, urls)
    return body


def github_app_authorization(sender: Account, urls: Urls = GITHUB_COM) -> Json:
    """`github_app_authorization` revoked: who withdrew it, and nothing else."""
    return {"action": "revoked", "sender": shapes.simple_user(sender, urls)}


def ping(app: App, urls: Urls = GITHUB_COM) -> Json:
    """`ping`, which comes when the hook is made."""
    hook: dict[str, Any] = {
        "type": "App",
        "id": app.hook_id,
        "name": "web",
        "active": True,
        "events": app.listed_events,
        "config": {
            "content_type": "json",
            "insecure_ssl": "0",
            "secret": "********",
            "url": app.hook_url,
        },
        "updated_at": shapes.iso(app.created_at),
        "created_at": shapes.iso(app.created_at),
        "app_id": app.id,
        "deliveries_url": f"{urls.api}/app/hook/deliveries",
    }
    return {"zen": "Keep it logically awesome.", "hook_id": app.hook_id, "hook": hook}
