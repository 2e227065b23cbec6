"""Hypothesis strategies for the domain's values."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import settings
from hypothesis import strategies as st

from zekt_bot.domain.audit import Entry
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.lanes import Pace


def at_length(examples: int) -> int:
    """So many examples for a test that costs more than others, ten times as many at length."""
    return examples * 10 if settings.get_current_profile_name() == "long" else examples


moments = st.datetimes(
    min_value=datetime.fromisoformat("2020-01-01"),
    max_value=datetime.fromisoformat("2100-01-01"),
    timezones=st.just(UTC),
)
machine_words = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:@/+-", max_size=64
)
big_integers = st.integers(min_value=-(2**63), max_value=2**63 - 1)
audit_details = st.dictionaries(machine_words, machine_words | big_integers, max_size=16)
verbs = st.from_regex(r"[a-z_]{1,9}:[a-z_]{1,9}:[a-z_]{1,9}", fullmatch=True)
_parts = st.from_regex(r"[0-9a-z]{26}", fullmatch=True)
entries = st.builds(
    Entry,
    verb=verbs,
    actor=machine_words,
    correlation_id=st.none() | _parts.map(lambda part: f"cor_{part}"),
    delivery_id=st.none() | _parts.map(lambda part: f"dlv_{part}"),
    account_id=st.none() | st.integers(1, 2**63 - 1),
    repository_id=st.none() | st.integers(1, 2**63 - 1),
    details=audit_details,
)
run_keys = st.builds(
    RunKey, st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1), st.integers(1, 1000)
)
paces = st.builds(
    Pace,
    per_minute=st.integers(1, 6000),
    burst=st.integers(1, 100),
    in_flight=st.integers(1, 20),
)
