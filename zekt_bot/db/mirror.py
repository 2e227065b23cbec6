"""What Zekt knows of GitHub's accounts, installations and repositories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, literal, or_, select, update

from zekt_bot.db import returns, transfers, versions
from zekt_bot.db.prepared import Prepared
from zekt_bot.db.rows import APP, RepositoryRows
from zekt_bot.db.sql import in_pages, insert_if_new, insert_new, one_of, upsert
from zekt_bot.db.tables import accounts, installations, repositories
from zekt_bot.domain.catalog import Account, Repository

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

_NOTED = 500
_ROWS = RepositoryRows("r_")
_REPOSITORIES = select(*_ROWS.columns).select_from(_ROWS.joined())
_BY_ID = Prepared(_REPOSITORIES.where(one_of(_ROWS.table.c.id, "ids")))


def repositories_by_id(connection: Connection, ids: Iterable[int]) -> dict[int, Repository]:
    """The known ones of `ids`."""
    found = _BY_ID.run(connection, {"ids": ids}).mappings()
    return {row["r_id"]: _ROWS.read(row) for row in found}


def repository_by_name(connection: Connection, full_name: str) -> Repository | None:
    """The repository that was last known under `full_name`, in any case."""
    named = _REPOSITORIES.where(_ROWS.table.c.full_name_lower == full_name.lower())
    newest = named.order_by(_ROWS.table.c.updated_at.desc()).limit(1)
    row = connection.execute(newest).mappings().first()
    return _ROWS.read(row) if row else None


def knows(connection: Connection, installation_id: int | None, account_id: int | None) -> bool:
    """Whether this installation or this account was ever learned."""
    installed = select(installations.c.id).where(
        installations.c.app == APP, installations.c.id == installation_id
    )
    owner = select(accounts.c.id).where(accounts.c.id == account_id)
    return any(connection.execute(each).first() for each in (installed, owner))


def learn(
    connection: Connection, rows: Sequence[Mapping[str, Any]], installation_id: int, now: datetime
) -> None:
    """Note repositories that news name: `id`, `full_name`, `account_id`, `private`.

    It gives them nothing: what is enabled changes only as GitHub answers, and a name that another
    repository has stays with that one.
    """
    in_order = sorted(rows, key=lambda row: row["id"])
    for start in range(0, len(rows), _NOTED):
        some = in_order[start : start + _NOTED]
        names = [row["full_name"].lower() for row in some]
        taken = select(repositories.c.full_name_lower).where(
            repositories.c.full_name_lower.in_(names)
        )
        held = set(connection.execute(taken).scalars())
        fresh = [
            {
                **row,
                "full_name_lower": "" if name in held else name,
                "installation_id": installation_id,
                "archived": False,
                "version": 1,
                "updated_at": now,
            }
            for row, name in zip(some, names, strict=True)
        ]
        insert_new(connection, repositories, fresh)
        ids = [row["id"] for row in some]
        versions.held(connection, repositories, ids, to_change=True)
        own = repositories.c
        enabled = or_(own.provider_enabled_at.is_not(None), own.consumer_enabled_at.is_not(None))
        again = update(repositories).where(own.installation_id.is_(None), ~enabled)
        mine = {row["account_id"] for row in some}
        connection.execute(
            again.where(own.id.in_(ids), own.account_id.in_(mine)).values(
                installation_id=installation_id, version=own.version + 1, updated_at=now
            )
        )
        returns.note(connection, own.id.in_(ids))


def enabled(connection: Connection, after: int, limit: int) -> list[Repository]:
    """Enabled repositories that GitHub shows to the App, by id, after `after`."""
    own = _ROWS.table.c
    wanted = _REPOSITORIES.where(own.id > after, *_takes_part(own)).order_by(own.id).limit(limit)
    return [_ROWS.read(row) for row in connection.execute(wanted).mappings()]


def unread(connection: Connection, limit: int) -> tuple[int, list[tuple[str, datetime]]]:
    """How many of these GitHub gives no list of runs of; the first ones' names, and since when."""
    own = repositories.c
    which = (*_takes_part(own), own.unread_since.is_not(None))
    number = connection.execute(select(func.count()).where(*which)).scalar_one()
    first = select(own.full_name, own.unread_since).where(*which)
    found = connection.execute(first.order_by(own.unread_since, own.id).limit(limit))
    return number, [(name, since) for name, since in found]


def _takes_part(own: Any) -> tuple[ColumnElement[bool], ...]:
    """Enabled, and within an installation."""
    either = or_(own.provider_enabled_at.is_not(None), own.consumer_enabled_at.is_not(None))
    return either, own.installation_id.is_not(None)


def account_by_login(connection: Connection, login: str) -> Account | None:
    """The account last known under `login`, in any case."""
    row = connection.execute(
        select(accounts.c.id, accounts.c.login, accounts.c.kind)
        .where(accounts.c.login_lower == login.lower())
        .order_by(accounts.c.updated_at.desc())
        .limit(1)
    ).first()
    return Account(*row) if row else None


def accounts_by_id(connection: Connection, ids: Iterable[int]) -> dict[int, Account]:
    """The known ones of these accounts."""
    chosen = select(accounts.c.id, accounts.c.login, accounts.c.kind, accounts.c.verified)
    found = connection.execute(chosen.where(one_of(accounts.c.id, "ids")), {"ids": ids})
    return {row.id: Account(*row) for row in found}


def logins(connection: Connection, ids: Iterable[int]) -> dict[int, str]:
    """The logins of the known ones of these accounts."""
    found = select(accounts.c.id, accounts.c.login).where(accounts.c.id.in_(list(ids)))
    return {row.id: row.login for row in connection.execute(found)}


def is_erased(connection: Connection, account_id: int) -> bool:
    """Whether of this account no more may be known than its id."""
    of_it = (accounts.c.id == account_id, accounts.c.login == "", accounts.c.rule == "block")
    return connection.execute(select(accounts.c.id).where(*of_it)).first() is not None


def put_account(
    connection: Connection,
    account: Account,
    now: datetime,
    consequences: transfers.Consequences = transfers.NONE,
) -> None:
    """Learn an account, or its new login, which its repositories' names follow."""
    known = select(accounts.c.login).where(accounts.c.id == account.id)
    former = connection.execute(known).scalar_one_or_none()
    if former not in {None, account.login}:
        rename_account(connection, account.id, account.login, now)
    transfers.yield_login(connection, account.login, account.id, consequences)
    _take_login(connection, account.id, account.login)
    row = {
        "id": account.id,
        "login": account.login,
        "login_lower": account.login.lower(),
        "kind": account.kind,
        "listed": True,  # else nothing of it would have come here
        "updated_at": now,
    }
    upsert(connection, accounts, [row], ("login", "login_lower", "kind", "updated_at"))


def _take_login(connection: Connection, account_id: int, login: str) -> None:
    """Let no other account be found by `login`: at GitHub it is one account's."""
    held = update(accounts).where(accounts.c.login_lower == login.lower())
    connection.execute(held.where(accounts.c.id != account_id).values(login_lower=""))


def rename_account(connection: Connection, account_id: int, login: str, now: datetime) -> None:
    """Follow an account's new login, in the names of its repositories too."""
    _take_login(connection, account_id, login)
    connection.execute(
        update(accounts)
        .where(accounts.c.id == account_id)
        .values(login=login, login_lower=login.lower(), updated_at=now)
    )
    owned = connection.execute(
        select(repositories.c.id, repositories.c.full_name).where(
            repositories.c.account_id == account_id
        )
    ).all()
    for repository_id, full_name in owned:
        name = f"{login}/{full_name.partition('/')[2]}"
        change_repository(connection, repository_id, _named(name), now)


def put_installation(connection: Connection, row: Mapping[str, Any]) -> None:
    """Learn an installation, or its new state."""
    if insert_if_new(connection, installations, {**row, "version": 1}):
        _raise_versions(connection, row["id"], row["updated_at"], {})
    else:
        values = {name: row[name] for name in row if name not in {"app", "id", "updated_at"}}
        _change_installation(connection, row["id"], values, row["updated_at"])


def set_installer(connection: Connection, installation_id: int, person: Account) -> None:
    """Note who installed it, if nobody is noted yet. No decision rests on it."""
    own = installations.c
    unknown = (own.app == APP, own.id == installation_id, own.installed_by_id.is_(None))
    if not is_erased(connection, person.id):
        known = {"installed_by": person.login, "installed_by_id": person.id}
        connection.execute(update(installations).where(*unknown).values(**known))


def installation_state(connection: Connection, installation_id: int) -> str | None:
    """active, suspended or deleted; None: it was never learned."""
    own = (installations.c.app == APP, installations.c.id == installation_id)
    found: str | None = connection.execute(select(installations.c.state).where(*own)).scalar()
    return found


def set_installation_state(
    connection: Connection, installation_id: int, state: str, now: datetime
) -> None:
    """Suspend, resume or delete an installation; all of its repositories change with it."""
    _change_installation(connection, installation_id, {"state": state}, now)


def _change_installation(
    connection: Connection, installation_id: int, values: Mapping[str, Any], now: datetime
) -> None:
    """Set `values`; if one is new the version rises, and that of all its repositories."""
    columns = installations.c
    own = (columns.app == APP, columns.id == installation_id)
    known = select(columns.state).where(*own).with_for_update()
    former = connection.execute(known).scalar_one_or_none()
    differs = or_(*(columns[name].is_distinct_from(value) for name, value in values.items()))
    changed = connection.execute(
        update(installations)
        .where(*own, differs)
        .values(**values, version=columns.version + 1, updated_at=now)
    ).rowcount
    if changed:
        back = values["state"] == "active" and former != "active"
        _raise_versions(connection, installation_id, now, {"heard_since": now} if back else {})


def _raise_versions(
    connection: Connection, installation_id: int, now: datetime, also: Mapping[str, Any]
) -> None:
    """Raise the versions of an installation's repositories: its state is a fact of theirs."""
    held = repositories.c.installation_id == installation_id
    in_order = select(repositories.c.id).where(held).order_by(repositories.c.id)
    connection.execute(in_order.with_for_update())  # as `versions.hold` locks them
    values = {**also, "version": repositories.c.version + 1, "updated_at": now}
    connection.execute(update(repositories).where(held).values(values))
    returns.note(connection, held)


@dataclass(frozen=True, slots=True)
class Seen:
    """Versions of an installation and of repositories; None of those that were not there."""

    installation: Mapping[int, int | None]
    repositories: Mapping[int, int | None]


def seen(connection: Connection, installation_id: int, repository_ids: Iterable[int]) -> Seen:
    """What is there now, before somebody else is asked."""
    ids = list(repository_ids)
    known = repositories_by_id(connection, ids)
    version = select(installations.c.version).where(
        installations.c.app == APP, installations.c.id == installation_id
    )
    return Seen(
        {installation_id: connection.execute(version).scalar_one_or_none()},
        {each: known[each].version if each in known else None for each in ids},
    )


def still(connection: Connection, seen: Seen) -> bool:
    """Whether nothing of it has changed; it stays so until this transaction ends."""
    # The installation first, as whoever changes it.
    return versions.hold(
        connection, installations, seen.installation, to_change=True
    ) and versions.hold(connection, repositories, seen.repositories, to_change=True)


def _named(full_name: str) -> dict[str, Any]:
    return {"full_name": full_name, "full_name_lower": full_name.lower()}


def put_repository(
    connection: Connection,
    row: Mapping[str, Any],
    now: datetime,
    consequences: transfers.Consequences = transfers.NONE,
) -> None:
    """Learn a repository: `id`, `full_name`, `account_id`, `private`, `archived`, and
    `installation_id` where GitHub confirmed it. With another owner all that it was enabled and
    approved for ends: that was the former one's consent.
    """
    values = {**row, **_named(row["full_name"])}
    if transfers.changes_hands(connection, row["id"], row["account_id"]):
        ended: dict[str, Any] = {"provider_enabled_at": None, "consumer_enabled_at": None}
        values |= ended | {"withdrawn_at": now}
        transfers.end_consent(connection, row["id"], row["account_id"], consequences)
    insert_if_new(
        connection,
        repositories,
        {"archived": False, "installation_id": None, **values, "version": 1, "updated_at": now},
    )
    change_repository(connection, row["id"], values, now)


def change_repository(
    connection: Connection, repository_id: int, values: Mapping[str, Any], now: datetime
) -> None:
    """Set `values`; the version rises if one of them is new (decisions rest on them).

    In another installation it was given anew: the former one's consent is gone, heard of or not.
    """
    if "full_name" in values:
        values = {**values, **_named(values["full_name"])}
        held = repositories.c.full_name_lower == values["full_name_lower"]
        others = update(repositories).where(held, repositories.c.id != repository_id)
        connection.execute(others.values(full_name_lower=""))  # GitHub gives a name to one
    own = repositories.c
    differs = or_(*(own[name].is_distinct_from(value) for name, value in values.items()))
    if values.get("installation_id") is not None:
        there, at = values["installation_id"], literal(now, own.heard_since.type)
        stays, moves = own.installation_id == there, own.installation_id != there
        withdrawn = case((moves, at), else_=own.withdrawn_at)
        heard = case((stays, own.heard_since), else_=at)
        values = {"withdrawn_at": withdrawn, **values, "heard_since": heard}
    connection.execute(
        update(repositories)
        .where(own.id == repository_id, differs)
        .values(**values, version=own.version + 1, updated_at=now)
    )
    if values.keys() & {"installation_id", "archived"}:
        returns.note(connection, own.id == repository_id)


def detach(
    connection: Connection, installation_id: int, repository_ids: Sequence[int], now: datetime
) -> None:
    """Take repositories out of an installation, unless they meanwhile belong to another one."""
    for some in in_pages(sorted(repository_ids)):
        versions.held(connection, repositories, some, to_change=True)
        connection.execute(
            update(repositories)
            .where(repositories.c.id.in_(some), repositories.c.installation_id == installation_id)
            .values(installation_id=None, version=repositories.c.version + 1, updated_at=now)
        )


def enable(connection: Connection, repository_id: int, role: str, now: datetime) -> None:
    """Enable as `provider` or `consumer`; the first time counts."""
    column = repositories.c[f"{role}_enabled_at"]
    connection.execute(
        update(repositories)
        .where(repositories.c.id == repository_id, column.is_(None))
        .values({column: now, repositories.c.version: repositories.c.version + 1})
    )


def set_unread(connection: Connection, rows: Sequence[tuple[int, datetime | None]]) -> list[None]:
    """Note from when on a repository's runs cannot be read, or None. No decision rests on it."""
    for repository_id, since in rows:
        own = repositories.c.id == repository_id
        connection.execute(update(repositories).where(own).values(unread_since=since))
    return [None] * len(rows)


def disable(connection: Connection, repository_id: int, role: str) -> bool:
    """No longer a `provider` or `consumer`; False: it was none."""
    column = repositories.c[f"{role}_enabled_at"]
    changed = connection.execute(
        update(repositories)
        .where(repositories.c.id == repository_id, column.is_not(None))
        .values({column: None, repositories.c.version: repositories.c.version + 1})
    )
    return bool(changed.rowcount)


def touch(connection: Connection, repository_id: int) -> None:
    """Raise the version: something that decisions about this repository read has changed."""
    connection.execute(
        update(repositories)
        .where(repositories.c.id == repository_id)
        .values(version=repositories.c.version + 1)
    )
