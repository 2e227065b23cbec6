"""One envelope for each message of a finished run; without messages, the default event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot import DEFAULT_EVENT_TYPE, Draft, hookimpl
from zekt_bot import every_seen_job_completed as all_completed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from zekt_bot import Job, Message, Run


@hookimpl
def zekt_aggregate(
    run: Run, jobs: Sequence[Job], messages: Sequence[Message], now: datetime
) -> Sequence[Draft] | datetime:
    """Wait for the jobs' webhooks until the grace is over, then make the envelopes.

    What comes after the first aggregation is sent as late messages, at once.
    """
    if run.aggregated_at is not None:
        return [Draft("late_message", message.event_type, message.id) for message in messages]
    if run.gather_until is not None and now < run.gather_until and not all_completed(jobs):
        return run.gather_until
    if not messages:
        return [Draft("event", DEFAULT_EVENT_TYPE)]
    return [Draft("message", message.event_type, message.id) for message in messages]
