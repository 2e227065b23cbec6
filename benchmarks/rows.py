"""The rows of providers, consumers, subscriptions and what was sent, as their tables hold them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.db.rows import profile_columns
from zekt_bot.domain.catalog import Conditions, Profile
from zekt_bot.domain.events import DEFAULT_EVENT_TYPE
from zekt_bot.domain.ids import new_correlation_id, new_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from zekt_bot.operations.broker import Broker

WORKFLOW = ".github/workflows/release.yml"
EVENT_TYPE = "released"  # of messages
PROVIDER_ACCOUNT, PROVIDER_INSTALLATION = 41_000_001, 51_000_001
REPOSITORY, CONSUMER = 61_000_000, 71_000_000  # the first of each


def lane_name(number: int) -> str:
    """The lane of the consumer of that number."""
    return f"github:{CONSUMER + number}"


def provider_name(number: int) -> str:
    """OWNER/REPO of the provider's repository of that number."""
    return f"bench-provider/repository-{number:06}"


def consumer_name(number: int) -> str:
    """OWNER/REPO of the consumer of that number."""
    return f"bench-consumer-{number}/deploy"


def service_id(number: int) -> str:
    """The id of the service of that number."""
    return f"svc_{number:026}"


def account(number: int, login: str, now: datetime) -> dict[str, Any]:
    """An account that anybody may find."""
    return {
        "id": number,
        "login": login,
        "login_lower": login,
        "kind": "Organization",
        "listed": True,
        "updated_at": now,
    }


def installation(number: int, account: int, now: datetime) -> dict[str, Any]:
    """An active installation of the App, on all repositories."""
    return {
        "app": "orchestrator",
        "id": number,
        "account_id": account,
        "state": "active",
        "repository_selection": "all",
        "permissions": '{"actions": "read", "contents": "write", "metadata": "read"}',
        "version": 1,
        "updated_at": now,
    }


def repository(number: int, now: datetime) -> dict[str, Any]:
    """A provider's repository, by its number."""
    return _named(provider_name(number)) | {
        "id": REPOSITORY + number,
        "account_id": PROVIDER_ACCOUNT,
        "installation_id": PROVIDER_INSTALLATION,
        "private": True,
        "archived": False,
        "provider_enabled_at": now,
        "consumer_enabled_at": None,
        "version": 1,
        "updated_at": now,
    }


def consumer(number: int, now: datetime) -> dict[str, Any]:
    """The repository of the consumer of that number."""
    return _named(consumer_name(number)) | {
        "id": CONSUMER + number,
        "account_id": CONSUMER + number,
        "installation_id": CONSUMER + number,
        "private": True,
        "archived": False,
        "provider_enabled_at": None,
        "consumer_enabled_at": now,
        "version": 1,
        "updated_at": now,
    }


def _named(name: str) -> dict[str, Any]:
    return {"full_name": name, "full_name_lower": name}


def allowed(repository: int, now: datetime) -> dict[str, Any]:
    """The provider's workflow, allowed with the default conditions."""
    conditions = Conditions()
    return {
        "repository_id": repository,
        "path": WORKFLOW,
        "branches": "[]",
        "events": "[]",
        "conclusions": json.dumps(conditions.conclusions),
        "forks": False,
        "created_at": now,
    }


def service(number: int, now: datetime) -> dict[str, Any]:
    """A published service of the repository of that number."""
    profile = Profile(title="Releases", event_types=(DEFAULT_EVENT_TYPE, EVENT_TYPE))
    return profile_columns(profile) | {
        "id": service_id(number),
        "account_id": PROVIDER_ACCOUNT,
        "repository_id": REPOSITORY + number,
        "workflow_path": WORKFLOW,
        "slug": f"release-{number:06}",
        "published_at": now,
        "version": 1,
        "created_at": now,
    }


def subscription(service: int, number: int, now: datetime) -> dict[str, Any]:
    """The approved subscription of the consumer of that number."""
    return {
        "id": f"sub_{number:026}",
        "service_id": service_id(service),
        "repository_id": CONSUMER + number,
        "channel": "repository_dispatch",
        "event_types": '["*"]',
        "filters": "{}",
        "state": "approved",
        "created_at": now,
        "version": 1,
    }


def run(provider: int, number: int, now: datetime) -> dict[str, Any]:
    """A run of the repository of that number, whose event has been made."""
    return {
        "id": new_id("run", now),
        "repository_id": REPOSITORY + provider,
        "run_id": 1 + number,
        "run_attempt": 1,
        "account_id": PROVIDER_ACCOUNT,
        "correlation_id": new_correlation_id(),
        "state": "done",
        "version": 3,
        "workflow_path": WORKFLOW,
        "workflow_name": "Release",
        "run_number": number,
        "event": "push",
        "status": "completed",
        "conclusion": "success",
        "head_branch": "main",
        "head_sha": "0" * 40,
        "head_repository_id": REPOSITORY + provider,
        "html_url": f"https://github.com/bench-provider/r/actions/runs/{number}",
        "actor": "mona",
        "display_title": "Release",
        "created_at": now,
        "started_at": now,
        "completed_at": now,
        "received_at": now,
        "aggregated_at": now,
        "failures": 0,
        "hops": 0,
    }


def envelope(broker: Broker, run: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a run, which was fanned out."""
    own = new_id("evt", broker.now())
    body = orjson.dumps(
        {
            "sourceRepo": "bench-provider/repository-000001",
            "workflow": {
                "name": "Release",
                "path": WORKFLOW,
                "runId": run["run_id"],
                "runAttempt": 1,
                "runNumber": run["run_number"],
                "event": "push",
                "conclusion": "success",
                "headBranch": "main",
                "headSha": "0" * 40,
                "htmlUrl": run["html_url"],
                "actor": "mona",
                "startedAt": "2026-01-01T00:00:00Z",
                "completedAt": "2026-01-01T00:01:00Z",
            },
            "jobs": [
                {
                    "name": f"job {n}",
                    "conclusion": "success",
                    "startedAt": "2026-01-01T00:00:00Z",
                    "completedAt": "2026-01-01T00:01:00Z",
                }
                for n in range(3)
            ],
        }
    )
    return {
        "id": own,
        "run": run["id"],
        "account_id": PROVIDER_ACCOUNT,
        "kind": "event",
        "event_type": "zekt-workflow-completed",
        "message": None,
        "body": broker.database.keyring.seal(("envelopes", "body", own), body),
        "version": 2,
        "fanned_out_to": "",
        "filtered": 0,
        "failures": 0,
        "created_at": broker.now(),
    }


def delivery(
    envelope: Mapping[str, Any], service: int, number: int, now: datetime
) -> dict[str, Any]:
    """The event for the consumer of that number, due since a second."""
    consumer = CONSUMER + number
    return {
        "id": new_id("dlv", now),
        "envelope": envelope["id"],
        "cause_kind": "subscription",
        "cause_id": f"sub_{number:026}",
        "replay_no": 0,
        "target_repository_id": consumer,
        "channel": "repository_dispatch",
        "lane": lane_name(number),
        "service_id": service_id(service),
        "provider_account_id": PROVIDER_ACCOUNT,
        "consumer_account_id": consumer,
        "state": "pending",
        "attempts": 0,
        "failures": 0,
        "created_at": now,
        "updated_at": now,
        "due_at": now - timedelta(seconds=1),
    }
