"""The channel `repository_dispatch`: one POST, and what its answer means.

Source: https://docs.github.com/rest/repos/repos#create-a-repository-dispatch-event and
https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from zekt_bot import (
    AppRejected,
    GitHubAnswered,
    GitHubUnreachable,
    InstallationGone,
    InstallationSuspended,
    Outcome,
    RepositoryNotGranted,
    hookimpl,
    retry_delay,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from zekt_bot import ApiResponse, Attempt, Channel, DispatchRequest, InstallationApi
    from zekt_bot import GitHubError as Refusal

REDIRECTS = frozenset({301, 302, 307, 308})
LONGEST_WAIT = 24 * 3600.0
_LONGEST_GUESS = 3600.0  # within which GitHub counts anew, whatever failed before
_LIMIT = "x-ratelimit-limit"
_REMAINING = "x-ratelimit-remaining"
_RESET = "x-ratelimit-reset"
_SAVING_FROM = 0.25  # of the hour's requests: so few left are spread over the rest of the hour
_LIMIT_TEXT = re.compile(r"rate limit|abuse detection", re.IGNORECASE)
_SECRET = re.compile(r"(?:gh[a-z]_|github_pat_|v1\.|eyJ)[A-Za-z0-9._-]{10,}")
_BLOCKS: dict[type[Refusal], str] = {
    InstallationGone: "installation_gone",
    InstallationSuspended: "installation_suspended",
}


class RepositoryDispatch:
    """Starts the workflows of a repository that listen to `repository_dispatch`."""

    name = "repository_dispatch"

    def check(self, settings: Mapping[str, str]) -> None:
        """There is nothing to set, and GitHub paces by installation."""
        if settings:
            raise ValueError("repository_dispatch has no settings.")

    async def send(self, request: DispatchRequest, client: InstallationApi) -> Outcome:
        """POST `request.body`; only GitHub's 204 is `dispatched`.

        A blocked outcome's `error` begins with the machine word that says why, and a colon.
        """
        try:
            return await _granted(request, client)
        except tuple(_BLOCKS) as error:
            return Outcome("blocked", error=_cut(f"{_BLOCKS[type(error)]}: {error}"))
        except AppRejected as error:
            return Outcome("app_paused", status=401, error=_cut(str(error)))
        except GitHubAnswered as error:
            outcome = Outcome("retry", status=error.status, error=_cut(str(error)))
            if _is_limit(error.status, error.headers, str(error)):
                return _limited(outcome, error.headers, request, client.now())
            return _obeying(outcome, error.headers, client.now())
        except GitHubUnreachable as error:
            return Outcome("retry", error=_cut(str(error)))


@hookimpl
def zekt_channels() -> Sequence[Channel]:
    """Offer the channel."""
    return [RepositoryDispatch()]


@hookimpl
def zekt_retry_delay(attempt: Attempt) -> timedelta | None:
    """The built-in schedule: from five seconds to six hours, for 96 hours."""
    return retry_delay(attempt.delivery.id, attempt.n, attempt.age)


async def _granted(request: DispatchRequest, client: InstallationApi) -> Outcome:
    """Send; no token is minted for a repository, nor for a permission, that was not granted."""
    try:
        return await _send(request, client)
    except RepositoryNotGranted as error:
        reason = _installation_reason(await client.installation()) or "repository_not_granted"
        return Outcome("blocked", error=_cut(f"{reason}: {error}"))


async def _send(request: DispatchRequest, client: InstallationApi) -> Outcome:
    answer = await _post(request, request.repository, client)
    if answer.status not in REDIRECTS | {404}:
        return await _outcome(answer, request, client)
    found = await client.get(f"/repositories/{request.repository_id:d}")
    name = _object(found).get("full_name") if found.status == 200 else None
    if found.status == 404 or (answer.status == 404 and name in {None, request.repository}):
        return await _without_access(answer, request, client, found)
    if not isinstance(name, str) or "/" not in name:
        return _again(found, client)
    outcome = await _outcome(await _post(request, name, client), request, client)
    return replace(outcome, renamed_to=None if name == request.repository else name)


async def _post(request: DispatchRequest, repository: str, client: InstallationApi) -> ApiResponse:
    """POST, and after a 401 once more with a fresh token."""
    owner, _, name = repository.partition("/")
    path = f"/repos/{quote(owner, safe='')}/{quote(name, safe='')}/dispatches"
    answer = await client.post(path, request.body)
    if answer.status == 401:
        answer = await client.post(path, request.body, fresh_token=True)
    return answer


async def _outcome(
    answer: ApiResponse, request: DispatchRequest, client: InstallationApi
) -> Outcome:
    if answer.status == 204:
        return _used_up(answer, client)
    if answer.status == 422:
        return _said("dead", answer)
    if _is_limit(answer.status, answer.headers, _message(answer)):
        return _limited(_said("retry", answer), answer.headers, request, client.now())
    if answer.status in {403, 404}:
        return await _without_access(answer, request, client)
    return _again(answer, client)


async def _without_access(
    answer: ApiResponse,
    request: DispatchRequest,
    client: InstallationApi,
    found: ApiResponse | None = None,
) -> Outcome:
    """GitHub hides why: read the installation, and the repository unless it was `found`."""
    reason = _installation_reason(await client.installation())
    if reason is None:
        found = found or await client.get(f"/repositories/{request.repository_id:d}")
        if found.status == 404:
            reason = "repository_not_granted"
        elif found.status == 200 and _object(found).get("archived") is True:
            reason = "repository_archived"
    return _again(answer, client) if reason is None else _said("blocked", answer, f"{reason}: ")


def _installation_reason(answer: ApiResponse) -> str | None:
    if answer.status == 404:
        return "installation_gone"
    if answer.status != 200:
        return None
    installation = _object(answer)
    if installation.get("suspended_at"):
        return "installation_suspended"
    permissions = installation.get("permissions")
    if isinstance(permissions, dict) and permissions.get("contents") != "write":
        return "permission_missing"
    return None


def _is_limit(status: int, headers: Mapping[str, str], said: str) -> bool:
    return status == 429 or (
        status == 403
        and (
            "retry-after" in headers
            or _none_remains(headers)
            or _LIMIT_TEXT.search(said) is not None
        )
    )


def _none_remains(headers: Mapping[str, str]) -> bool:
    return headers.get(_REMAINING, "").strip() == "0"


def _limited(
    outcome: Outcome, headers: Mapping[str, str], request: DispatchRequest, now: datetime
) -> Outcome:
    """The whole lane waits: `retry-after`; or until the reset if nothing remains; or a minute,
    doubled, an hour at most.
    """
    seconds = _number(headers.get("retry-after"))
    if seconds is None:
        seconds = _until_reset(headers, now)
    if seconds is None or seconds < 0:
        seconds = min(60.0 * 2 ** min(max(request.attempt - 1, 0), 12), _LONGEST_GUESS)
    return replace(outcome, not_before=now + _wait(seconds), closes_lane=True)


def _used_up(answer: ApiResponse, client: InstallationApi) -> Outcome:
    """It was taken; the lane goes slower if little remains, and waits for the reset if nothing."""
    headers = answer.headers
    outcome = Outcome("dispatched", status=204, request_id=_request_id(answer))
    limit, remaining = _number(headers.get(_LIMIT)), _number(headers.get(_REMAINING))
    if remaining is None or (limit is not None and 0 < limit * _SAVING_FROM <= remaining):
        return outcome
    now = client.now()
    seconds = _until_reset(headers, now)
    if seconds is not None and seconds > 0:
        return replace(outcome, not_before=now + _wait(seconds), closes_lane=True)
    reset = _number(headers.get(_RESET))
    if limit is None or limit <= 0 or reset is None or remaining <= 0:
        return outcome
    if reset <= now.timestamp():
        return outcome
    return replace(outcome, at_most_a_minute=remaining * 60 / (reset - now.timestamp()))


def _again(answer: ApiResponse, client: InstallationApi) -> Outcome:
    return _obeying(_said("retry", answer), answer.headers, client.now())


def _obeying(outcome: Outcome, headers: Mapping[str, str], now: datetime) -> Outcome:
    """Not before `retry-after`, which any answer may have."""
    seconds = _number(headers.get("retry-after"))
    if seconds is None or seconds < 0:
        return outcome
    return replace(outcome, not_before=now + _wait(seconds))


def _until_reset(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds until GitHub counts anew; None: something remains, or GitHub does not say."""
    reset = _number(headers.get(_RESET)) if _none_remains(headers) else None
    return None if reset is None else reset - now.timestamp()


def _wait(seconds: float) -> timedelta:
    return timedelta(seconds=min(max(seconds, 1.0), LONGEST_WAIT))


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _said(kind: Any, answer: ApiResponse, word: str = "") -> Outcome:
    message = _message(answer)
    error = f"{word}GitHub answered {answer.status}{': ' + message if message else ''}"
    return Outcome(kind, status=answer.status, request_id=_request_id(answer), error=_cut(error))


def _request_id(answer: ApiResponse) -> str | None:
    return (answer.headers.get("x-github-request-id") or "")[:100] or None


def _message(answer: ApiResponse) -> str:
    message = _object(answer).get("message")
    return message if isinstance(message, str) else ""


def _object(answer: ApiResponse) -> dict[str, Any]:
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):  # a body can nest too deep
        return {}
    return value if isinstance(value, dict) else {}


def _cut(text: str) -> str:
    """One line of at most 500 characters; what looks like a token is left out."""
    line = _SECRET.sub("[hidden]", " ".join(text.split()))[:500]
    return line.encode(errors="replace").decode()  # JSON can hold half a character
