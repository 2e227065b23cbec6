"""A finished run, its jobs and messages, and the envelopes made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

DEFAULT_EVENT_TYPE = "zekt-workflow-completed"

EnvelopeKind = Literal["event", "message", "late_message"]
RunState = Literal["open", "gathering", "done", "set_aside"]


class RunKey(NamedTuple):
    """One attempt of one workflow run: internal and unique, never on the wire."""

    repository_id: int
    run_id: int
    run_attempt: int


@dataclass(frozen=True, slots=True)
class RunFacts:
    """GitHub's metadata of a run, as its `workflow_run` webhook tells it."""

    workflow_path: str
    workflow_name: str
    run_number: int
    event: str
    status: str
    conclusion: str | None
    head_branch: str | None
    head_sha: str
    head_repository_id: int | None
    html_url: str
    actor: str | None
    display_title: str
    created_at: datetime
    started_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a run, as its `workflow_job` webhook tells it."""

    job_id: int
    name: str
    status: str
    conclusion: str | None
    started_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Run:
    """A run as Zekt holds it. `facts` is None until a `workflow_run` webhook came.

    `recovered_at`: when its end was read from GitHub, because the webhook was missed.
    `hops`: how many deliveries led to it. `bound_by` says how it is known which one did last.
    """

    id: str
    key: RunKey
    correlation_id: str
    state: RunState
    version: int
    hops: int
    facts: RunFacts | None
    gather_until: datetime | None = None
    aggregated_at: datetime | None = None
    recovered_at: datetime | None = None
    blocked_reason: str | None = None
    caused_by_delivery_id: str | None = None
    bound_by: str | None = None

    @property
    def from_fork(self) -> bool:
        """Whether the code that ran is another repository's, or nobody knows whose."""
        return self.facts is None or self.facts.head_repository_id != self.key.repository_id

    def was_over(self, at: datetime) -> bool:
        """Whether at that moment it had gone on, or was blocked, and nothing was left to do."""
        since = self.aggregated_at or self.gather_until
        return self.state == "done" and since is not None and since < at


@dataclass(frozen=True, slots=True)
class Message:
    """What a run posted beside its event; the body stays in the database until it is sent.

    `shield`: the form of the Shield envelope that it is; None: it is in clear.
    """

    id: str
    run_id: str
    envelope_id: str
    event_type: str
    sha256: str
    size: int
    created_at: datetime
    shield: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """An envelope that aggregation wants: at most one message."""

    kind: EnvelopeKind
    event_type: str
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event and at most one message, ready to be matched and sent."""

    id: str
    run_id: str
    kind: EnvelopeKind
    event_type: str
    message_id: str | None
    version: int
    fanned_out_to: str
    created_at: datetime
    blocked_reason: str | None = None


class Blocked(NamedTuple):
    """Why the policy keeps a run, an envelope or a delivery back, and the plugin that says so."""

    reason: str
    plugin: str


@dataclass(frozen=True, slots=True)
class AggregationPolicy:
    """What the operator set about aggregation."""

    job_grace_seconds: float


def every_seen_job_completed(jobs: Sequence[Job]) -> bool:
    """Whether at least one job was seen and none of those seen still runs."""
    return bool(jobs) and all(job.status == "completed" for job in jobs)
