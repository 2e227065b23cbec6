"""Operators: who may do everything on this server by signing in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from zekt_bot.db import operators as rows
from zekt_bot.domain.access import decide
from zekt_bot.domain.names import check_login
from zekt_bot.errors import Conflict, NotFound

if TYPE_CHECKING:
    from datetime import datetime

    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

Source = Literal["setup", "ZEKT_OPERATORS"]


@dataclass(frozen=True, slots=True)
class _Operator:
    login: str
    made_by: Source
    since: datetime | None = None
    id: int | None = None


async def list_operators(
    broker: Broker, principal: Principal, *, limit: int = 50, after: str = ""
) -> list[dict[str, Any]]:
    """Operators by login, `limit` of them after the login `after`.

    Of those that ZEKT_OPERATORS lists the id is not known before they sign in.

    Raises:
        AccessDenied, StorageUnavailable.
    """
    decide(principal, "operator:read")
    made = await broker.database.query(rows.made)
    found = [_Operator(one.login, "setup", one.since, one.account_id) for one in made]
    found += [_Operator(login, "ZEKT_OPERATORS") for login in broker.settings.operators]
    in_order = sorted(found, key=lambda one: (one.login.lower(), one.made_by))
    following = [one for one in in_order if one.login.lower() > after.lower()]
    return [asdict(one) for one in following[:limit]]


async def remove(broker: Broker, principal: Principal, login: str) -> None:
    """Let a person be an operator no longer, at once and in every process; they stay signed in.

    Raises:
        AccessDenied, InvalidInput, StorageUnavailable.
        NotFound: they are none.
        Conflict: ZEKT_OPERATORS lists them.
    """
    decide(principal, "operator:remove")
    wanted = check_login(login).lower()
    if wanted in broker.settings.operators:
        raise Conflict(f"ZEKT_OPERATORS lists {login}: take it out there, and start again.")
    made = await broker.database.query(rows.made)
    known = next((one for one in made if wanted in {one.login.lower(), one.present}), None)
    if known is None:
        raise NotFound(f"{login} is no operator: list them with `zekt operators list`.")
    details: dict[str, str | int] = {"account": known.account_id}
    entry = await broker.entry("person:operator:removed", principal.actor, details=details)
    if not await broker.database.write(rows.remove, rows.Removal(known.account_id, entry)):
        raise NotFound(f"{login} was an operator no more.")
