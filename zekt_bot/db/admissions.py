"""Which accounts are admitted: an operator's rule, else ZEKT_ALLOWED_ACCOUNTS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sqlalchemy import BigInteger, func, literal, select, union_all, update

from zekt_bot.db import audit
from zekt_bot.db.prepared import Prepared
from zekt_bot.db.sql import in_pages, insert_new, one_of
from zekt_bot.db.tables import accounts, admissions, repositories, setup

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from zekt_bot.domain.audit import Entry

Rule = Literal["allow", "block"]
# Stands in the setup's list until somebody decides, and once its last login was erased: an empty
# list lets everybody in. No login begins with a hyphen.
NOBODY = "-"


@dataclass(frozen=True, slots=True)
class Listed:
    """The logins of ZEKT_ALLOWED_ACCOUNTS in small letters, and when; none: those of the setup."""

    logins: tuple[str, ...]
    now: datetime


@dataclass(frozen=True, slots=True)
class Ruling:
    """What an operator decided of an account."""

    account_id: int
    rule: Rule
    entry: Entry
    now: datetime


_SETUP = 0  # no account's id
_SAID = Prepared(  # in one question, since each webhook asks it
    union_all(
        select(accounts.c.id, accounts.c.rule.label("said")).where(
            one_of(accounts.c.id, "ids"), accounts.c.rule.is_not(None)
        ),
        select(literal(_SETUP, BigInteger), setup.c.accounts),
    )
)


def admitted(connection: Connection, listed: Listed, asking: Mapping[int, str]) -> set[int]:
    """Which of `asking` (account id → login) are admitted; a listed login is pinned to its id."""
    if not asking:
        return set()
    rules = {row.id: row.said for row in _SAID.run(connection, {"ids": list(asking)})}
    of_setup = _logins(rules.pop(_SETUP, None))
    logins = listed.logins or of_setup or ()
    ruled = {each for each, rule in rules.items() if rule == "allow"}
    return ruled | (_let_in(connection, Listed(logins, listed.now), asking) - set(rules))


_PINNED = Prepared(
    select(admissions.c.login_lower, admissions.c.account_id).where(
        one_of(admissions.c.account_id, "accounts"), one_of(admissions.c.login_lower, "logins")
    )
)


def _let_in(connection: Connection, listed: Listed, asking: Mapping[int, str]) -> set[int]:
    """Which of `asking` the list lets in; an empty one everybody."""
    if not listed.logins:
        return set(asking)
    return set(pinned(connection, listed, asking).values())


def pinned(connection: Connection, listed: Listed, asking: Mapping[int, str]) -> dict[str, int]:
    """The listed logins that are of those `asking` (account id → login), with their ids.

    Who has a login when it is first seen keeps it: a name that GitHub gave to somebody else is
    worth nothing to them.
    """
    if not (listed.logins and asking):
        return {}
    of = {"accounts": asking, "logins": listed.logins}
    found = _PINNED.run(connection, of)
    pins: dict[str, int] = {row.login_lower: row.account_id for row in found}
    fresh = [
        {"login_lower": login.lower(), "account_id": account_id, "pinned_at": listed.now}
        for account_id, login in asking.items()
        if login.lower() in listed.logins and login.lower() not in pins
    ]
    if fresh:
        insert_new(connection, admissions, fresh)
        pins = {row.login_lower: row.account_id for row in _PINNED.run(connection, of)}
    return pins


_OF_SETUP = Prepared(select(setup.c.accounts))


def of_setup(connection: Connection) -> tuple[str, ...] | None:
    """The logins that the setup listed, in small letters; None: that was not decided yet."""
    return _logins(_OF_SETUP.run(connection).scalar())


def _logins(kept: str | None) -> tuple[str, ...] | None:
    return None if kept is None else tuple(each for each in kept.split(",") if each)


def unlist(connection: Connection, account_id: int) -> None:
    """Take an account's logins out of the setup's list: its own one, and those pinned to it."""
    kept = of_setup(connection)
    if not kept:
        return
    named = select(accounts.c.login_lower, accounts.c.id)
    pins = select(admissions.c.login_lower, admissions.c.account_id)
    owners: dict[str, int] = {}
    for found, login in ((named, accounts.c.login_lower), (pins, admissions.c.login_lower)):
        owners |= {row[0]: row[1] for row in connection.execute(found.where(login.in_(kept)))}
    left = [login for login in kept if owners.get(login) != account_id]
    if len(left) < len(kept):
        connection.execute(update(setup).values(accounts=",".join(left) or NOBODY))


def settle(connection: Connection, rows: Sequence[Listed]) -> list[None]:
    """Let the mirror follow a list that has changed: whoever left it is shut out at once."""
    listed = rows[-1]
    known = {row.id: row for row in connection.execute(select(accounts))}
    logins = {each: row.login_lower for each, row in known.items() if row.login_lower}
    listed = Listed(listed.logins or of_setup(connection) or (), listed.now)
    inside = _let_in(connection, listed, dict.fromkeys(known, "") | logins)
    changed = [each for each, row in known.items() if row.listed != (each in inside)]
    for some in in_pages(sorted(changed)):
        connection.execute(
            update(accounts).where(accounts.c.id.in_(some)).values(listed=~accounts.c.listed)
        )
        let_in = [each for each in some if each in inside and known[each].rule is None]
        _hear_again(connection, let_in, listed.now)
        _touch(connection, some)
    return [None] * len(rows)


def rule(connection: Connection, rows: Sequence[Ruling]) -> list[bool]:
    """Set rules on known accounts; False: it stood so already."""
    answers = []
    for row in rows:
        account = accounts.c
        shut_out = (account.rule == "block") | (account.rule.is_(None) & ~account.listed)
        known = select(account.id).where(account.id == row.account_id, shut_out)
        let_in = list(connection.execute(known).scalars()) if row.rule == "allow" else []
        changed = connection.execute(
            update(accounts)
            .where(account.id == row.account_id, account.rule.is_distinct_from(row.rule))
            .values(rule=row.rule, rule_by=row.entry.actor, rule_at=row.now)
        ).rowcount
        if changed:
            _hear_again(connection, let_in, row.now)
            _touch(connection, [row.account_id])
            audit.record(connection, row.entry)
        answers.append(bool(changed))
    return answers


def _hear_again(connection: Connection, account_ids: Sequence[int], now: datetime) -> None:
    """What happened to these accounts' repositories until now is not made up for."""
    if not account_ids:
        return
    owned = repositories.c.account_id.in_(account_ids)
    connection.execute(update(repositories).where(owned).values(heard_since=now))


def _touch(connection: Connection, account_ids: Iterable[int]) -> None:
    """Decisions about the repositories of these accounts must be made again."""
    owned = repositories.c.account_id.in_(list(account_ids))
    in_order = select(repositories.c.id).where(owned).order_by(repositories.c.id)
    connection.execute(in_order.with_for_update())  # as `versions.hold` locks them
    connection.execute(update(repositories).where(owned).values(version=repositories.c.version + 1))


def page(connection: Connection, limit: int, after: str, rule: str | None) -> list[RowMapping]:
    """Accounts by login, with how many repositories of theirs are enabled."""
    enabled = (
        select(func.count())
        .select_from(repositories)
        .where(
            repositories.c.account_id == accounts.c.id,
            repositories.c.provider_enabled_at.is_not(None)
            | repositories.c.consumer_enabled_at.is_not(None),
        )
        .scalar_subquery()
        .label("enabled_repositories")
    )
    statement = select(accounts, enabled).where(accounts.c.login_lower > after)
    if rule is not None:
        statement = statement.where(accounts.c.rule == rule)
    ordered = statement.order_by(accounts.c.login_lower).limit(limit)
    return list(connection.execute(ordered).mappings())


def one(connection: Connection, account_id: int) -> RowMapping | None:
    """An account as its row stands."""
    statement = select(accounts).where(accounts.c.id == account_id)
    return connection.execute(statement).mappings().first()
