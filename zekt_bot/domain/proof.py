"""What a consumer's runs prove about a delivery, and how far a run is from where it began."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from zekt_bot.domain.deliveries import DeliveryState
    from zekt_bot.domain.events import RunFacts

BoundBy = Literal["title", "token", "probable"]
EXACT: tuple[BoundBy, ...] = ("title", "token")
"""What proves; anything else informs."""
Report = Literal["success", "failure"]
"""What a run itself says of the delivery that it came of."""

# What a run may still confirm that names its correlation id alone.
_UNCONFIRMED: frozenset[DeliveryState] = frozenset({"pending", "retrying", "dispatched", "dead"})
_PROVED: frozenset[DeliveryState] = frozenset({"confirmed", "completed", "failed"})

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
    reported: str | None = None

    @property
    def ended(self) -> bool:
        """Whether GitHub or the run itself has said how it ended."""
        return self.status == "completed" or self.reported is not None

    @property
    def ended_well(self) -> bool:
        """Whether neither of them said otherwise."""
        by_github = self.status != "completed" or self.conclusion in _ENDED_WELL
        return by_github and self.reported != "failure"


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
    for run in sorted(runs, key=lambda run: (run.run_id, run.attempt)):
        some = True
        if run.ended:
            ends[run.run_id] = run
    if not all(run.ended_well for run in ends.values()):
        return "failed"
    if ends:
        return "completed"
    return "confirmed" if some else None


def reports(former: str | None, now: Report | None) -> Report | None:
    """What a run's reports come to: one failure stays."""
    if "failure" in {former, now}:
        return "failure"
    return "success" if "success" in {former, now} else None


def meant(found: Mapping[str, DeliveryState], bound: str | None) -> str | tuple[str, ...] | None:
    """Which of these deliveries a run means that names what they have in common.

    `bound` is the one that it is bound to already. Several that may be meant are all answered;
    None: there is none. Ids are ordered by time.
    """
    if bound in found:
        return bound
    waiting = sorted(each for each, state in found.items() if state in _UNCONFIRMED)
    if waiting:
        return waiting[0] if len(waiting) == 1 else tuple(waiting)
    return max((each for each, state in found.items() if state in _PROVED), default=None)


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
