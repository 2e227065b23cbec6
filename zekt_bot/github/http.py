"""One HTTP exchange with GitHub: any status is an answer, and only silence is an error."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import aiohttp

from zekt_bot.errors import GitHubAnswered, GitHubUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCEPT = "application/vnd.github+json"
API_VERSION = "2022-11-28"
TIMEOUT = aiohttp.ClientTimeout(total=20)
MOST_BYTES = 4 * 1024 * 1024

_SECRET = re.compile(r"(?:gh[a-z]_|github_pat_|v1\.|eyJ)[A-Za-z0-9._-]{10,}")
_LIMIT_TEXT = re.compile(r"rate limit|abuse detection", re.IGNORECASE)

try:
    USER_AGENT = f"zekt/{version('zekt-bot')}"
except PackageNotFoundError:  # pragma: no cover - only in a tree that nobody installed
    USER_AGENT = "zekt/0"

HEADERS = {"accept": ACCEPT, "user-agent": USER_AGENT, "x-github-api-version": API_VERSION}


@dataclass(slots=True)
class Answer:
    """What GitHub answered; header names are in lower case. Satisfies `zekt_bot.ApiResponse`."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            GitHubAnswered: it is none.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):  # it can nest too deep
            raise GitHubAnswered(self.status, "the body is not JSON") from None

    def mapping(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            GitHubAnswered: it is none.
        """
        value = self.json()
        if not isinstance(value, dict):
            raise GitHubAnswered(self.status, "the body is not a JSON object")
        return value

    @property
    def message(self) -> str:
        """What GitHub says went wrong, on one line, at most 300 characters, without a token."""
        try:
            text = self.mapping().get("message")
        except GitHubAnswered:
            return ""
        if not isinstance(text, str):
            return ""
        line = _SECRET.sub("[hidden]", " ".join(text.split()))[:300]
        return line.encode(errors="replace").decode()  # JSON can hold half a character

    @property
    def limited(self) -> bool:
        """Whether this refusal is a rate limit and no verdict.

        Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
        """
        if self.status == 429:
            return True
        return self.status == 403 and (
            "retry-after" in self.headers
            or self.headers.get("x-ratelimit-remaining", "").strip() == "0"
            or _LIMIT_TEXT.search(self.message) is not None
        )

    @property
    def share_left(self) -> float:
        """Which share of the caller's requests is left in this hour, 0 to 1; 1 if nobody counts."""
        try:
            limit = int(self.headers["x-ratelimit-limit"])
            return min(max(int(self.headers["x-ratelimit-remaining"]) / limit, 0.0), 1.0)
        except (KeyError, ValueError, ArithmeticError):
            return 1.0

    def error(self) -> GitHubAnswered:
        """This answer as an error."""
        return GitHubAnswered(self.status, self.message, self.headers)


async def exchange(
    session: aiohttp.ClientSession, method: str, url: str, headers: Mapping[str, str], body: bytes
) -> Answer:
    """Send one request. Redirects are not followed; of a body, at most 4 MiB are read.

    Raises:
        GitHubUnreachable: no whole answer came within 20 seconds.

    Source: https://docs.github.com/rest/using-the-rest-api/getting-started-with-the-rest-api
    """
    try:
        async with session.request(
            method,
            url,
            headers=headers,
            data=body or None,
            allow_redirects=False,
            timeout=TIMEOUT,
            raise_for_status=False,
        ) as response:
            content = await read_body(response)
            lowered = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, lowered, content)
    except (aiohttp.ClientError, OSError) as error:
        reason = type(error).__name__
    # Raised here, not above: an aiohttp error in the chain may hold the request's headers.
    raise GitHubUnreachable(f"GitHub does not answer ({reason}).")


async def read_body(response: aiohttp.ClientResponse) -> bytes:
    """The first 4 MiB of a body."""
    content = bytearray()
    while chunk := await response.content.readany():
        content += chunk
        if len(content) > MOST_BYTES:
            response.close()
            break
    return bytes(content[:MOST_BYTES])
