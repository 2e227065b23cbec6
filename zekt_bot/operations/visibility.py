"""Rows as operations show them, and who may see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from zekt_bot.db import mirror
from zekt_bot.domain.access import Operator, Person, Resource, decide
from zekt_bot.domain.lists import check_page
from zekt_bot.domain.names import check_full_name
from zekt_bot.errors import AccessDenied
from zekt_bot.operations import access

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from zekt_bot.domain.access import Action, Principal
    from zekt_bot.domain.ids import Kind
    from zekt_bot.domain.lists import EventFilter, MessageFilter, Page
    from zekt_bot.operations.broker import Broker

_HIDDEN = ("lease", "due_at", "unapproved")


def shown(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row without what only Zekt itself needs, and without what is sealed."""
    return {
        str(name): value
        for name, value in row.items()
        if name not in _HIDDEN and not isinstance(value, bytes)
    }


def all_shown(rows: Iterable[Mapping[Any, Any]]) -> list[dict[str, Any]]:
    """Each row, shown."""
    return [shown(row) for row in rows]


async def may_list(
    broker: Broker, principal: Principal, action: Action, full_name: str | None
) -> None:
    """Return if they may list what is about this repository; only an operator need name none.

    Raises:
        AccessDenied, InvalidInput, NotFound, GitHubError, StorageUnavailable.
    """
    if isinstance(principal, Person) and full_name is None:
        raise AccessDenied(
            "You see what is about a repository that you manage: name one with --repository."
        )
    access.refuse_runs(principal, action)
    if full_name is not None:
        check_full_name(full_name)
    if isinstance(principal, Person) and full_name is not None:
        await access.known(broker, principal, action, full_name)


class PagedList(NamedTuple):
    """A list of what is about repositories: who may see it, whose ids it has, and its rows."""

    action: Action
    kind: Kind
    rows: Callable[..., Sequence[Mapping[Any, Any]]]

    async def read(
        self,
        broker: Broker,
        principal: Principal,
        page: Page,
        wanted: EventFilter | MessageFilter,
    ) -> list[dict[str, Any]]:
        """One page of it, newest first.

        Raises:
            AccessDenied, InvalidInput, NotFound, GitHubError, StorageUnavailable.
        """
        await may_list(broker, principal, self.action, wanted.repository)
        check_page(page, self.kind)
        return all_shown(await broker.database.query(self.rows, page, wanted))


async def may_show(
    broker: Broker, principal: Principal, action: Action, resource: Resource
) -> frozenset[int]:
    """Which ends of this they manage, if that lets them see it; an operator needs to manage none.

    Raises:
        AccessDenied, GitHubError, StorageUnavailable.
    """
    if isinstance(principal, Operator):
        return frozenset()
    ids = {each for each in (resource.provider, resource.consumer) if each is not None}
    known = await broker.database.query(mirror.repositories_by_id, ids)
    managed = await access.manages(broker, principal, known.values())
    decide(principal, action, resource, managed)
    return managed
