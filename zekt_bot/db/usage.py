"""What accounts have had in a day, counted in the transaction that gives it to them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, select, update

from zekt_bot.db.prepared import Prepared
from zekt_bot.db.sql import insert_if_new, one_of
from zekt_bot.db.tables import repositories, subscriptions, usage
from zekt_bot.domain.quotas import Used, day_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Connection

_TOLD_EVERY = timedelta(hours=1)
_COUNTED = ("events", "messages", "bytes")


_TODAY = usage.c.day == bindparam("today", type_=usage.c.day.type)
_OWN = (usage.c.account_id == bindparam("account"), _TODAY)
_USED = Prepared(select(usage).where(one_of(usage.c.account_id, "accounts"), _TODAY))
_HELD = Prepared(select(usage).where(*_OWN).with_for_update())
_MORE = Prepared(
    update(usage)
    .where(*_OWN)
    .values({name: usage.c[name] + bindparam(f"more_{name}") for name in _COUNTED})
)


def used(connection: Connection, account_ids: Iterable[int], now: datetime) -> dict[int, Used]:
    """What these accounts have had today; who had nothing is not named."""
    of = {"accounts": set(account_ids), "today": day_of(now)}
    rows = _USED.run(connection, of).mappings()
    return {row["account_id"]: Used(**{name: row[name] for name in _COUNTED}) for row in rows}


def hold(connection: Connection, account_id: int, now: datetime) -> Used:
    """What an account has had today; nobody else counts until this transaction ends."""
    nothing = {"account_id": account_id, "day": day_of(now), **asdict(Used())}
    insert_if_new(connection, usage, nothing)
    own = {"account": account_id, "today": day_of(now)}
    (row,) = _HELD.run(connection, own).mappings()
    return Used(**{name: row[name] for name in _COUNTED})


def add(connection: Connection, account_id: int, now: datetime, more: Used) -> None:
    """Count `more` of an account that is held."""
    counted = {f"more_{name}": value for name, value in asdict(more).items()}
    _MORE.run(connection, {"account": account_id, "today": day_of(now), **counted})


def tell(connection: Connection, account_id: int, now: datetime) -> bool:
    """Whether the audit is to be told that this account has no more room: once an hour."""
    hold(connection, account_id, now)
    days = {day_of(now), day_of(now - _TOLD_EVERY)}  # the hour may have begun yesterday
    theirs = (usage.c.account_id == account_id, usage.c.day.in_(days))
    lately = select(usage.c.day).where(*theirs, usage.c.told_at > now - _TOLD_EVERY)
    if connection.execute(lately).first():
        return False
    own = (usage.c.account_id == account_id, usage.c.day == day_of(now))
    connection.execute(update(usage).where(*own).values(told_at=now))
    return True


def subscribed(connection: Connection, account_id: int, but: str) -> int:
    """How many subscriptions the repositories of an account have, or have asked for, `but` one."""
    theirs = subscriptions.c.repository_id == repositories.c.id
    found = (
        select(func.count())
        .select_from(subscriptions.join(repositories, theirs))
        .where(repositories.c.account_id == account_id)
        .where(subscriptions.c.state.in_(("requested", "approved")), subscriptions.c.id != but)
    )
    return connection.execute(found).scalar_one()
