"""Repositories whose consent is gone: since when, and what is forgotten of them at last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, exists, or_, select, true, update

from zekt_bot.db import audit, erasure, returns, versions
from zekt_bot.db.rows import APP
from zekt_bot.db.tables import (
    allowed_workflows,
    installations,
    repositories,
    services,
    subscriptions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from zekt_bot.db.erasure import Part
    from zekt_bot.domain.audit import Entry

_OWN = repositories.c


class Lapsed(NamedTuple):
    """A repository without consent, and its account."""

    id: int
    account_id: int


@dataclass(frozen=True, slots=True)
class Ending:
    """The repository that takes part no longer, if it has not come back since `before`."""

    lapsed: Lapsed
    before: datetime
    now: datetime
    entry: Entry


@dataclass(frozen=True, slots=True)
class Deletion:
    """Repositories (id → version) of which their people want nothing kept, with the entries."""

    versions: Mapping[int, int]
    entries: Sequence[Entry]
    now: datetime


@dataclass(frozen=True, slots=True)
class Unused:
    """At most `limit` rows that nobody has used since `before`."""

    before: datetime
    limit: int


def _enabled() -> ColumnElement[bool]:
    return or_(_OWN.provider_enabled_at.is_not(None), _OWN.consumer_enabled_at.is_not(None))


def _kept() -> ColumnElement[bool]:
    """It has what stays when it is disabled."""
    return or_(
        *(
            exists().where(table.c.repository_id == _OWN.id)
            for table in (services, subscriptions, allowed_workflows)
        )
    )


def withdraw(
    connection: Connection,
    installation_id: int,
    repository_ids: Sequence[int] | None,
    now: datetime,
) -> None:
    """Note that GitHub says that consent is gone: of these, None: of all of the installation's.

    Their versions stay: what was decided on them was decided without consent. `updated_at` tells
    who keeps what it read that there is more to know.
    """
    theirs = _OWN.installation_id == installation_id
    if repository_ids is not None:
        theirs = _OWN.id.in_(repository_ids) & or_(theirs, _OWN.installation_id.is_(None))
    in_order = select(_OWN.id).where(theirs, _enabled()).order_by(_OWN.id)
    connection.execute(in_order.with_for_update())
    gone = update(repositories).where(theirs, _enabled())
    connection.execute(gone.values(withdrawn_at=now, updated_at=now))


def note(connection: Connection, rows: Sequence[datetime]) -> list[None]:
    """Write down of whom consent is gone from now on.

    Of those too that take no part at the moment: what they have stays until they do again.
    """
    gone = update(repositories).where(
        _OWN.lapsed_at.is_(None), ~returns.consented(), or_(_enabled(), _kept())
    )
    connection.execute(gone.values(lapsed_at=rows[0]))
    returns.note(connection, true())  # what came back while this looked
    return [None] * len(rows)


def lapsed(connection: Connection, before: datetime, after: int, limit: int) -> list[Lapsed]:
    """Those whose consent has been gone since before, or who are being purged.

    By id, after the id `after`.
    """
    either = or_(_OWN.lapsed_at < before, _OWN.purging_since.is_not(None))
    found = select(_OWN.id, _OWN.account_id).where(either, _OWN.id > after)
    return [Lapsed(*row) for row in connection.execute(found.order_by(_OWN.id).limit(limit))]


def unfinished(connection: Connection, limit: int) -> list[Lapsed]:
    """Those who are being purged, since whenever."""
    found = select(_OWN.id, _OWN.account_id).where(_OWN.purging_since.is_not(None))
    return [Lapsed(*row) for row in connection.execute(found.order_by(_OWN.id).limit(limit))]


def begin(connection: Connection, rows: Sequence[Deletion]) -> list[bool]:
    """Let them take part no longer and be purged, whether or not consent stands.

    False: one has changed since it was decided on, perhaps its owner, and nothing is done.
    """
    return [_begin(connection, row) for row in rows]


def _begin(connection: Connection, row: Deletion) -> bool:
    if not versions.hold(connection, repositories, row.versions, to_change=True):
        return False
    theirs = update(repositories).where(_OWN.id.in_(list(row.versions)))
    connection.execute(theirs.values(**_purged_from(row.now)))
    for entry in row.entries:
        audit.record(connection, entry)
    return True


def _purged_from(now: datetime) -> dict[str, Any]:
    return {
        "provider_enabled_at": None,
        "consumer_enabled_at": None,
        "purging_since": now,
        "version": _OWN.version + 1,
    }


def end(connection: Connection, rows: Sequence[Ending]) -> list[datetime | None]:
    """Let each take part no longer, nor be enabled until all is gone: else what it has anew would
    go too. Answers since when it is purged; None: its consent is back.
    """
    return [_end(connection, row) for row in rows]


def _end(connection: Connection, row: Ending) -> datetime | None:
    own = _OWN.id == row.lapsed.id
    gone = (_OWN.lapsed_at < row.before) & ~returns.consented()
    over = or_(_OWN.purging_since.is_not(None), gone)
    found = select(_OWN.purging_since).where(own, over).with_for_update(of=repositories)
    held = connection.execute(found).first()
    if held is None:
        return None
    since: datetime | None = held.purging_since
    if since is None:
        connection.execute(update(repositories).where(own).values(**_purged_from(row.now)))
        audit.record(connection, row.entry)
    return since or row.now


def forget(connection: Connection, rows: Sequence[Part]) -> list[bool]:
    """The end, when its parts are gone: services and allow-list. False: something came in."""
    return [_forget(connection, row) for row in rows]


def _forget(connection: Connection, row: Part) -> bool:
    if any(count for part in erasure.PARTS for count in part(connection, [row])):
        return False
    erasure.drop_catalog(connection, row)
    gone = {"lapsed_at": None, "purging_since": None, "version": _OWN.version + 1}
    connection.execute(update(repositories).where(_OWN.id == row.repository_id).values(**gone))
    return True


def drop_unused(connection: Connection, rows: Sequence[Unused]) -> list[int]:
    """Names of repositories that take no part and are in no installation that stands."""
    return [_drop_unused(connection, row) for row in rows]


def _drop_unused(connection: Connection, row: Unused) -> int:
    ours = (installations.c.id == _OWN.installation_id, installations.c.app == APP)
    standing = exists().where(*ours, installations.c.state != "deleted")
    idle = select(_OWN.id).where(
        _OWN.updated_at < row.before,
        _OWN.lapsed_at.is_(None),
        ~_enabled(),
        ~standing,
        ~_kept(),
    )
    # Held, or one that is enabled at this moment would go with them.
    held = idle.limit(row.limit).with_for_update(of=repositories, skip_locked=True)
    ids = list(connection.execute(held).scalars())
    connection.execute(delete(repositories).where(_OWN.id.in_(ids)))
    needed = exists().where(_OWN.installation_id == installations.c.id)
    over = (installations.c.state == "deleted", installations.c.updated_at < row.before)
    connection.execute(delete(installations).where(installations.c.app == APP, *over, ~needed))
    return len(ids)
