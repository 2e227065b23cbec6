"""The mirror of accounts, installations and repositories, as GitHub's news moves it.

Only a webhook's body is signed, and an old body can be sent again. So news that takes away
(deleted, suspend, removed, archived) acts at once; news that gives (created, unsuspend, added,
unarchived, transferred) makes Zekt ask GitHub, and GitHub's answer acts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.db import audit, inbox, mirror
from zekt_bot.domain.catalog import Account
from zekt_bot.errors import MalformedEvent, NotFound
from zekt_bot.operations import fields
from zekt_bot.operations.broker import GITHUB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import Repository
    from zekt_bot.operations.broker import Broker


@dataclass(frozen=True, slots=True)
class News:
    """A stored webhook, opened and parsed."""

    inbox_id: str
    event: str
    action: str | None
    body: dict[str, Any]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class _Applying:
    inbox_id: str | None
    apply: Callable[[Connection], None]
    entry: Entry | None
    now: datetime


async def installation_changed(broker: Broker, news: News) -> None:
    """`installation`: what takes away acts as told, anything else as GitHub then answers."""
    told = fields.part(news.body, "installation")
    installation_id = fields.number(told, "id")
    if news.action == "deleted":
        await _apply(broker, news, _state(installation_id, "deleted", broker.now()))
    elif news.action == "suspend":
        await _apply(broker, news, _state(installation_id, "suspended", broker.now()))
    else:
        await _confirm(broker, news, installation_id, _listed(news.body, "repositories"))


async def repositories_changed(broker: Broker, news: News) -> None:
    """`installation_repositories`: removed ones go at once, added ones when GitHub confirms."""
    installation_id = fields.number(fields.part(news.body, "installation"), "id")
    if news.action == "removed":
        now, removed = broker.now(), _listed(news.body, "repositories_removed")
        await _apply(broker, news, lambda c: mirror.detach(c, installation_id, removed, now))
    else:
        added = _listed(news.body, "repositories_added")
        await _confirm(broker, news, installation_id, added)


async def repository_changed(broker: Broker, news: News) -> None:
    """`repository`: archived and privatized act at once; the rest is read from GitHub."""
    told = fields.part(news.body, "repository")
    repository_id = fields.number(told, "id")
    now = broker.now()
    taking = {"archived": {"archived": True}, "privatized": {"private": True}}
    if news.action == "deleted":
        known = await broker.database.query(mirror.repositories_by_id, [repository_id])
        held = known[repository_id].installation_id if repository_id in known else None
        await _apply(broker, news, lambda c: mirror.detach(c, held or 0, [repository_id], now))
    elif news.action in taking:
        values = taking[news.action]
        await _apply(
            broker, news, lambda c: mirror.change_repository(c, repository_id, values, now)
        )
    else:
        installation_id = fields.number(fields.part(news.body, "installation"), "id")
        await _confirm(broker, news, installation_id, [repository_id])


async def account_renamed(broker: Broker, news: News) -> None:
    """`installation_target` (renamed): the account's new login, in its repositories' names too."""
    account = fields.part(news.body, "account")
    account_id, login = fields.number(account, "id"), fields.text(account, "login", 100)
    now = broker.now()
    await _apply(broker, news, lambda c: mirror.rename_account(c, account_id, login, now))


async def find_repository(broker: Broker, full_name: str) -> Repository:
    """The repository OWNER/REPO; one that Zekt has not heard of is looked up at GitHub.

    Raises:
        NotFound: the App is not installed there, or there is no such repository.
        GitHubError: GitHub does not answer as it should.
    """
    known = await broker.database.query(mirror.repository_by_name, full_name)
    if known is not None and known.consented:
        return known
    told = await broker.github.repository_installation(full_name)
    if told is None:
        if known is not None:
            return known
        raise NotFound(
            f"GitHub shows no {full_name} to the App: install the App on it, or check the name."
        )
    installation_id = fields.number(told, "id")
    now = broker.now()
    steps = [_installation(told, now)]
    repository = await broker.github.repository(installation_id, full_name=full_name)
    if repository is None:
        raise NotFound(f"GitHub shows no {full_name} to the App: give the App access to it.")
    steps.append(_repository(repository, installation_id, now))
    entry = broker.entry(
        "github:repository:confirmed", GITHUB, repository_id=fields.number(repository, "id")
    )
    await broker.database.write(_write, _Applying(None, _all(steps), entry, now))
    found = await broker.database.query(
        mirror.repositories_by_id, [fields.number(repository, "id")]
    )
    return found[fields.number(repository, "id")]


async def _confirm(
    broker: Broker, news: News, installation_id: int, repository_ids: Sequence[int]
) -> None:
    """Ask GitHub how the installation stands now, and which of the repositories it covers."""
    now = broker.now()
    told = await broker.github.installation(installation_id)
    if told is None:
        await _apply(broker, news, _state(installation_id, "deleted", now))
        return
    steps = [_installation(told, now)]
    known = await broker.database.query(mirror.repositories_by_id, repository_ids)
    for repository_id in repository_ids if told.get("suspended_at") is None else ():
        if repository_id not in known and news.event != "repository":
            continue  # learned when somebody enables it
        repository = await _granted(broker, installation_id, repository_id)
        if repository is None:
            steps.append(_detach(installation_id, repository_id, now))
        else:
            steps.append(_repository(repository, installation_id, now))
    await _apply(broker, news, _all(steps))


async def _granted(
    broker: Broker, installation_id: int, repository_id: int
) -> dict[str, Any] | None:
    """The repository, if the installation covers it; a public one is readable without that."""
    repository = await broker.github.repository(installation_id, repository_id=repository_id)
    if repository is None:
        return None
    covering = await broker.github.repository_installation(
        fields.text(repository, "full_name", 300)
    )
    return repository if covering and covering.get("id") == installation_id else None


async def _apply(broker: Broker, news: News, apply: Callable[[Connection], None]) -> None:
    action = "".join(c if c.isalpha() else "_" for c in (news.action or "changed").lower())
    installation = news.body.get("installation")
    account = installation.get("account") if isinstance(installation, dict) else None
    account_id = account.get("id") if isinstance(account, dict) else None
    entry = broker.entry(
        f"github:{news.event}:{action}" if action.isascii() else f"github:{news.event}:changed",
        GITHUB,
        account_id=account_id if isinstance(account_id, int) else None,
    )
    await broker.database.write(_write, _Applying(news.inbox_id, apply, entry, broker.now()))


def _write(connection: Connection, rows: Sequence[_Applying]) -> list[None]:
    for row in rows:
        row.apply(connection)
        if row.inbox_id:
            inbox.processed(connection, [row.inbox_id], row.now)
        if row.entry:
            audit.record(connection, row.entry)
    return [None] * len(rows)


def _all(steps: Sequence[Callable[[Connection], None]]) -> Callable[[Connection], None]:
    def apply(connection: Connection) -> None:
        for step in steps:
            step(connection)

    return apply


def _state(installation_id: int, state: str, now: datetime) -> Callable[[Connection], None]:
    return lambda c: mirror.set_installation_state(c, installation_id, state, now)


def _detach(
    installation_id: int, repository_id: int, now: datetime
) -> Callable[[Connection], None]:
    return lambda c: mirror.detach(c, installation_id, [repository_id], now)


def _installation(told: dict[str, Any], now: datetime) -> Callable[[Connection], None]:
    account = fields.part(told, "account")
    installation_id = fields.number(told, "id")
    state = "active" if told.get("suspended_at") is None else "suspended"
    row = {
        "app": mirror.APP,
        "id": installation_id,
        "account_id": fields.number(account, "id"),
        "state": state,
        "repository_selection": fields.optional_text(told, "repository_selection", 20) or "all",
        "permissions": orjson.dumps(told.get("permissions") or {}).decode(),
        "updated_at": now,
    }
    owner = _account(account)

    def apply(connection: Connection) -> None:
        mirror.put_account(connection, owner, now)
        mirror.put_installation(connection, row)
        mirror.set_installation_state(connection, installation_id, state, now)

    return apply


def _account(told: dict[str, Any]) -> Account:
    return Account(
        fields.number(told, "id"),
        fields.text(told, "login", 100),
        fields.optional_text(told, "type", 40) or "User",
    )


def _repository(
    told: dict[str, Any], installation_id: int, now: datetime
) -> Callable[[Connection], None]:
    owner = _account(fields.part(told, "owner"))
    row = {
        "id": fields.number(told, "id"),
        "full_name": fields.text(told, "full_name", 300),
        "account_id": owner.id,
        "installation_id": installation_id,
        "private": told.get("private") is not False,
        "archived": told.get("archived") is True,
    }

    def apply(connection: Connection) -> None:
        mirror.put_account(connection, owner, now)
        mirror.put_repository(connection, row, now)

    return apply


def _listed(body: dict[str, Any], name: str) -> list[int]:
    listed = body.get(name)
    if listed is None:
        return []
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise MalformedEvent(f"{name} is not a list of repositories")
    return [fields.number(item, "id") for item in listed]
