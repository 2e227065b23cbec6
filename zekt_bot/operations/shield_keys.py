"""Shield's keys: consumers register public keys, and providers' runs are told them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.db import audit, mirror, services, tables, versions
from zekt_bot.db import shield_keys as rows_of
from zekt_bot.domain.access import Operator, Person, Resource, decide
from zekt_bot.domain.ids import new_id
from zekt_bot.domain.lists import Page, check_page
from zekt_bot.domain.shield import MOST_KEYS, ShieldKey
from zekt_bot.errors import AccessDenied, Conflict, NotFound
from zekt_bot.operations import access, accounts, repositories
from zekt_bot.shield import read_public_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from zekt_bot.domain.access import Action, Principal, WorkflowRun
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import Account, Repository
    from zekt_bot.domain.shield import Recipient
    from zekt_bot.operations.broker import Broker

FIRST_PAGE = Page()
FULL, KNOWN, MOVED = "full", "known", "moved"


@dataclass(frozen=True, slots=True)
class _Adding:
    repository: Repository | None
    key: ShieldKey
    entry: Entry


@dataclass(frozen=True, slots=True)
class _Removing:
    key_id: str
    entry: Entry


async def add(broker: Broker, principal: Principal, whose: str, pem: str) -> ShieldKey:
    """Register a public key of OWNER/REPO, or of OWNER for its repositories that have none.

    Messages that are encrypted from then on can be read with it; former ones cannot.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it is registered already, or there are as many as there may be.
    """
    public = read_public_key(pem)
    repository = None
    if "/" in whose:
        repository = await access.repository(broker, principal, "key:add", whose)
        repositories.check_not_purged(repository)
        subject, account_id = rows_of.of_repository(repository.id), repository.account_id
    else:
        account = await _account(broker, principal, whose)
        subject, account_id = rows_of.of_account(account.id), account.id
    now = broker.now()
    key = ShieldKey(
        id=new_id("key", now),
        subject=subject,
        account_id=account_id,
        repository_id=repository.id if repository else None,
        fingerprint=public.fingerprint,
        bits=public.bits,
        public_key=public.pem,
        created_by=principal.actor,
        created_at=now,
    )
    entry = await _entry(broker, principal, "added", key)
    done = await broker.database.write(_add, _Adding(repository, key, entry))
    if done == MOVED:
        raise Conflict(f"{whose} changed at this moment: try again.")
    if done == KNOWN:
        raise Conflict(f"{whose} has this key already ({key.fingerprint}).")
    if done == FULL:
        raise Conflict(
            f"{whose} has {MOST_KEYS} keys, the most there may be: remove one that is not used."
        )
    return key


async def _account(broker: Broker, principal: Principal, login: str) -> Account:
    """The account that they may register keys of; it is known from here on.

    Raises:
        AccessDenied: it is another's, or an organization: of these an operator registers keys.
        InvalidInput, NotFound, NotAdmitted, GitHubError, StorageUnavailable.
    """
    access.refuse_runs(principal, "account:shield")
    account = await accounts.resolve(broker, login)
    decide(principal, "account:shield", Resource(account=account.id))
    if isinstance(principal, Person):
        await accounts.admit(broker, account)
    await accounts.learn(broker, account)
    return account


def _add(connection: Connection, rows: Sequence[_Adding]) -> list[str | None]:
    return [_add_one(connection, row) for row in rows]


def _add_one(connection: Connection, row: _Adding) -> str | None:
    """What kept it from that; None: nothing."""
    where = {row.repository.id: row.repository.version} if row.repository else {}
    if not versions.hold(connection, tables.repositories, where, to_change=True):
        return MOVED
    if rows_of.count(connection, row.key.subject) >= MOST_KEYS:
        return FULL
    if not rows_of.add(connection, row.key):
        return KNOWN
    audit.record(connection, row.entry)
    return None


async def remove(broker: Broker, principal: Principal, key_id: str) -> dict[str, Any]:
    """Let nobody encrypt for this key any more; what was encrypted for it stays so.

    Raises:
        AccessDenied, NotFound, GitHubError, StorageUnavailable.
    """
    access.refuse_runs(principal, "key:remove")
    found = await _known(broker, principal, "key:remove", key_id)
    key = ShieldKey(**{name: found[name] for name in ShieldKey.__dataclass_fields__})
    entry = await _entry(broker, principal, "removed", key)
    if not await broker.database.write(_remove, _Removing(key_id, entry)):
        raise _no_key(key_id)
    return _shown(found)


def _remove(connection: Connection, rows: Sequence[_Removing]) -> list[bool]:
    answers = []
    for row in rows:
        gone = rows_of.remove(connection, row.key_id)
        if gone:
            audit.record(connection, row.entry)
        answers.append(gone)
    return answers


async def show(broker: Broker, principal: Principal, key_id: str) -> dict[str, Any]:
    """One key.

    Raises:
        AccessDenied, NotFound, GitHubError, StorageUnavailable.
    """
    access.refuse_runs(principal, "key:read")
    return _shown(await _known(broker, principal, "key:read", key_id))


async def list_keys(
    broker: Broker, principal: Principal, page: Page = FIRST_PAGE, whose: str | None = None
) -> list[dict[str, Any]]:
    """Keys, the oldest first; `whose`: only those of this OWNER/REPO, or of this OWNER.

    Raises:
        AccessDenied, InvalidInput, NotFound, GitHubError, StorageUnavailable.
    """
    access.refuse_runs(principal, "key:read")
    check_page(page, "key")
    subjects = None
    if whose is not None and "/" in whose:
        repository = await access.known(broker, principal, "key:read", whose)
        subjects = [rows_of.of_repository(repository.id)]
    elif whose is not None:
        account = await broker.database.query(mirror.account_by_login, whose)
        decide(principal, "account:shield", Resource(account=account.id if account else None))
        subjects = [rows_of.of_account(account.id)] if account else []
    elif isinstance(principal, Person):
        raise AccessDenied(
            "You see the keys of a repository that you manage, and your own account's: name "
            "OWNER/REPO, or yourself."
        )
    rows = await broker.database.query(rows_of.page, page.limit, page.before or "", subjects)
    return [_shown(row) for row in rows]


async def recipients(broker: Broker, principal: WorkflowRun) -> list[Recipient]:
    """For whom the run that calls can encrypt its messages; none: its service has nobody.

    Raises:
        NotFound: the repository is not enabled as a provider.
        StorageUnavailable.
    """
    decide(principal, "message:encrypt", Resource(run=principal.key))
    whose = principal.key.repository_id, principal.workflow_path or ""
    return await broker.database.query(_recipients, *whose)


def _recipients(connection: Connection, repository_id: int, path: str) -> list[Recipient]:
    known = mirror.repositories_by_id(connection, [repository_id]).get(repository_id)
    if known is None or not known.provider or known.blocked:
        raise NotFound(
            f"Repository {repository_id} is not enabled as a provider: "
            "run `zekt repositories enable OWNER/REPO`."
        )
    found = services.of_workflows(connection, [(repository_id, path)])
    return [
        each for service in found.values() for each in rows_of.recipients(connection, service.id)
    ]


async def _known(
    broker: Broker, principal: Principal, action: Action, key_id: str
) -> Mapping[Any, Any]:
    """A key that they may do `action` to; who may not hears that there is none."""
    found = await broker.database.query(rows_of.one, key_id)
    if found is None:
        raise _no_key(key_id)
    if isinstance(principal, Operator):
        return found
    try:
        if found["repository_id"] is None:
            decide(principal, "account:shield", Resource(account=found["account_id"]))
        else:
            ids = [found["repository_id"]]
            consumer = (await broker.database.query(mirror.repositories_by_id, ids))[ids[0]]
            await access.check(broker, principal, action, consumer=consumer)
    except AccessDenied:
        raise _no_key(key_id) from None
    return found


def _no_key(key_id: str) -> NotFound:
    return NotFound(f"There is no key {key_id}: see `zekt shield keys list`.")


async def _entry(broker: Broker, principal: Principal, verb: str, key: ShieldKey) -> Entry:
    return await broker.entry(
        f"person:key:{verb}",
        principal.actor,
        account_id=key.account_id,
        repository_id=key.repository_id,
        details={"key": key.id, "fingerprint": key.fingerprint},
    )


def _shown(row: Mapping[Any, Any]) -> dict[str, Any]:
    names = ("id", "of", "fingerprint", "bits", "public_key", "created_by", "created_at")
    return {name: row[name] for name in names}
