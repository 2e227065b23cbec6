"""What is kept of some of an account's repositories, in pages, oldest first: for its people.

What was another account's when it happened is that account's, whoever owns the repository now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import literal, select, tuple_

from zekt_bot.db.lists.deliveries import with_names
from zekt_bot.db.lists.parts import read
from zekt_bot.db.sql import one_of
from zekt_bot.db.tables import deliveries, messages, runs

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection, RowMapping, Select

PAGE = 500


@dataclass(frozen=True, slots=True)
class Whose:
    """An account's repositories, by id."""

    account_id: int
    repositories: tuple[int, ...]


def events(connection: Connection, whose: Whose, after: RowMapping | None) -> list[RowMapping]:
    """Finished runs of the first of these repositories, by when they were first heard of."""
    wanted = select(runs, runs.c.received_at.label("at")).where(
        *_ran(whose), runs.c.state != "open"
    )
    return _page(connection, wanted, (runs.c.received_at, runs.c.id), after)


def told(connection: Connection, whose: Whose, after: RowMapping | None) -> list[RowMapping]:
    """Messages of its runs with their sealed bodies, in the order of the runs."""
    more = (runs.c.repository_id, runs.c.correlation_id, runs.c.received_at.label("at"))
    joined = select(messages, *more).join(runs, runs.c.id == messages.c.run)
    return _page(connection, joined.where(*_ran(whose)), (runs.c.received_at, messages.c.id), after)


def _ran(whose: Whose) -> tuple[Any, ...]:
    return runs.c.repository_id == whose.repositories[0], runs.c.account_id == whose.account_id


def sent(connection: Connection, whose: Whose, after: RowMapping | None) -> list[RowMapping]:
    """Deliveries from these repositories, by when they were made."""
    own = deliveries.c.provider_account_id == whose.account_id
    wanted = _deliveries(whose).where(own, one_of(runs.c.repository_id, "ids"))
    return _page(connection, wanted, (deliveries.c.created_at, deliveries.c.id), after)


def received(connection: Connection, whose: Whose, after: RowMapping | None) -> list[RowMapping]:
    """Deliveries to these repositories, by when they were made."""
    own = deliveries.c.consumer_account_id == whose.account_id
    wanted = _deliveries(whose).where(own, one_of(deliveries.c.target_repository_id, "ids"))
    return _page(connection, wanted, (deliveries.c.created_at, deliveries.c.id), after)


def _deliveries(whose: Whose) -> Select[Any]:
    at = deliveries.c.created_at.label("at")
    return with_names().add_columns(at).params(ids=whose.repositories)


def _page(
    connection: Connection,
    wanted: Select[Any],
    order: tuple[Column[Any], Column[Any]],
    after: RowMapping | None,
) -> list[RowMapping]:
    """The next after the row `after`, by time and id: an index leads to the time."""
    if after is not None:
        last = (literal(after["at"], order[0].type), literal(after["id"], order[1].type))
        wanted = wanted.where(order[0] >= last[0], tuple_(*order) > tuple_(*last))
    return read(connection, wanted.order_by(*order).limit(PAGE))
