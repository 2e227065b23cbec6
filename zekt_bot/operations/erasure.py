"""Erasing an account: what is left is its id, shut out, and in the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.db import admissions, erasure, mirror, sessions
from zekt_bot.db.admissions import Ruling
from zekt_bot.db.erasure import Names, Part
from zekt_bot.domain.access import Person, decide
from zekt_bot.domain.catalog import Account
from zekt_bot.domain.names import check_login
from zekt_bot.errors import NotFound
from zekt_bot.operations import accounts
from zekt_bot.operations import sessions as signed_in

if TYPE_CHECKING:
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

_PART = 200
_WALK = 500  # runs of which few are changed


async def erase(broker: Broker, principal: Principal, login: str) -> int:
    """Erase an account's events, messages, deliveries, catalog, sessions and names; answers its id.

    It is blocked first, so that nothing new comes in meanwhile, and stays so. Rows go in parts; if
    this process dies, the same again goes on. The audit keeps its ids.

    Raises:
        AccessDenied, InvalidInput, StorageUnavailable.
        NotFound: Zekt knows no such account.
    """
    decide(principal, "account:erase")
    account = await _known(broker, check_login(login))
    blocked = await broker.entry("person:account:blocked", principal.actor, account_id=account.id)
    await broker.database.write(admissions.rule, Ruling(account.id, "block", blocked, broker.now()))
    await signed_in.shut_out(broker, account.id, principal.actor)
    entry = await broker.entry("person:account:erased", principal.actor, account_id=account.id)
    await _forget_actor(broker, account.login.lower())
    names, gone = Names(account.id, Person(account.id, login).actor, entry), False
    while not gone:
        for part in erasure.PARTS:
            while await broker.database.write(part, Part(account.id, _PART), weight=_PART):
                pass
        gone = await broker.database.write(erasure.drop_names, names)
    return account.id


async def _known(broker: Broker, login: str) -> Account:
    """The account, or whoever only signed in with this login."""
    account = await broker.database.query(mirror.account_by_login, login)
    if account is not None:
        return account
    person = await broker.database.query(sessions.person_by_login, login)
    if person is None:
        raise NotFound(f"Zekt knows no account {login}: list them with `zekt accounts list`.")
    account = Account(person.id, person.login, "User")
    await accounts.learn(broker, account)
    return account


async def _forget_actor(broker: Broker, login: str) -> None:
    after: str | None = ""
    while after is not None:
        walk = erasure.Walk(login, after, _WALK)
        after = await broker.database.write(erasure.forget_actor, walk, weight=_PART)
