"""What Zekt knows of GitHub's accounts, installations and repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, select, update

from zekt_bot.db.rows import INSTALLATION, REPOSITORY, labelled, repository_of
from zekt_bot.db.sql import insert_new, upsert
from zekt_bot.db.tables import accounts, admissions, installations, repositories
from zekt_bot.domain.catalog import Account, Repository

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Select

APP = "orchestrator"


def _repositories() -> Select[Any]:
    joined = repositories.outerjoin(
        installations,
        and_(installations.c.id == repositories.c.installation_id, installations.c.app == APP),
    )
    return select(
        *labelled("r_", repositories, REPOSITORY), *labelled("i_", installations, INSTALLATION)
    ).select_from(joined)


def repositories_by_id(connection: Connection, ids: Iterable[int]) -> dict[int, Repository]:
    """The known ones of `ids`."""
    found = connection.execute(_repositories().where(repositories.c.id.in_(list(ids)))).mappings()
    return {row["r_id"]: repository_of(row, "r_", row["i_state"]) for row in found}


def repository_by_name(connection: Connection, full_name: str) -> Repository | None:
    """The repository that was last known under `full_name`, in any case."""
    row = (
        connection.execute(
            _repositories()
            .where(repositories.c.full_name_lower == full_name.lower())
            .order_by(repositories.c.updated_at.desc())
            .limit(1)
        )
        .mappings()
        .first()
    )
    return repository_of(row, "r_", row["i_state"]) if row else None


def list_repositories(connection: Connection, limit: int) -> list[Repository]:
    """Repositories by name."""
    found = connection.execute(
        _repositories().order_by(repositories.c.full_name_lower).limit(limit)
    )
    return [repository_of(row, "r_", row["i_state"]) for row in found.mappings()]


def account_by_login(connection: Connection, login: str) -> Account | None:
    """The account last known under `login`, in any case."""
    row = connection.execute(
        select(accounts.c.id, accounts.c.login, accounts.c.kind)
        .where(accounts.c.login_lower == login.lower())
        .order_by(accounts.c.updated_at.desc())
        .limit(1)
    ).first()
    return Account(*row) if row else None


def put_account(connection: Connection, account: Account, now: datetime) -> None:
    """Learn an account, or its new login."""
    row = {
        "id": account.id,
        "login": account.login,
        "login_lower": account.login.lower(),
        "kind": account.kind,
        "updated_at": now,
    }
    upsert(connection, accounts, row, ("login", "login_lower", "kind", "updated_at"))


def rename_account(connection: Connection, account_id: int, login: str, now: datetime) -> None:
    """Follow an account's new login, in the names of its repositories too."""
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
    changed = ("account_id", "state", "repository_selection", "permissions", "updated_at")
    upsert(connection, installations, row, changed)


def set_installation_state(
    connection: Connection, installation_id: int, state: str, now: datetime
) -> None:
    """Suspend, resume or delete an installation; all of its repositories change with it."""
    connection.execute(
        update(installations)
        .where(installations.c.app == APP, installations.c.id == installation_id)
        .values(state=state, updated_at=now)
    )
    connection.execute(
        update(repositories)
        .where(repositories.c.installation_id == installation_id)
        .values(version=repositories.c.version + 1, updated_at=now)
    )


def _named(full_name: str) -> dict[str, Any]:
    return {"full_name": full_name, "full_name_lower": full_name.lower()}


def put_repository(connection: Connection, row: Mapping[str, Any], now: datetime) -> None:
    """Learn a repository: `id`, `full_name`, `account_id`, `private`, `archived`, and
    `installation_id` where GitHub confirmed it.
    """
    values = {**row, **_named(row["full_name"])}
    insert_new(
        connection,
        repositories,
        [{"archived": False, "installation_id": None, **values, "version": 1, "updated_at": now}],
    )
    change_repository(connection, row["id"], values, now)


def change_repository(
    connection: Connection, repository_id: int, values: Mapping[str, Any], now: datetime
) -> None:
    """Set `values`; the version rises if one of them is new (decisions rest on them)."""
    if "full_name" in values:
        values = {**values, **_named(values["full_name"])}
    differs = or_(*(repositories.c[name].is_distinct_from(value) for name, value in values.items()))
    connection.execute(
        update(repositories)
        .where(repositories.c.id == repository_id, differs)
        .values(**values, version=repositories.c.version + 1, updated_at=now)
    )


def detach(
    connection: Connection, installation_id: int, repository_ids: Sequence[int], now: datetime
) -> None:
    """Take repositories out of an installation, unless they meanwhile belong to another one."""
    connection.execute(
        update(repositories)
        .where(
            repositories.c.id.in_(repository_ids),
            repositories.c.installation_id == installation_id,
        )
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


def touch(connection: Connection, repository_id: int) -> None:
    """Raise the version: something that decisions about this repository read has changed."""
    connection.execute(
        update(repositories)
        .where(repositories.c.id == repository_id)
        .values(version=repositories.c.version + 1)
    )


def admitted(
    connection: Connection, allowed: Sequence[str], asking: dict[int, str], now: datetime
) -> set[int]:
    """Which of `asking` (account id → login) are admitted; a listed login is pinned to its id."""
    if not allowed:
        return set(asking)
    fresh = [
        {"login_lower": login.lower(), "account_id": account_id, "pinned_at": now}
        for account_id, login in asking.items()
        if login.lower() in allowed
    ]
    insert_new(connection, admissions, fresh)
    pinned = select(admissions.c.account_id).where(
        admissions.c.account_id.in_(list(asking)), admissions.c.login_lower.in_(list(allowed))
    )
    return set(connection.execute(pinned).scalars())
