"""Moments come back as they were stored, whatever zone they were given in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select

from tests.db.rows import inbox_row, put_inbox, stored
from tests.strategies import at_length
from zekt_bot.db.tables import inbox
from zekt_bot.db.types import microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database

zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
anywhere = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 - Hypothesis adds the zone
    max_value=datetime(9998, 12, 31),  # noqa: DTZ001
    timezones=zones,
)


def there_and_back(connection: Connection, rows: Sequence[datetime]) -> list[datetime]:
    answers: list[datetime] = []
    for moment in rows:
        connection.execute(delete(inbox))
        connection.execute(insert(inbox), [inbox_row(1, due_at=moment)])
        answers.append(connection.execute(select(inbox.c.due_at)).scalar_one())
    return answers


@settings(max_examples=at_length(50), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(anywhere)
async def test_a_moment_comes_back_exactly_and_in_utc(database: Database, moment: datetime) -> None:
    back = await database.write(there_and_back, moment)
    assert back == moment
    assert back.tzinfo is UTC


async def test_no_moment_comes_back_as_none(database: Database) -> None:
    await put_inbox(database, inbox_row(1, due_at=None))
    (row,) = await stored(database, inbox)
    assert row["due_at"] is None


async def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(Exception, match="without a zone"):
        await put_inbox(database, inbox_row(1, due_at=datetime(2026, 7, 1)))  # noqa: DTZ001
    assert await stored(database, inbox) == []


@given(anywhere, st.integers(-(10**12), 10**12))
def test_microseconds_count_exactly(moment: datetime, step: int) -> None:
    later = moment + timedelta(microseconds=step)
    assert microseconds(later) - microseconds(moment) == step
