"""What GitHub tells of installations and repositories, as steps that write it into the mirror."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.db import lapses, mirror
from zekt_bot.db.rows import APP
from zekt_bot.domain.catalog import Account
from zekt_bot.operations import fields

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.db.transfers import Consequences

    Step = Callable[[Connection], None]


def owner_of(repository: dict[str, Any]) -> Account:
    """The account that a repository belongs to."""
    return account_of(fields.part(repository, "owner"))


def detached(installation_id: int, repository_id: int, now: datetime) -> Step:
    """A repository that the installation does not cover."""

    def apply(connection: Connection) -> None:
        mirror.detach(connection, installation_id, [repository_id], now)
        lapses.withdraw(connection, installation_id, [repository_id], now)

    return apply


def uninstalled(installation_id: int, now: datetime) -> Step:
    """An installation that GitHub does not know."""

    def apply(connection: Connection) -> None:
        mirror.set_installation_state(connection, installation_id, "deleted", now)
        lapses.withdraw(connection, installation_id, None, now)

    return apply


def installed(told: dict[str, Any], consequences: Consequences, now: datetime) -> Step:
    """An installation as it stands.

    Source: https://docs.github.com/rest/apps/apps#get-an-installation-for-the-authenticated-app
    """
    account = fields.part(told, "account")
    installation_id = fields.number(told, "id")
    state = "active" if told.get("suspended_at") is None else "suspended"
    row = {
        "app": APP,
        "id": installation_id,
        "account_id": fields.number(account, "id"),
        "state": state,
        "repository_selection": fields.optional_text(told, "repository_selection", 20) or "all",
        "permissions": orjson.dumps(told.get("permissions") or {}).decode(),
        "installed_at": fields.optional_moment(told, "created_at"),
        "suspended_at": fields.optional_moment(told, "suspended_at"),
        "updated_at": now,
    }
    owner, hand = account_of(account), fields.optional_part(told, "suspended_by")
    suspender = account_of(hand) if hand else None

    def apply(connection: Connection) -> None:
        if mirror.is_erased(connection, owner.id):
            return
        shown = None
        if suspender and not mirror.is_erased(connection, suspender.id):
            shown = suspender
        by = {
            "suspended_by": shown.login if shown else None,
            "suspended_by_id": shown.id if shown else None,
        }
        mirror.put_account(connection, owner, now, consequences)
        mirror.put_installation(connection, row | by)
        if state == "suspended":
            lapses.withdraw(connection, installation_id, None, now)

    return apply


def account_of(told: dict[str, Any]) -> Account:
    """The account in an answer or a webhook."""
    return Account(
        fields.number(told, "id"),
        fields.text(told, "login", 100),
        fields.optional_text(told, "type", 40) or "User",
    )


def covered(
    told: dict[str, Any], installation_id: int, consequences: Consequences, now: datetime
) -> Step:
    """A repository that the installation covers."""
    owner, repository_id = owner_of(told), fields.number(told, "id")
    row = {
        "id": repository_id,
        "full_name": fields.text(told, "full_name", 300),
        "account_id": owner.id,
        "installation_id": installation_id,
        "private": told.get("private") is not False,
        "archived": told.get("archived") is True,
    }

    def apply(connection: Connection) -> None:
        mirror.put_account(connection, owner, now, consequences)
        mirror.put_repository(connection, row, now, consequences)
        if row["archived"]:
            lapses.withdraw(connection, installation_id, [repository_id], now)

    return apply
