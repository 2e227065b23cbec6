"""Values that tests need whole, though they look at a part."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from zekt_bot.domain.catalog import Profile, Repository, Service
from zekt_bot.domain.events import RunFacts
from zekt_bot.domain.subscriptions import Filters, Subscription

_NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
_RAN = RunFacts(
    workflow_path=".github/workflows/release.yml",
    workflow_name="Release",
    run_number=1,
    event="push",
    status="completed",
    conclusion="success",
    head_branch="main",
    head_sha="0" * 40,
    head_repository_id=1,
    html_url="https://github.com/octo/r1/actions/runs/10",
    actor="mona",
    display_title="Release",
    created_at=_NOW,
    started_at=_NOW,
    completed_at=_NOW,
)


def ran(**changes: Any) -> RunFacts:
    """A push to main of repository 1 that succeeded, but for `changes`."""
    return replace(_RAN, **changes)


def repository(number: int = 1, **changes: Any) -> Repository:
    """Repository octo/rN of account 5: installed, provider and consumer, but for `changes`."""
    whole = Repository(
        id=number,
        full_name=f"octo/r{number}",
        account_id=5,
        installation_id=77,
        installation_state="active",
        private=False,
        archived=False,
        provider=True,
        consumer=True,
        blocked=False,
        version=1,
    )
    return replace(whole, **changes)


def service(*event_types: str, **changes: Any) -> Service:
    """octo/release, published, of repository 1; it may send `event_types`. But for `changes`."""
    whole = Service(
        id="svc_1",
        account_id=5,
        owner="octo",
        slug="release",
        repository_id=1,
        workflow_path=_RAN.workflow_path,
        published=True,
        rests=None,
        profile=Profile(event_types=event_types),
        version=1,
    )
    return replace(whole, **changes)


def subscription(*event_types: str, **changes: Any) -> Subscription:
    """Repository 2's approved subscription to `service`, which accepts `event_types`."""
    whole = Subscription(
        id="sub_1",
        service_id="svc_1",
        repository_id=2,
        channel="repository_dispatch",
        state="approved",
        event_types=event_types,
        filters=Filters(),
        paused=False,
        lane=None,
        version=1,
    )
    return replace(whole, **changes)
