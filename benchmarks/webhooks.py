"""GitHub's webhooks: of the simulator, as long as asked for, signed, ready to be sent."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import orjson

from benchmarks.rows import PROVIDER_ACCOUNT, PROVIDER_INSTALLATION, REPOSITORY, WORKFLOW
from benchmarks.served import SECRET
from zekt_bot.testing import GitHubSimulator
from zekt_bot.testing.webhooks import sign

if TYPE_CHECKING:
    from collections.abc import Mapping

RUN = 10_000_000_000  # the first run's id


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


def webhooks(shape: bytes, count: int, repositories: range, first: int = 0) -> list[bytes]:
    """Signed requests, a run each, one of the repositories after the other.

    `first` is the number of the first run.
    """
    shape = shape.replace(b'"@owner"', b"%d" % PROVIDER_ACCOUNT)
    shape = shape.replace(b'"@installation"', b"%d" % PROVIDER_INSTALLATION)
    return [
        _request(
            shape.replace(
                b'"@repository"', b"%d" % (REPOSITORY + repositories[number % len(repositories)])
            ).replace(b'"@run"', b"%d" % (RUN + number))
        )
        for number in range(first, first + count)
    ]


def run_number(body: bytes) -> int:
    """Which webhook a dispatch came from."""
    _, _, rest = body.partition(b'"runId":')
    return int(rest[: rest.index(b",")]) - RUN


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
