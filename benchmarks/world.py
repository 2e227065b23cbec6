"""Providers, consumers, subscriptions and backlogs, written as rows; and GitHub's webhooks."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.served import SECRET
from zekt_bot.clock import SystemClock
from zekt_bot.db import tables
from zekt_bot.db.database import Database
from zekt_bot.db.rows import profile_columns
from zekt_bot.db.sql import insert_new
from zekt_bot.domain.catalog import Conditions, Profile
from zekt_bot.domain.ids import new_correlation_id, new_id
from zekt_bot.testing import GitHubSimulator
from zekt_bot.testing.webhooks import sign

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Table

    from zekt_bot import config
    from zekt_bot.operations.broker import Broker

WORKFLOW = ".github/workflows/release.yml"
PROVIDER_ACCOUNT, PROVIDER_INSTALLATION = 41_000_001, 51_000_001
_REPOSITORY, _CONSUMER, _RUN = 61_000_000, 71_000_000, 10_000_000_000
_PAGE = 5_000
_NUMBERS = count()  # of runs, each once in this process


@cache
def _key() -> str:
    made = rsa.generate_private_key(65537, 2048)
    return made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def environ(database_url: str, github_port: int = 9, **more: str) -> dict[str, str]:
    """The settings of a server whose GitHub is the sink on that port."""
    return {
        "DATABASE_URL": database_url,
        "PORT": "0",
        "ZEKT_HOST": "127.0.0.1",
        "ZEKT_SECRET_KEY": "a key of the benchmarks that is long enough",
        "ZEKT_GITHUB_API_URL": f"http://127.0.0.1:{github_port}",
        "ZEKT_ORCHESTRATOR_APP_ID": "4711",
        "ZEKT_ORCHESTRATOR_PRIVATE_KEY": _key(),
        "ZEKT_ORCHESTRATOR_WEBHOOK_SECRET": SECRET,
        "ZEKT_JOB_GRACE": "0",
        "LOG_FORMAT": "json",
        **more,
    }


async def migrated(settings: config.Settings) -> None:
    """Make the tables."""
    database = Database(settings, SystemClock())
    await database.migrate()
    await database.close()


async def insert_rows(broker: Broker, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write many rows of one table, all with the same columns; those that are there stay."""

    def write(connection: Connection, pages: Sequence[Any]) -> list[None]:
        for page in pages:
            insert_new(connection, table, page)
        return [None] * len(pages)

    for start in range(0, len(rows), _PAGE):
        await broker.database.write(write, list(rows[start : start + _PAGE]))


@dataclass(frozen=True)
class World:
    """`services` of one account's repositories, each with so many `subscribers` of their own.

    Every subscriber has an installation, thus a lane, of its own.
    """

    services: int
    subscribers: int

    @property
    def lanes(self) -> int:
        """How many lanes its deliveries have."""
        return self.services * self.subscribers

    def subscription(self, service: int, number: int) -> str:
        """The id of a service's subscription."""
        return f"sub_{service * self.subscribers + number:026}"

    async def settle(self, broker: Broker) -> None:
        """Write accounts, installations, repositories, allow-list, services, subscriptions."""
        now = broker.now()
        consumers = range(self.lanes)
        await insert_rows(
            broker,
            tables.accounts,
            [
                _account(PROVIDER_ACCOUNT, "bench-provider", now),
                *(_account(_CONSUMER + n, f"bench-consumer-{n}", now) for n in consumers),
            ],
        )
        await insert_rows(
            broker,
            tables.installations,
            [
                _installation(PROVIDER_INSTALLATION, PROVIDER_ACCOUNT, now),
                *(_installation(_CONSUMER + n, _CONSUMER + n, now) for n in consumers),
            ],
        )
        await insert_rows(
            broker,
            tables.repositories,
            [
                *(_repository(n, now) for n in range(self.services)),
                *(_consumer(n, now) for n in consumers),
            ],
        )
        await insert_rows(
            broker,
            tables.allowed_workflows,
            [_allowed(_REPOSITORY + n, now) for n in range(self.services)],
        )
        await insert_rows(broker, tables.services, [_service(n, now) for n in range(self.services)])
        await insert_rows(
            broker,
            tables.subscriptions,
            [
                _subscription(self.subscription(n, k), n, n * self.subscribers + k, now)
                for n in range(self.services)
                for k in range(self.subscribers)
            ],
        )

    async def backlog(self, broker: Broker, events: int, **changes: Any) -> int:
        """So many events of each service, matched and due; answers how many deliveries that is.

        `changes` are columns of the deliveries, such as `state`.
        """
        now = broker.now()
        ran = [(n, event) for n in range(self.services) for event in range(events)]
        runs = [_run(n, next(_NUMBERS), now) for n, _ in ran]
        envelopes = [_envelope(broker, run) for run in runs]
        rows = [
            _delivery(self, envelope, n, k, now) | changes
            for (n, _), envelope in zip(ran, envelopes, strict=True)
            for k in range(self.subscribers)
        ]
        lanes = [
            {
                "name": f"github:{_CONSUMER + n}",
                "tokens": 20.0,
                "refilled_at": now,
                "next_ready_at": None if changes else now,
            }
            for n in range(self.lanes)
        ]
        for table, some in (
            (tables.runs, runs),
            (tables.envelopes, envelopes),
            (tables.lanes, lanes),
            (tables.deliveries, rows),
        ):
            await insert_rows(broker, table, some)
        return len(rows)


def _account(number: int, login: str, now: datetime) -> dict[str, Any]:
    return {
        "id": number,
        "login": login,
        "login_lower": login,
        "kind": "Organization",
        "listed": True,
        "updated_at": now,
    }


def _installation(number: int, account: int, now: datetime) -> dict[str, Any]:
    return {
        "app": "orchestrator",
        "id": number,
        "account_id": account,
        "state": "active",
        "repository_selection": "all",
        "permissions": "{}",
        "version": 1,
        "updated_at": now,
    }


def _repository(number: int, now: datetime) -> dict[str, Any]:
    name = f"bench-provider/repository-{number:06}"
    return _named(name) | {
        "id": _REPOSITORY + number,
        "account_id": PROVIDER_ACCOUNT,
        "installation_id": PROVIDER_INSTALLATION,
        "private": True,
        "archived": False,
        "provider_enabled_at": now,
        "consumer_enabled_at": None,
        "version": 1,
        "updated_at": now,
    }


def _consumer(number: int, now: datetime) -> dict[str, Any]:
    return _named(f"bench-consumer-{number}/deploy") | {
        "id": _CONSUMER + number,
        "account_id": _CONSUMER + number,
        "installation_id": _CONSUMER + number,
        "private": True,
        "archived": False,
        "provider_enabled_at": None,
        "consumer_enabled_at": now,
        "version": 1,
        "updated_at": now,
    }


def _named(name: str) -> dict[str, Any]:
    return {"full_name": name, "full_name_lower": name}


def _allowed(repository: int, now: datetime) -> dict[str, Any]:
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


def _service(number: int, now: datetime) -> dict[str, Any]:
    return profile_columns(Profile(title="Releases")) | {
        "id": f"svc_{number:026}",
        "account_id": PROVIDER_ACCOUNT,
        "repository_id": _REPOSITORY + number,
        "workflow_path": WORKFLOW,
        "slug": f"release-{number:06}",
        "published_at": now,
        "version": 1,
        "created_at": now,
    }


def _subscription(own: str, service: int, consumer: int, now: datetime) -> dict[str, Any]:
    return {
        "id": own,
        "service_id": f"svc_{service:026}",
        "repository_id": _CONSUMER + consumer,
        "channel": "repository_dispatch",
        "event_types": '["*"]',
        "filters": "{}",
        "state": "approved",
        "created_at": now,
        "version": 1,
    }


def _run(provider: int, number: int, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id("run", now),
        "repository_id": _REPOSITORY + provider,
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
        "head_repository_id": _REPOSITORY + provider,
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


def _envelope(broker: Broker, run: Mapping[str, Any]) -> dict[str, Any]:
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


def _delivery(
    world: World, envelope: Mapping[str, Any], service: int, number: int, now: datetime
) -> dict[str, Any]:
    consumer = _CONSUMER + service * world.subscribers + number
    return {
        "id": new_id("dlv", now),
        "envelope": envelope["id"],
        "cause_kind": "subscription",
        "cause_id": world.subscription(service, number),
        "replay_no": 0,
        "target_repository_id": consumer,
        "channel": "repository_dispatch",
        "lane": f"github:{consumer}",
        "service_id": f"svc_{service:026}",
        "provider_account_id": PROVIDER_ACCOUNT,
        "consumer_account_id": consumer,
        "state": "pending",
        "attempts": 0,
        "failures": 0,
        "created_at": now,
        "updated_at": now,
        "due_at": now - timedelta(seconds=1),
    }


async def template(size: int) -> bytes:
    """A `workflow_run` webhook of `size` bytes: GitHub's without some addresses, then padded."""
    async with GitHubSimulator() as github:
        app = github.app("bench", hook_url="http://127.0.0.1:9/")
        owner = github.account("bench-provider")
        repository = github.repository(owner, "repository-000000", private=True)
        github.add_workflow(repository, WORKFLOW, "Release")
        with github.hold() as held:
            await github.install(app, owner)
            run = await github.start_run(repository, WORKFLOW)
            await run.complete()
        body = next(
            one.payload
            for one in held
            if one.event == "workflow_run" and one.payload["action"] == "completed"
        )
    ids = {repository.id: "@repository", run.id: "@run", owner.id: "@owner"}
    body["installation"]["id"] = "@installation"
    found = orjson.loads(orjson.dumps(_marked(body, ids)))
    for part in (found["repository"], found["sender"], *_parts(found["workflow_run"])):
        for name in [each for each in part if each.endswith("_url") and each != "html_url"]:
            if len(orjson.dumps(found)) <= size:
                break
            del part[name]
    found["workflow_run"]["head_commit"]["message"] += "x" * (size - len(orjson.dumps(found)))
    return orjson.dumps(found)


def _parts(run: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in run.values() if isinstance(each, dict)]


def _marked(value: Any, ids: Mapping[int, str]) -> Any:
    """The same with placeholders for the ids."""
    if isinstance(value, dict):
        return {key: _marked(each, ids) for key, each in value.items()}
    if isinstance(value, list):
        return [_marked(each, ids) for each in value]
    return ids.get(value, value) if type(value) is int else value


def webhooks(shape: bytes, count: int, repositories: int, first: int = 0) -> list[bytes]:
    """Signed requests, a run each, one repository after the other."""
    shape = shape.replace(b'"@owner"', b"%d" % PROVIDER_ACCOUNT)
    shape = shape.replace(b'"@installation"', b"%d" % PROVIDER_INSTALLATION)
    return [
        _request(
            shape.replace(b'"@repository"', b"%d" % (_REPOSITORY + number % repositories)).replace(
                b'"@run"', b"%d" % (_RUN + number)
            )
        )
        for number in range(first, first + count)
    ]


def run_number(body: bytes) -> int:
    """Which webhook a dispatch came from."""
    _, _, rest = body.partition(b'"runId":')
    return int(rest[: rest.index(b",")]) - _RUN


def _request(body: bytes) -> bytes:
    head = (
        "POST /webhooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n"
        "User-Agent: GitHub-Hookshot/0000000\r\nContent-Type: application/json\r\n"
        f"X-GitHub-Delivery: {uuid.uuid4()}\r\nX-GitHub-Event: workflow_run\r\n"
        f"X-GitHub-Hook-ID: 1\r\nX-GitHub-Hook-Installation-Target-ID: 1\r\n"
        "X-GitHub-Hook-Installation-Target-Type: integration\r\n"
        f"X-Hub-Signature-256: {sign(SECRET, body)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
