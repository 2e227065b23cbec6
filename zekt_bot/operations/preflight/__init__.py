"""Would a consumer's repository react to what a subscription sends it, and safely so?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from zekt_bot.db import shield_keys
from zekt_bot.domain.subscriptions import REPOSITORY_DISPATCH
from zekt_bot.errors import InstallationGone, InstallationSuspended, RepositoryNotGranted
from zekt_bot.github.workflows import FOLDER, Preflight, by_path
from zekt_bot.operations.preflight import findings, workflow_files
from zekt_bot.operations.preflight.findings import Finding, Seen
from zekt_bot.operations.preflight.workflow_files import Unreadable, WorkflowFile
from zekt_bot.operations.subscription_parties import parties

if TYPE_CHECKING:
    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.subscriptions import Subscription
    from zekt_bot.github.workflows import ListedFile, ListedWorkflow
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.subscription_parties import Named, Parties

MOST_FILES = 100
MOST_ELSEWHERE = 20
_AT_ONCE = 8
__all__ = ["Finding", "check_subscription"]


async def check_subscription(
    broker: Broker, principal: Principal, named: Named
) -> tuple[Finding, ...]:
    """Read the consumer's workflows at GitHub: problems first, then hints, then what is well.

    At most 100 files of 512 KB are read, with a token for this one repository that is not kept.

    Raises:
        AccessDenied, InvalidInput, NotFound, GitHubError, StorageUnavailable.
    """
    found = await parties(broker, principal, "subscription:check", named)
    subscription = found.held
    if subscription is None:
        raise found.without()
    return (*await _shield(broker, found), *await _workflows(broker, found, subscription))


async def _shield(broker: Broker, found: Parties) -> tuple[Finding, ...]:
    if not found.service.profile.shield:
        return ()
    consumer = found.consumer
    subjects = shield_keys.of_repository(consumer.id), shield_keys.of_account(consumer.account_id)
    has_one = await broker.database.query(shield_keys.page, 1, "", subjects)
    return () if has_one else (findings.no_key(consumer.full_name, found.name),)


async def _workflows(
    broker: Broker, found: Parties, subscription: Subscription
) -> tuple[Finding, ...]:
    consumer = found.consumer
    if subscription.channel != REPOSITORY_DISPATCH:
        return (findings.not_dispatched(subscription.channel),)
    if consumer.installation_id is None or not consumer.consented:
        return (findings.no_access(consumer.full_name, "the App is not active there"),)
    reader = Preflight(broker.github, consumer.installation_id, consumer.id)
    try:
        seen = await _look(reader, consumer.full_name)
    except (RepositoryNotGranted, InstallationGone, InstallationSuspended) as error:
        return (findings.no_access(consumer.full_name, str(error).rstrip(".")),)
    return findings.findings(seen, findings.wanted_of(subscription, found.service))


async def _look(reader: Preflight, full_name: str) -> Seen:
    branch = await reader.default_branch()
    listed = by_path(await reader.workflows())
    there = await reader.files(branch)
    files = await _read(reader, branch, there[:MOST_FILES])
    known = {file.path for file in there}
    others = [one for path, one in listed.items() if path not in known and _may_be_a_file(one)]
    return Seen(
        full_name=full_name,
        branch=branch,
        listed=listed,
        files=files,
        elsewhere=await _read_elsewhere(reader, branch, others[:MOST_ELSEWHERE]),
        left_out=len(there) - len(files),
    )


def _may_be_a_file(listed: ListedWorkflow) -> bool:
    return listed.there and listed.path.startswith(f"{FOLDER}/")


async def _read(
    reader: Preflight, branch: str, files: list[ListedFile]
) -> dict[str, WorkflowFile | Unreadable]:
    found: dict[str, WorkflowFile | Unreadable] = {}
    for start in range(0, len(files), _AT_ONCE):
        page = files[start : start + _AT_ONCE]
        answers = await asyncio.gather(*(_read_one(reader, branch, file) for file in page))
        found |= {file.path: answer for file, answer in zip(page, answers, strict=True)}
    return found


async def _read_one(reader: Preflight, branch: str, file: ListedFile) -> WorkflowFile | Unreadable:
    large = file.size > workflow_files.MOST_BYTES
    raw = None if large else await reader.file(file.path, branch)
    if raw is None:
        return Unreadable("too_large", "GitHub does not give its content, or it is over 512 KB")
    return await asyncio.to_thread(workflow_files.read, raw)


async def _read_elsewhere(
    reader: Preflight, default: str, workflows: list[ListedWorkflow]
) -> dict[str, tuple[str, WorkflowFile]]:
    """GitHub does not say where such a file is: the branch of its newest run has it."""
    found = {}
    for workflow in workflows:
        branch = await reader.newest_branch(workflow.id)
        raw = await reader.file(workflow.path, branch) if branch not in {None, default} else None
        file = await asyncio.to_thread(workflow_files.read, raw) if raw is not None else None
        if branch is not None and isinstance(file, WorkflowFile):
            found[workflow.path] = branch, file
    return found
