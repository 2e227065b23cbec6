"""A webhook, who vouches for it, and the answer to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from zekt_bot.domain.events import RunKey

WebhookApp = Literal["orchestrator", "oauth"]


@dataclass(frozen=True, slots=True)
class Webhook:
    """What an event tells, whoever vouches for it. `malformed`: what the body lacks, if anything.

    Ids that are missing or absurd (not 1 to 2⁶³-1) are None.
    """

    app: WebhookApp
    guid: str
    event: str
    action: str | None
    installation_id: int | None
    account_id: int | None
    account_login: str | None
    repository_id: int | None
    run_key: RunKey | None
    run_event: str | None
    malformed: str | None
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifiedWebhook(Webhook):
    """One of the App's secrets signed its body. Only `pipeline.verify.read` makes one."""


@dataclass(frozen=True, slots=True)
class FromGitHubApi(Webhook):
    """Nobody signed it: GitHub gave it to the App that asked for what it had sent.

    Only `pipeline.verify.from_api` makes one.
    """


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a verified webhook. `ignored`: why nothing was stored.

    `requeued`: it is a duplicate, and it or the run that it tells of was set aside: that is tried
    again.
    """

    duplicate: bool = False
    ignored: str | None = None
    requeued: bool = False


@dataclass(frozen=True, slots=True)
class GitHubEvent:
    """A webhook of the orchestration App as observers hear of it.

    `delivery` is GitHub's `X-GitHub-Delivery`, verbatim; `payload` is the webhook's JSON, a copy of
    the plugin's own. Ids that are missing or absurd are None.
    """

    name: str
    action: str | None
    delivery: str
    installation_id: int | None
    repository_id: int | None
    received_at: datetime
    payload: dict[str, Any] = field(repr=False)
