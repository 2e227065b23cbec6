"""The plugin contract of Zekt (pluggy project `zekt`).

A *register* hook is called once at start. A *decide* hook is pure and works on plain values,
before a write begins: an exception fails that row only, and closed. An *advise* hook is pure and
may run after GitHub acted: on an error the built-in's answer stands. Both must return within
100 ms. An *observe* hook is a coroutine, called after a commit, at most once. No hook runs while
a transaction is open.
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
    from zekt_bot.domain.messages import Accepted, IncomingMessage, MessagePolicy, Refusal
    from zekt_bot.domain.webhooks import GitHubEvent

PROJECT = "zekt"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class ApiResponse(Protocol):
    """An HTTP answer of GitHub's API; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ReadApi(Protocol):
    """GitHub's API, read-only, with an installation's narrow token.

    Every call raises `zekt_bot.GitHubUnreachable` when no answer comes, and what minting a token
    may raise: `AppRejected`, `InstallationGone`, `InstallationSuspended`,
    `RepositoryNotGranted`, `GitHubAnswered`. Redirects are never followed.
    """

    async def get(self, path: str) -> ApiResponse:
        """GET a path below the API's base, with a token that may only read."""
        ...

    async def installation(self) -> ApiResponse:
        """GET this installation as the App itself (`/app/installations/ID`)."""
        ...

    def now(self) -> datetime:
        """The present moment."""
        ...


class InstallationApi(ReadApi, Protocol):
    """GitHub's API with the narrow tokens of the consumer's installation."""

    async def post(self, path: str, body: bytes, *, fresh_token: bool = False) -> ApiResponse:
        """POST JSON to a path below the API's base; `fresh_token` mints a new token first."""
        ...


class ChannelApi(InstallationApi, Protocol):
    """What a channel is handed: the consumer's installation at GitHub, and the world outside.

    Right before each `post` and `request`, if a fact has moved, the policy is asked again; both
    raise `zekt_bot.Withheld` if it refuses by now. Let that pass.
    """

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> ApiResponse:
        """Send a request to an address outside GitHub, with these headers and no others of ours.

        No redirect is followed, and no proxy of the environment used; it takes at most 20 seconds.

        Raises `zekt_bot.RequestFailed` when no whole answer comes, and its `AddressRefused` for an
        address that is not one of the public internet's, unless ZEKT_CHANNEL_ALLOWED_NETS has it.
        """
        ...


class Channel(Protocol):
    """A way to deliver. `name` is 1 to 64 of `[a-z0-9_]` and begins with a letter."""

    name: str

    def check(self, settings: Mapping[str, str]) -> str | None:
        """Say whether these settings of a subscription are right, and what shares one pace.

        The answer is the host that the deliveries go to, or None if they go to GitHub. A
        ValueError says what is wrong with the settings; its text is shown to whoever gave them.
        """
        ...

    async def send(self, request: DispatchRequest, client: ChannelApi) -> Outcome:
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

    @hookspec
    def zekt_github_events(self) -> Sequence[str]:  # type: ignore[empty-body]
        """Name the events of GitHub that `zekt_github_event` of this plugin wants to hear of.

        Kind: register. When: once, at start. `zekt plugins` warns of an event that `app.yml` does
        not subscribe to: GitHub does not send it.

        Example::

            @hookimpl
            def zekt_github_events():
                return ["workflow_run"]
        """

    @hookspec
    def zekt_accept_message(
        self, message: IncomingMessage, policy: MessagePolicy
    ) -> bytes | Accepted | Refusal | None:
        """Change or refuse a run's message before it is stored.

        Kind: decide. When: a message came in and is JSON. The answer is other JSON bytes, which the
        next plugin sees, an `Accepted` if the sender is to be told what was taken out, a `Refusal`,
        or None to take it as it is. The same message sent again is known by the bytes as they came.

        Example::

            @hookimpl
            def zekt_accept_message(message):
                if len(message.body) > 10_000:
                    return Refusal("too_long")
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
        before every POST. Any reason (a machine word) blocks; the first one stands.

        Example::

            @hookimpl
            def zekt_block_reason(subject, facts):
                if isinstance(subject, Run) and subject.facts.head_branch == "wip":
                    return "work_in_progress"
        """

    @hookspec
    def zekt_transform(
        self, payload: bytes, envelope: Envelope, delivery: Delivery
    ) -> bytes | None:
        """Change a message's JSON as it goes to one consumer.

        Kind: decide. When: a delivery with a message is rendered, before every POST. The answer is
        other JSON bytes, which the next plugin sees, or None. What was changed and does not fit
        into GitHub's limit makes the delivery dead: `too_large`.

        Example::

            @hookimpl
            def zekt_transform(payload):
                return payload.replace(b"@corp.example", b"@example.com")
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

    @hookspec
    async def zekt_github_event(self, event: GitHubEvent, client: ReadApi | None) -> None:
        """Hear of a webhook of GitHub, once Zekt has done its own work with it.

        Kind: observe. When: after the commit; only events that `zekt_github_events` of this plugin
        names. `client` reads with the token of the event's installation, None if it has none.

        Example::

            @hookimpl
            async def zekt_github_event(event, client):
                if event.name == "workflow_run" and client is not None:
                    await client.get(f"/repositories/{event.repository_id}")
        """

    @hookspec
    async def zekt_audited(self, entry: Entry) -> None:
        """Hear of an audit entry.

        Kind: observe. When: after the commit, in the process that wrote it.

        Example::

            @hookimpl
            async def zekt_audited(entry):
                if entry.verb == "zekt:delivery:dead":
                    print("dead:", entry.delivery_id)
        """
