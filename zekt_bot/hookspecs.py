"""The plugin contract of Zekt (pluggy project `zekt`).

A *register* hook is called once at start. A *decide* hook is pure and works on plain values,
before a write begins: an exception fails that row only, and closed. An *advise* hook is pure and
may run after GitHub acted: on an error the built-in's answer stands. No hook runs while a
transaction is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.deliveries import (
        Attempt,
        Delivery,
        DeliveryPolicyFacts,
        DispatchRequest,
        EnvelopePolicyFacts,
        Outcome,
        RunPolicyFacts,
    )
    from zekt_bot.domain.events import (
        AggregationPolicy,
        Draft,
        Envelope,
        Job,
        Message,
        Run,
    )

PROJECT = "zekt"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class ApiResponse(Protocol):
    """An HTTP answer of GitHub's API; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class InstallationApi(Protocol):
    """What a channel is handed: GitHub's API with the consumer installation's narrow token.

    Both calls raise `zekt_bot.GitHubUnreachable` when no answer comes, and what minting a token
    may raise: `AppRejected`, `InstallationGone`, `InstallationSuspended`,
    `RepositoryNotGranted`, `GitHubAnswered`. Redirects are never followed.
    """

    async def post(self, path: str, body: bytes, *, fresh_token: bool = False) -> ApiResponse:
        """POST JSON to a path below the API's base; `fresh_token` mints a new token first."""
        ...

    async def get(self, path: str) -> ApiResponse:
        """GET a path with a token that may only read."""
        ...

    async def installation(self) -> ApiResponse:
        """GET this installation as the App itself (`/app/installations/ID`)."""
        ...

    def now(self) -> datetime:
        """The present moment."""
        ...


class Channel(Protocol):
    """A way to deliver."""

    name: str

    async def send(self, request: DispatchRequest, client: InstallationApi) -> Outcome:
        """Send once and say what became of it. Any exception counts as `retry`."""
        ...


class ZektSpec:
    """Every hook. An implementation may take fewer arguments than are named here."""

    @hookspec
    def zekt_channels(self) -> Sequence[Channel]:  # type: ignore[empty-body]
        """Register ways to deliver.

        Kind: register. When: once, at start; all answers are collected, and a name taken twice
        stops the start.

        Example::

            @hookimpl
            def zekt_channels():
                return [MyChannel()]
        """

    @hookspec(firstresult=True)
    def zekt_aggregate(
        self,
        run: Run,
        jobs: Sequence[Job],
        messages: Sequence[Message],
        now: datetime,
        policy: AggregationPolicy,
    ) -> Sequence[Draft] | datetime | None:
        """Make envelopes of a finished run, or say until when to wait for more.

        Kind: decide. When: a run has completed, and whenever something new of it came in.
        `messages` are those that stand in no envelope yet; each must stand in exactly one draft.
        An answer of None leaves the run to the next plugin.

        Example::

            @hookimpl
            def zekt_aggregate(run, messages):
                if run.facts.conclusion == "skipped" and not messages:
                    return []
        """

    @hookspec
    def zekt_block_reason(
        self,
        subject: Run | Envelope | Delivery,
        facts: RunPolicyFacts | EnvelopePolicyFacts | DeliveryPolicyFacts,
    ) -> str | None:
        """Say why this may not go on, or None.

        Kind: decide. When: a run is aggregated, an envelope matched, a delivery made, and again
        before every POST. All answers are collected; any reason (a machine word) blocks.

        Example::

            @hookimpl
            def zekt_block_reason(subject, facts):
                if isinstance(subject, Run) and subject.facts.head_branch == "wip":
                    return "work_in_progress"
        """

    @hookspec(firstresult=True)
    def zekt_retry_delay(self, attempt: Attempt) -> timedelta | None:
        """Say how long to wait before the next attempt.

        Kind: advise. When: an attempt ended in `retry` without a time of GitHub's own. A negative
        time, or more than 96 hours, is senseless; the built-in's answer stands then. None leaves
        it to the next plugin; if all abstain the delivery is dead.

        Example::

            @hookimpl
            def zekt_retry_delay(attempt):
                if attempt.age < timedelta(hours=1):
                    return timedelta(seconds=10 * attempt.n)
        """

    @hookspec
    def zekt_audit_details(self, entry: Entry) -> Mapping[str, str | int] | None:
        """Add details to an audit entry: machine words of at most 64 characters, or integers.

        Kind: advise. When: an entry is about to be written; all answers are merged, at most 16.

        Example::

            @hookimpl
            def zekt_audit_details(entry):
                return {"site": "eu-1"}
        """
