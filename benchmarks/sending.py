"""What runs send: messages of the providers, each with the token of a run of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from benchmarks import rows
from benchmarks.webhooks import RUN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.tokens import Issuer


_ROW = {"file": "src/app/main.py", "line": 117, "rule": "no-unused", "text": "it is not used"}


def payload(size: int) -> bytes:
    """A message of about `size` bytes and no more: rows of short values, as of a report."""
    count = (size - 32) // (len(orjson.dumps(_ROW)) + 1)
    return orjson.dumps({"version": "1.4.0", "rows": [_ROW] * count})


def messages(
    issuer: Issuer, message: bytes, count: int, repositories: range, first: int = 0
) -> Iterator[bytes]:
    """Requests of a run each, one of the repositories after the other, as Node's `fetch` sends.

    `first` is the number of the first run, as of `webhooks`.
    """
    for number in range(first, first + count):
        of = repositories[number % len(repositories)]
        name, run = rows.provider_name(of), RUN + number
        token = issuer.token(rows.REPOSITORY + of, name, run)
        yield _request(token, name, _body(name, run, message))


def fetch(path: str, token: str) -> bytes:
    """A consumer's run asks for a message."""
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"
    return head.encode()


def _body(repository: str, run: int, message: bytes) -> bytes:
    return orjson.dumps(
        {
            "eventType": rows.EVENT_TYPE,
            "repository": repository,
            "workflowRunId": str(run),
            "triggeredBy": "mona",
            "commitSha": "0" * 40,
            "ref": "refs/heads/main",
            "workflow": "Release",
            "payload": orjson.Fragment(message),
            "timestamp": "2026-01-01T00:00:00.000Z",
        }
    )


def _request(token: str, repository: str, body: bytes) -> bytes:
    head = (
        "POST /api/events/receive HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"X-GitHub-Repository: {repository}\r\nAccept: */*\r\nAccept-Language: *\r\n"
        "Sec-Fetch-Mode: cors\r\nUser-Agent: node\r\nAccept-Encoding: gzip, deflate\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
