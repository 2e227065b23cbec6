"""Putting the mirror right where GitHub's news was never heard.

GitHub redelivers for three days, and not everything is news: its own lists are compared with what
is known. What differs is not taken from the list but asked of GitHub, as all news is.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from zekt_bot.db import installed
from zekt_bot.db.installed import Installed
from zekt_bot.errors import (
    Conflict,
    GitHubAnswered,
    GitHubError,
    InstallationGone,
    InstallationSuspended,
    MalformedEvent,
    NotAdmitted,
)
from zekt_bot.github import installations as at_github
from zekt_bot.operations import fields
from zekt_bot.operations.accounts import admit
from zekt_bot.operations.as_told import account_of
from zekt_bot.operations.installations import look

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zekt_bot.domain.catalog import Account, Repository
    from zekt_bot.operations.broker import Broker

# What tells of one installation, and nothing of the others.
_OF_ONE = (GitHubAnswered, InstallationGone, InstallationSuspended, MalformedEvent, Conflict)
_log = structlog.get_logger()


async def reconcile(broker: Broker, stopped: Callable[[], bool] = lambda: False) -> int:
    """Compare all installations and what is enabled there; answers how many were put right.

    An installation of which GitHub does not tell stays as it is, until the next time.

    Raises:
        StorageUnavailable.
    """
    known = await broker.database.query(installed.all_of_app)
    if not (await broker.credentials.get("orchestrator")).app_id:
        return 0  # nobody has set it up yet
    try:
        told = {
            fields.number(row, "id"): _read(row) async for row in at_github.listed(broker.github)
        }
    except (GitHubError, MalformedEvent) as error:
        _log.warning("installations.unknown", error=str(error))
        return 0
    changed = 0
    for installation_id in sorted(known.keys() | told.keys()):
        if stopped():
            break
        here, there = known.get(installation_id), told.get(installation_id)
        try:
            changed += await _compare(broker, installation_id, here, there)
        except _OF_ONE as error:
            _log.info("installation.unknown", installation_id=installation_id, error=str(error))
        except GitHubError as error:
            _log.warning("installations.unknown", error=str(error))
            break
    return changed


def _read(row: dict[str, Any]) -> Installed:
    return Installed(
        account=account_of(fields.part(row, "account")),
        state="active" if row.get("suspended_at") is None else "suspended",
        repository_selection=fields.optional_text(row, "repository_selection", 20) or "all",
        permissions=_sorted(row.get("permissions") or {}),
    )


def _sorted(permissions: Any) -> str:
    return json.dumps(permissions, sort_keys=True)


async def _compare(
    broker: Broker, installation_id: int, here: Installed | None, there: Installed | None
) -> bool:
    """Whether it was otherwise than known."""
    one = there or here
    if one is None or (here is None and not await _admitted(broker, one.account)):
        return False
    held = await broker.database.query(installed.enabled_of, installation_id, one.account.id)
    asked = [each.id for each in held if each.installation_id == installation_id]
    if here is not None and there == _comparable(here):
        asked = await _otherwise(broker, installation_id, held) if there.state == "active" else []
        if not asked:
            return False
    verb = "github:installation:reconciled"
    if not await look(broker, installation_id, asked, verb, account_id=one.account.id):
        return False
    _log.info("installation.reconciled", installation_id=installation_id, repositories=len(asked))
    return True


def _comparable(here: Installed) -> Installed:
    return replace(here, permissions=_sorted(json.loads(here.permissions)))


async def _admitted(broker: Broker, account: Account) -> bool:
    """Of whom the operator does not admit nothing is stored."""
    try:
        await admit(broker, account)
    except NotAdmitted:
        return False
    return True


async def _otherwise(broker: Broker, installation_id: int, held: Sequence[Repository]) -> list[int]:
    """Those that stand otherwise than GitHub lists them; all, if the list cannot be had."""
    if not held:
        return []
    try:
        told = await at_github.covered(broker.github, installation_id)
    except (InstallationGone, InstallationSuspended):
        return [each.id for each in held]
    listed = {row.get("id"): row for row in told}
    return [each.id for each in held if _differs(each, listed.get(each.id))]


def _differs(known: Repository, told: dict[str, Any] | None) -> bool:
    if told is None:
        return known.installation_id is not None
    owner = told.get("owner")
    return known.installation_id is None or (
        known.full_name,
        known.account_id,
        known.private,
        known.archived,
    ) != (
        told.get("full_name"),
        owner.get("id") if isinstance(owner, dict) else None,
        told.get("private") is not False,
        told.get("archived") is True,
    )
