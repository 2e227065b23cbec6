"""Whatever a channel answers has its state, its time and its record."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.db.rows import lane
from tests.pipeline.sending import answered
from zekt_bot.db.tables import attempts, audit
from zekt_bot.domain.deliveries import GIVE_UP_AFTER, Outcome, check_outcome

if TYPE_CHECKING:
    from tests.stage import Stage

MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


class _Nowhere(tzinfo):
    """A zone that does not know its offset."""

    def utcoffset(self, moment: datetime | None) -> None: ...

    dst = tzname = utcoffset


async def test_a_channel_that_raises_is_a_retry_that_says_which_error(stage: Stage) -> None:
    row = await answered(stage, ValueError("with a secret"))
    assert (row["state"], row["reason"]) == ("retrying", "no_answer")
    attempt, place = await stage.row(attempts), ("attempts", "error", f"{row['id']}:1")
    error = stage.broker.database.keyring.open(place, attempt["error"])
    assert error == b"The channel raised ValueError."


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome("dispatched", status=204), ("dispatched", None, None)),
        (Outcome("dead", status=422), ("dead", "github_422", None)),
        (Outcome("dead"), ("dead", "no_answer", None)),
        (
            Outcome("blocked", error="installation_gone: 404"),
            ("blocked", "installation_gone", None),
        ),
        (Outcome("blocked", status=404), ("blocked", "github_404", None)),
        (Outcome("blocked", error="w" * 99), ("blocked", "w" * 64, None)),
        (Outcome("app_paused", status=401), ("pending", "github_401", MINUTE)),
    ],
)
async def test_each_kind_of_outcome_has_its_state(
    stage: Stage, outcome: Outcome, expected: tuple[str, str | None, timedelta | None]
) -> None:
    row = await answered(stage, outcome)
    state, reason, wait = expected
    assert (row["state"], row["reason"]) == (state, reason)
    assert row["due_at"] == (wait and stage.clock.now() + wait)
    assert (await stage.row(attempts))["outcome"] == outcome.kind
    assert stage.broker.vitals.figures.attempts == {outcome.kind: 1}
    entry = [one for one in await stage.rows(audit) if one["verb"] == f"zekt:delivery:{state}"][-1]
    told = {"outcome": outcome.kind}
    assert orjson.loads(entry["details"]) == (
        told | {"status": outcome.status} if outcome.status else told
    )


@pytest.mark.parametrize("wait", [timedelta(hours=-1), timedelta(hours=3)])
async def test_a_time_of_githubs_own_goes_first_but_never_into_the_past(
    stage: Stage, wait: timedelta
) -> None:
    now = stage.clock.now()
    row = await answered(stage, Outcome("retry", status=403, not_before=now + wait))
    assert (row["state"], row["due_at"]) == ("retrying", max(now, now + wait))


async def test_no_channel_lets_its_delivery_or_its_lane_wait_for_ever(stage: Stage) -> None:
    now = stage.clock.now()
    never = datetime.max.replace(tzinfo=UTC)
    row = await answered(stage, Outcome("retry", not_before=never, closes_lane=True))
    assert (row["state"], row["due_at"]) == ("retrying", now + GIVE_UP_AFTER)
    assert (await lane(stage.broker.database, row["lane"]))["open_at"] == now + GIVE_UP_AFTER


@pytest.mark.parametrize(
    "senseless",
    [
        None,
        "dispatched",
        Outcome("thrown away"),  # type: ignore[arg-type]
        Outcome("retry", status="500"),  # type: ignore[arg-type]
        Outcome("retry", error=b"bytes"),  # type: ignore[arg-type]
        Outcome("retry", not_before=datetime.fromisoformat("2026-07-01T12:00:00")),
        Outcome("retry", closes_lane=True),
        Outcome("retry", at_most_a_minute=0),
    ],
)
async def test_a_senseless_answer_is_a_retry_and_counts(stage: Stage, senseless: Outcome) -> None:
    row = await answered(stage, senseless)
    assert (row["state"], row["attempts"]) == ("retrying", 1)


@pytest.mark.parametrize(
    "senseless",
    [
        Outcome("dispatched", status=10**12),
        Outcome("dispatched", error=b"bytes"),  # type: ignore[arg-type]
        Outcome("dispatched", not_before=NOW.replace(tzinfo=_Nowhere())),
        Outcome("dispatched", not_before=datetime.max.replace(tzinfo=timezone(-MINUTE))),
        Outcome("dispatched", renamed_to=""),
        Outcome("dispatched", renamed_to="kestrel-bank/a/b"),
        Outcome("dispatched", at_most_a_minute=0),
        Outcome("dispatched", at_most_a_minute=math.nan),
    ],
)
async def test_what_has_arrived_is_not_sent_again_for_what_else_was_said(
    stage: Stage, senseless: Outcome
) -> None:
    row = await answered(stage, senseless)
    assert (row["state"], row["attempts"]) == ("dispatched", 1)


@given(st.text(max_size=2000), st.text(max_size=2000))
def test_any_text_of_a_channel_can_be_stored(error: str, request_id: str) -> None:
    outcome = check_outcome(Outcome("retry", error=error, request_id=request_id), NOW)
    for text, most in ((outcome.error, 1000), (outcome.request_id, 100)):
        assert text is not None
        assert len(text) <= most
        assert "\0" not in text.encode().decode()


class _Word(str):
    """A plugin's own kind of text."""

    __slots__ = ()


@pytest.mark.parametrize("name", ["request_id", "error", "renamed_to"])
def test_a_text_of_a_channels_own_kind_becomes_plain(name: str) -> None:
    told = Outcome("retry", **{name: _Word("a/word")})  # type: ignore[arg-type]
    outcome = check_outcome(told, NOW)
    assert type(getattr(outcome, name)) is str
    assert outcome == Outcome("retry", **{name: "a/word"})  # type: ignore[arg-type]


async def test_what_no_database_takes_is_stored_all_the_same(stage: Stage) -> None:
    row = await answered(stage, Outcome("retry", error="a\udcff\0", request_id="b\udcff\0"))
    assert row["state"] == "retrying"
    assert (await stage.row(attempts))["request_id"] == "b??"
