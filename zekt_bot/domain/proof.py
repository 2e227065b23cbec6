"""What a consumer's runs prove about a delivery, and how far a run is from where it began."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zekt_bot.domain.deliveries import DeliveryState
    from zekt_bot.domain.events import RunFacts

BoundBy = Literal["title", "probable"]
EXACT: tuple[BoundBy, ...] = ("title",)
"""What proves; anything else informs."""

PROBABLE_WITHIN = timedelta(minutes=2)
HOPS_WITHIN = timedelta(minutes=10)
REACTS_WITHIN = timedelta(minutes=10)
# GitHub tells whole seconds, a POST may answer 20 s after it acted, and its clock is another: one
# behind by more would hide the very delivery that led to a run. Too much counts too many hops only.
LEEWAY = timedelta(minutes=2)

_DISPATCHED = "repository_dispatch"
_DELIVERY_ID = re.compile(r"dlv_[0-9a-z]{26}")
_ENDED_WELL = frozenset({"success", "neutral", "skipped"})


class BoundRun(NamedTuple):
    """One attempt of a run that is bound to a delivery for certain."""

    run_id: int
    attempt: int
    status: str | None
    conclusion: str | None


def named_in(facts: RunFacts) -> tuple[str, ...]:
    """The delivery ids in a dispatched run's title: `run-name` put them there.

    Of any other run the title is somebody's commit message, which proves nothing.
    """
    if facts.event != _DISPATCHED:
        return ()
    return tuple(dict.fromkeys(_DELIVERY_ID.findall(facts.display_title)))


def verdict(runs: Iterable[BoundRun]) -> DeliveryState | None:
    """What these runs say of their delivery, in whatever order their news came.

    Of each run its newest ended attempt counts: if one of these ended badly it failed, else with
    one that ended it is completed, else it is confirmed. None: there are no runs.
    """
    ends: dict[int, BoundRun] = {}
    some = False
    for run in sorted(runs):
        some = True
        if run.status == "completed":
            ends[run.run_id] = run
    if any(run.conclusion not in _ENDED_WELL for run in ends.values()):
        return "failed"
    if ends:
        return "completed"
    return "confirmed" if some else None


class Sent(NamedTuple):
    """What was sent to a repository lately: the most hops of this type and of any, None if none.

    `probable` are deliveries of this type in the last two minutes, at most two of them.
    """

    of_type: int | None = None
    of_any: int | None = None
    probable: tuple[str, ...] = ()


def hops_after(sent: Sent) -> int:
    """How far from its beginning a dispatched run is of which nobody knows what caused it."""
    most = sent.of_any if sent.of_type is None else sent.of_type
    return 0 if most is None else most + 1
