"""Accounts: which of them this server works for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.db import admissions, mirror
from zekt_bot.db.admissions import Listed, Ruling
from zekt_bot.domain.access import decide
from zekt_bot.domain.catalog import Account
from zekt_bot.domain.lists import Page, check_limit
from zekt_bot.domain.names import check_login
from zekt_bot.errors import InvalidInput, NotAdmitted, NotFound
from zekt_bot.operations import fields, lookup
from zekt_bot.operations.consequences import foresee

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from zekt_bot.db.admissions import Rule
    from zekt_bot.db.transfers import Consequences
    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.sessions import Session
    from zekt_bot.operations.broker import Broker

_HIDDEN = ("login_lower",)


@dataclass(frozen=True, slots=True)
class _Asking:
    listed: Listed
    account: Account


@dataclass(frozen=True, slots=True)
class _Learning:
    account: Account
    consequences: Consequences
    now: datetime


async def show(broker: Broker, principal: Principal, login: str) -> dict[str, Any]:
    """An account that Zekt knows, as its row stands.

    Raises:
        AccessDenied, InvalidInput, NotFound, StorageUnavailable.
    """
    decide(principal, "account:read")
    known = await broker.database.query(mirror.account_by_login, check_login(login))
    row = await broker.database.query(admissions.one, known.id) if known else None
    if row is None:
        raise NotFound(f"Zekt knows no account {login}: list them with `zekt accounts list`.")
    return _shown(row)


async def list_accounts(
    broker: Broker, principal: Principal, *, limit: int = 50, after: str = "", rule: str = ""
) -> list[dict[str, Any]]:
    """Known accounts by login, `limit` of them after the login `after`; `rule`: only such.

    Raises:
        AccessDenied, InvalidInput, StorageUnavailable.
    """
    decide(principal, "account:read")
    check_limit(Page(limit))
    if rule not in {"", "allow", "block"}:
        raise InvalidInput("A rule is allow or block.")
    rows = await broker.database.query(admissions.page, limit, after.lower(), rule or None)
    return [_shown(row) for row in rows]


async def allow(broker: Broker, principal: Principal, login: str) -> bool:
    """Admit an account, whatever ZEKT_ALLOWED_ACCOUNTS says. False: it was so already.

    Raises:
        AccessDenied, InvalidInput, NotFound, GitHubError, StorageUnavailable.
    """
    return await _rule(broker, principal, login, "allow")


async def block(broker: Broker, principal: Principal, login: str) -> bool:
    """Shut an account out: nothing of it is stored, nothing leaves it and nothing reaches it.

    If it is a person's, they are signed out at once and come in no more, operators too.

    False: it was so already.

    Raises:
        AccessDenied, InvalidInput, NotFound, GitHubError, StorageUnavailable.
    """
    return await _rule(broker, principal, login, "block")


async def _rule(broker: Broker, principal: Principal, login: str, rule: Rule) -> bool:
    decide(principal, "account:rule")
    account = await resolve(broker, login)
    await learn(broker, account)
    entry = await broker.entry(
        f"person:account:{'allowed' if rule == 'allow' else 'blocked'}",
        principal.actor,
        account_id=account.id,
    )
    ruling = Ruling(account.id, rule, entry, broker.now())
    return await broker.database.write(admissions.rule, ruling)


async def learn(broker: Broker, account: Account) -> None:
    """Know this account from now on, so that a rule can be set on it.

    Raises:
        StorageUnavailable.
    """
    consequences = await foresee(broker, [account])
    await broker.database.write(_learn, _Learning(account, consequences, broker.now()))


async def resolve(broker: Broker, login: str, session: Session | None = None) -> Account:
    """The account that has this login at GitHub now; `session`: of the person who asks, if any.

    Raises:
        InvalidInput, NotFound, GitHubError.
    """
    told = await lookup.account(broker, check_login(login), session)
    if told is None:
        raise NotFound(f"GitHub knows no account {login}: check the login.")
    kind = fields.optional_text(told, "type", 40) or "User"
    return Account(fields.number(told, "id"), fields.text(told, "login", 100), kind)


async def admit(broker: Broker, account: Account) -> None:
    """Return if this account is admitted; asked before anything of it is stored.

    Raises:
        NotAdmitted: it is blocked, or not in ZEKT_ALLOWED_ACCOUNTS.
        StorageUnavailable.
    """
    listed = Listed(broker.settings.allowed_accounts, broker.now())
    if not await broker.database.write(_ask, _Asking(listed, account)):
        raise NotAdmitted(
            f"{account.login} is not admitted to this server: its operator runs "
            f"`zekt accounts allow {account.login}`."
        )


async def settle(broker: Broker) -> None:
    """Let the mirror follow ZEKT_ALLOWED_ACCOUNTS as it is now; the worker does so at its start.

    Raises:
        StorageUnavailable.
    """
    listed = Listed(broker.settings.allowed_accounts, broker.now())
    await broker.database.write(admissions.settle, listed)


def _ask(connection: Connection, rows: Sequence[_Asking]) -> list[bool]:
    asking = {row.account.id: row.account.login for row in rows}
    inside = admissions.admitted(connection, rows[0].listed, asking)
    return [row.account.id in inside for row in rows]


def _learn(connection: Connection, rows: Sequence[_Learning]) -> list[None]:
    for row in rows:
        mirror.put_account(connection, row.account, row.now, row.consequences)
    return [None] * len(rows)


def _shown(row: RowMapping) -> dict[str, Any]:
    return {str(name): value for name, value in row.items() if name not in _HIDDEN}
