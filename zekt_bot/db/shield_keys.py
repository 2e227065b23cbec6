"""Public keys of consumers."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select

from zekt_bot.db.sql import insert_if_new, one_of
from zekt_bot.db.tables import accounts, repositories, shield_keys, subscriptions
from zekt_bot.domain.shield import Recipient, ShieldKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, RowMapping, Select

_OWN = shield_keys.c
_OF_SUBJECTS = select(_OWN.subject, _OWN.public_key).where(one_of(_OWN.subject, "subjects"))
_APPROVED = (
    select(subscriptions.c.id, subscriptions.c.repository_id, repositories.c.account_id)
    .join(repositories, repositories.c.id == subscriptions.c.repository_id)
    .where(subscriptions.c.state == "approved")
    .order_by(subscriptions.c.id)
)


def of_repository(repository_id: int) -> str:
    """The subject of a repository's own keys."""
    return f"repository:{repository_id}"


def of_account(account_id: int) -> str:
    """The subject of the keys of all repositories of an account that have no own."""
    return f"account:{account_id}"


def add(connection: Connection, key: ShieldKey) -> bool:
    """Add a key; False: its subject has it already."""
    row = {name: getattr(key, name) for name in ShieldKey.__dataclass_fields__}
    return insert_if_new(connection, shield_keys, row)


def count(connection: Connection, subject: str) -> int:
    """How many keys a subject has."""
    found = select(func.count()).select_from(shield_keys).where(_OWN.subject == subject)
    return connection.execute(found).scalar_one()


def remove(connection: Connection, key_id: str) -> bool:
    """Remove a key; False: it is not there."""
    return bool(connection.execute(delete(shield_keys).where(_OWN.id == key_id)).rowcount)


def remove_of(connection: Connection, subject: str) -> None:
    """Remove all keys of a subject."""
    connection.execute(delete(shield_keys).where(_OWN.subject == subject))


def page(
    connection: Connection, limit: int, after: str, subjects: Sequence[str] | None
) -> list[RowMapping]:
    """Keys by id, `limit` of them after the id `after`, with whose they are."""
    found = _listed().where(_OWN.id > after).order_by(_OWN.id).limit(limit)
    if subjects is not None:
        found = found.where(_OWN.subject.in_(subjects))
    return list(connection.execute(found).mappings())


def one(connection: Connection, key_id: str) -> RowMapping | None:
    """One key, with whose it is."""
    return connection.execute(_listed().where(_OWN.id == key_id)).mappings().first()


def _listed() -> Select[Any]:
    owner = func.coalesce(repositories.c.full_name, accounts.c.login).label("of")
    return (
        select(shield_keys, owner)
        .outerjoin(repositories, repositories.c.id == _OWN.repository_id)
        .outerjoin(accounts, accounts.c.id == _OWN.account_id)
    )


def recipients(connection: Connection, service_id: str) -> list[Recipient]:
    """A service's approved subscriptions with the keys of their repositories, else of the owners.

    In the order of subscriptions, the oldest key first; who has none is left out.
    """
    found = connection.execute(_APPROVED.where(subscriptions.c.service_id == service_id))
    wanted = [
        (row.id, of_repository(row.repository_id), of_account(row.account_id)) for row in found
    ]
    subjects = {subject for _, *both in wanted for subject in both}
    keys: dict[str, list[str]] = defaultdict(list)
    for row in connection.execute(_OF_SUBJECTS.order_by(_OWN.id), {"subjects": subjects}):
        keys[row.subject].append(row.public_key)
    return [
        Recipient(subscription, key)
        for subscription, own, whole in wanted
        for key in keys.get(own) or keys.get(whole) or ()
    ]
