"""Erasing an account or a repository: its rows a small batch at a time, and then its names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, or_, select, update

from zekt_bot.db import audit, mirror
from zekt_bot.db.admissions import unlist
from zekt_bot.db.people import forget_hands, forget_name
from zekt_bot.db.retention import delete_deliveries, delete_runs
from zekt_bot.db.rows import APP
from zekt_bot.db.shield_keys import of_repository
from zekt_bot.db.tables import (
    accounts,
    admissions,
    aliases,
    allowed_workflows,
    deliveries,
    envelopes,
    inbox,
    installations,
    operators,
    people,
    refused_messages,
    repositories,
    runs,
    services,
    sessions,
    shield_keys,
    subscriptions,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Select

    from zekt_bot.domain.audit import Entry


@dataclass(frozen=True, slots=True)
class Part:
    """At most `limit` rows of an account, or of one of its repositories alone.

    Of a repository's webhooks and deliveries those since `since`: no index leads to these alone,
    and a transaction must not look through all of an account's. `webhooks_of` and `sent_to` do.
    """

    account_id: int
    limit: int
    repository_id: int | None = None
    since: datetime | None = None

    @property
    def repositories(self) -> Select[Any]:
        """Ids of the repositories that it is about."""
        own = _repositories(self.account_id)
        alone = repositories.c.id == self.repository_id
        return own if self.repository_id is None else own.where(alone)


@dataclass(frozen=True, slots=True)
class Names:
    """The end: what is left of an account is its id. `person` is its actor in the audit."""

    account_id: int
    person: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Walk:
    """A page of all runs, after this id: who started some of them was `login`."""

    login: str
    after: str
    limit: int


def _repositories(account_id: int) -> Select[Any]:
    return select(repositories.c.id).where(repositories.c.account_id == account_id)


def _ids(connection: Connection, found: Select[Any], row: Part) -> list[str]:
    return list(connection.execute(found.limit(row.limit)).scalars())


def drop_deliveries(connection: Connection, rows: Sequence[Part]) -> list[int]:
    """Deliveries from it and to it, with their attempts."""
    answers = []
    for row in rows:
        ids: list[str] = []
        for theirs in _deliveries(row):
            ids += _ids(connection, select(deliveries.c.id).where(theirs), row)
        delete_deliveries(connection, ids)
        answers.append(len(ids))
    return answers


def _deliveries(row: Part) -> list[ColumnElement[bool]]:
    """What was sent to it; of an account also what it sent, which else goes with its runs."""
    own = deliveries.c
    to_it = own.consumer_account_id == row.account_id
    if row.repository_id is not None:
        to_it &= own.target_repository_id == row.repository_id
        return [to_it & (own.created_at >= row.since)]
    return [own.provider_account_id == row.account_id, to_it]


def sent_to(connection: Connection, row: Part) -> list[tuple[str, datetime]]:
    """Ids of deliveries to a repository, the oldest first, and when they were made."""
    own = deliveries.c
    found = select(own.id, own.created_at).where(*_deliveries(row)).order_by(own.created_at)
    return [(each.id, each.created_at) for each in connection.execute(found.limit(row.limit))]


def drop_sent(connection: Connection, rows: Sequence[Sequence[str]]) -> list[None]:
    """These deliveries, with their attempts."""
    for ids in rows:
        delete_deliveries(connection, ids)
    return [None] * len(rows)


def drop_runs(connection: Connection, rows: Sequence[Part]) -> list[int]:
    """What was made of its runs, and then these with jobs, messages and envelopes."""
    answers = []
    for row in rows:
        own: ColumnElement[bool] = runs.c.repository_id.in_(row.repositories)
        if row.repository_id is None:
            own = or_(runs.c.account_id == row.account_id, own)
        ids = _ids(connection, select(runs.c.id).where(own), row)
        theirs = select(envelopes.c.id).where(envelopes.c.run.in_(ids))
        made = select(deliveries.c.id).where(deliveries.c.envelope.in_(theirs))
        sent = _ids(connection, made, row)
        delete_deliveries(connection, sent)
        if not sent:
            connection.execute(delete(envelopes).where(envelopes.c.run.in_(ids)))
            delete_runs(connection, ids)
        answers.append(len(ids))
    return answers


def forget_actor(connection: Connection, rows: Sequence[Walk]) -> list[str | None]:
    """Forget a person in others' runs; answers the last id of each page, None: that was all."""
    answers = []
    for row in rows:
        page = select(runs.c.id).where(runs.c.id > row.after).order_by(runs.c.id).limit(row.limit)
        ids = list(connection.execute(page).scalars())
        theirs = update(runs).where(runs.c.id.in_(ids), func.lower(runs.c.actor) == row.login)
        connection.execute(theirs.values(actor=None))
        answers.append(ids[-1] if ids else None)
    return answers


def drop_webhooks(connection: Connection, rows: Sequence[Part]) -> list[int]:
    """Webhooks about it."""
    answers = []
    for row in rows:
        ids = _ids(connection, select(inbox.c.id).where(*_about(row)), row)
        connection.execute(delete(inbox).where(inbox.c.id.in_(ids)))
        answers.append(len(ids))
    return answers


def _about(row: Part) -> list[ColumnElement[bool]]:
    own = inbox.c
    if row.repository_id is None:
        return [own.account_id == row.account_id]
    its = own.repository_id == row.repository_id
    return [own.account_id == row.account_id, its, own.received_at >= row.since]


def webhooks_of(connection: Connection, row: Part) -> list[tuple[str, datetime]]:
    """Ids of webhooks about a repository, the oldest first, and when they came."""
    found = select(inbox.c.id, inbox.c.received_at).where(*_about(row))
    page = found.order_by(inbox.c.received_at).limit(row.limit)
    return [(each.id, each.received_at) for each in connection.execute(page)]


def drop_received(connection: Connection, rows: Sequence[Sequence[str]]) -> list[None]:
    """These webhooks."""
    for ids in rows:
        connection.execute(delete(inbox).where(inbox.c.id.in_(ids)))
    return [None] * len(rows)


def drop_subscriptions(connection: Connection, rows: Sequence[Part]) -> list[int]:
    """Subscriptions to its services, and of its repositories."""
    answers = []
    for row in rows:
        theirs = select(services.c.id).where(_of(row))
        own = or_(
            subscriptions.c.service_id.in_(theirs),
            subscriptions.c.repository_id.in_(row.repositories),
        )
        ids = _ids(connection, select(subscriptions.c.id).where(own), row)
        connection.execute(delete(subscriptions).where(subscriptions.c.id.in_(ids)))
        answers.append(len(ids))
    return answers


def _of(row: Part) -> ColumnElement[bool]:
    """Its services."""
    theirs = services.c.repository_id.in_(row.repositories)
    return theirs if row.repository_id is not None else _owned(row) | theirs


def _owned(row: Part) -> ColumnElement[bool]:
    return services.c.account_id == row.account_id


def drop_refused(connection: Connection, rows: Sequence[Part]) -> list[int]:
    """What its runs sent and was not taken."""
    answers = []
    for row in rows:
        own = refused_messages.c
        theirs = own.account_id == row.account_id
        if row.repository_id is not None:
            theirs &= own.repository_id == row.repository_id
        ids = _ids(connection, select(own.id).where(theirs), row)
        connection.execute(delete(refused_messages).where(own.id.in_(ids)))
        answers.append(len(ids))
    return answers


def drop_catalog(connection: Connection, row: Part) -> None:
    """Its services, allow-lists and keys; the subscriptions are gone."""
    connection.execute(delete(services).where(_of(row)))
    allowed = allowed_workflows.c.repository_id.in_(row.repositories)
    connection.execute(delete(allowed_workflows).where(allowed))
    theirs = shield_keys.c.account_id == row.account_id
    if row.repository_id is not None:
        theirs = shield_keys.c.subject == of_repository(row.repository_id)
    connection.execute(delete(shield_keys).where(theirs))


# Webhooks first, of which the rest is made.
PARTS = (drop_webhooks, drop_deliveries, drop_runs, drop_subscriptions, drop_refused)


def drop_names(connection: Connection, rows: Sequence[Names]) -> list[bool]:
    """Its catalog and its names, in one transaction with the audit entry.

    False: a worker has made something of it meanwhile, and that must go before.
    """
    return [_drop_names(connection, row) for row in rows]


def _drop_names(connection: Connection, row: Names) -> bool:
    own = row.account_id
    one = Part(own, 1)
    if any(count for part in PARTS for count in part(connection, [one])):
        return False
    drop_catalog(connection, one)
    _lose_installations(connection, own)
    forget_hands(connection, own)
    unlist(connection, own)
    theirs = (repositories, installations, aliases, admissions, people, operators)
    for table in theirs:
        connection.execute(delete(table).where(table.c.account_id == own))
    # A session that is over is the only way to let its token die: it goes when that is dead.
    over = update(sessions).where(sessions.c.account_id == own)
    connection.execute(over.values(device=""))
    account = update(accounts).where(accounts.c.id == own)
    connection.execute(account.values(login="", login_lower=""))
    forget_name(connection, row.person)
    audit.record(connection, row.entry)
    return True


def _lose_installations(connection: Connection, account_id: int) -> None:
    """Others' repositories may still stand in its installations: what is known of them changes."""
    of_it = (installations.c.account_id == account_id, installations.c.app == APP)
    theirs = select(repositories.c.id).join(
        installations, installations.c.id == repositories.c.installation_id
    )
    in_order = theirs.where(*of_it).order_by(repositories.c.id)
    for each in list(connection.execute(in_order).scalars()):
        mirror.touch(connection, each)
