"""What ends when a repository gets another owner, or an account the name that a service shows."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, delete, or_, select, update

from zekt_bot.db import audit, shield_keys
from zekt_bot.db import services as service_rows
from zekt_bot.db.sql import in_pages
from zekt_bot.db.tables import allowed_workflows, repositories, services, subscriptions
from zekt_bot.domain.audit import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, RowMapping, Select

    from zekt_bot.domain.catalog import Account

_LONGEST_SLUG = 64
_ENTRY_OF = {"invited": "zekt:subscription:ended", "approved": "zekt:subscription:reopened"}

Prepared = Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Consequences:
    """What goes with news: until when a reopened request waits, and entries by what they are of.

    The entries are those that `foreseen` named, with what plugins added to them.
    """

    answer_by: datetime | None = None
    entries: Prepared = field(default_factory=dict)

    def record(self, connection: Connection, entry: Entry) -> None:
        """Write `entry`; what came about after plugins were asked is written without them."""
        audit.record(connection, self.entries.get(_subject(entry), entry))


NONE = Consequences()


def foreseen(
    connection: Connection, owners: Iterable[Account], moved: Iterable[tuple[int, int]]
) -> list[Entry]:
    """What the audit will say if these accounts have these logins and own these repositories.

    `moved`: ids of a repository and of its owner.
    """
    entries = [
        _rested(service, "alias_taken")
        for owner in owners
        for service in service_rows.showing(connection, owner.login, owner.id)
    ]
    for repository_id, account_id in moved:
        if changes_hands(connection, repository_id, account_id):
            own = connection.execute(_services(repository_id)).mappings()
            held = connection.execute(_consents(repository_id)).mappings()
            entries += [_rested(each, "transferred") for each in own]
            entries += map(_moved, held)
    return entries


def prepared(plain: Iterable[Entry], completed: Iterable[Entry]) -> Prepared:
    """Entries as plugins completed them, by what they are of."""
    return {_subject(entry): whole for entry, whole in zip(plain, completed, strict=True)}


def yield_login(
    connection: Connection, login: str, account_id: int, consequences: Consequences
) -> None:
    """An account has the login that services of others show: they rest, their owner unnamed."""
    showing = service_rows.showing(connection, login, account_id, lock=True)
    for service in showing:
        service_rows.change(connection, service["id"], published_at=None, rests="alias_taken")
        consequences.record(connection, _rested(service, "alias_taken"))


def changes_hands(connection: Connection, repository_id: int, account_id: int) -> bool:
    """Whether a known repository was another account's until now."""
    former = select(repositories.c.account_id).where(repositories.c.id == repository_id)
    return connection.execute(former).scalar_one_or_none() not in {None, account_id}


def end_consent(
    connection: Connection, repository_id: int, account_id: int, consequences: Consequences
) -> None:
    """The former owner's consent ends: services rest and move, subscriptions are asked anew.

    Its keys go, since the former owner holds the private ones, and its allow-list: what may leave
    the repository is the new owner's to say.

    Both those to the repository's services and those of the repository itself; an invitation is
    over, since the new owner neither made it nor was meant. An alias was the former owner's and
    stays with them.
    """
    for service in connection.execute(_services(repository_id).with_for_update()).mappings():
        service_rows.change(
            connection,
            service["id"],
            account_id=account_id,
            slug=_free_slug(connection, account_id, service["slug"]),
            alias=None,
            former_alias=service["alias"] or service["former_alias"],
            approves="[]",
            published_at=None,
            rests="transferred",
        )
        if service["alias"]:
            service_rows.free_alias(connection, service["alias"])
        consequences.record(connection, _rested(service, "transferred"))
    shield_keys.remove_of(connection, shield_keys.of_repository(repository_id))
    allowed = allowed_workflows.c.repository_id == repository_id
    connection.execute(delete(allowed_workflows).where(allowed))
    locked = _consents(repository_id).with_for_update(of=subscriptions)
    held = list(connection.execute(locked).mappings())
    for row in held:
        consequences.record(connection, _moved(row))
    invited = [row["id"] for row in held if row["state"] == "invited"]
    _change(connection, invited, state="ended", expires_at=None)
    approved = [row["id"] for row in held if row["state"] == "approved"]
    _change(
        connection,
        approved,
        state="requested",
        expires_at=consequences.answer_by,
        **_what_the_consumer_said(),
        approved_by=None,
        approved_account_id=None,
        approved_at=None,
    )


def _services(repository_id: int) -> Select[Any]:
    own = services.c.repository_id == repository_id
    return select(services).where(own).order_by(services.c.id)


def _consents(repository_id: int) -> Select[Any]:
    """What was said for or to the repository, with the consumer's account, in order of id."""
    consumer = repositories.c.account_id.label("consumer_account_id")
    theirs = select(services.c.id).where(services.c.repository_id == repository_id)
    either = or_(
        subscriptions.c.repository_id == repository_id, subscriptions.c.service_id.in_(theirs)
    )
    return (
        select(subscriptions, consumer)
        .join(repositories, repositories.c.id == subscriptions.c.repository_id)
        .where(either, subscriptions.c.state.in_(_ENTRY_OF))
        .order_by(subscriptions.c.id)
    )


def _change(connection: Connection, ids: Iterable[str], **values: Any) -> None:
    for some in in_pages(ids):
        connection.execute(
            update(subscriptions)
            .where(subscriptions.c.id.in_(some))
            .values(version=subscriptions.c.version + 1, **values)
        )


def _what_the_consumer_said() -> dict[str, ColumnElement[Any]]:
    """A request is the consumer's word: of an invitation that is how it was accepted."""
    row = subscriptions.c
    consumer = (
        select(repositories.c.account_id)
        .where(repositories.c.id == row.repository_id)
        .scalar_subquery()
    )
    accepted = and_(row.approved_account_id == consumer, row.requested_account_id != consumer)
    return {
        f"requested_{part}": case(
            (accepted, row[f"approved_{part}"]), else_=row[f"requested_{part}"]
        )
        for part in ("by", "account_id", "at")
    }


def _rested(service: RowMapping, reason: str) -> Entry:
    return Entry(
        verb="zekt:service:rested",
        actor="zekt",
        account_id=service["account_id"],
        repository_id=service["repository_id"],
        details={"service": service["id"], "reason": reason},
    )


def _moved(row: RowMapping) -> Entry:
    return Entry(
        verb=_ENTRY_OF[row["state"]],
        actor="zekt",
        account_id=row["consumer_account_id"],
        repository_id=row["repository_id"],
        details={
            "service": row["service_id"],
            "subscription": row["id"],
            "reason": "transferred",
        },
    )


def _subject(entry: Entry) -> str:
    """What an entry is of, as one word."""
    details = entry.details
    return f"{entry.verb} {details.get('subscription', details['service'])} {details['reason']}"


def _free_slug(connection: Connection, account_id: int, slug: str) -> str:
    """The slug, or with `-2`, `-3` … where the new owner has such a service."""
    root = slug[: _LONGEST_SLUG - 4].rstrip("-")
    wanted = itertools.chain([slug], (f"{root}-{number}" for number in itertools.count(2)))
    taken = select(services.c.slug).where(services.c.account_id == account_id)
    held = set(connection.execute(taken).scalars())
    return next(each for each in wanted if each not in held)
