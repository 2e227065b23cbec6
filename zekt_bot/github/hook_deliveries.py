"""What GitHub has sent to the App's webhook: its list, three days back (GHES: seven).

Source: https://docs.github.com/rest/apps/webhooks#list-deliveries-for-an-app-webhook
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from zekt_bot.errors import GitHubAnswered

if TYPE_CHECKING:
    from zekt_bot.github.client import GitHub
    from zekt_bot.github.http import Answer

KEPT = timedelta(days=3)
_PATH = "/app/hook/deliveries"
_PAGE = 100
_NEXT = re.compile(r'<([^<>]*)>;\s*rel="next"')


@dataclass(frozen=True, slots=True)
class HookDelivery:
    """One attempt of GitHub's to bring one event to the App; a redelivery has the same GUID.

    `status` is what GitHub heard; `outcome` says it in GitHub's words, also where it heard nothing.
    """

    id: int
    guid: str
    event: str
    delivered_at: datetime
    repository_id: int | None
    status: int | None
    outcome: str
    redelivery: bool

    @property
    def answered(self) -> bool:
        """Whether GitHub heard 2xx."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Page:
    """Some of them, the newest first; `cursor` leads to older ones, None: there are none.

    `share_left`: of the App's own requests in this hour, 0 to 1.
    """

    deliveries: tuple[HookDelivery, ...]
    cursor: str | None
    share_left: float


async def page(github: GitHub, cursor: str | None = None) -> Page:
    """The newest deliveries, or those from `cursor` on. One that is told brokenly is left out.

    Raises:
        GitHubAnswered: any status but 200, or no list.
        GitHubError: as `GitHub.ask_as_app`.
    """
    query = f"?per_page={_PAGE}" + (f"&cursor={quote(cursor, safe='')}" if cursor else "")
    answer = await github.ask_as_app(_PATH + query)
    if answer.status != 200:
        raise answer.error()
    listed = answer.json()
    if not isinstance(listed, list):
        raise GitHubAnswered(answer.status, "the answer is not the list that was asked for")
    found = (_delivery(each) for each in listed)
    return Page(tuple(one for one in found if one), _cursor(answer), answer.share_left)


@dataclass(frozen=True, slots=True)
class Carried:
    """What a delivery carried; None: GitHub has it no longer, or does not give it whole."""

    payload: dict[str, Any] | None = field(repr=False)
    share_left: float


async def carried(github: GitHub, delivery_id: int) -> Carried:
    """What the delivery with this number carried.

    Raises:
        GitHubAnswered: any status but 200, 404, 410 and 422.
        GitHubError: as `GitHub.ask_as_app`.

    Source: https://docs.github.com/rest/apps/webhooks#get-a-delivery-for-an-app-webhook
    """
    answer = await _one(github, delivery_id)
    request = _mapping(answer).get("request")
    found = request.get("payload") if isinstance(request, dict) else None
    return Carried(found if isinstance(found, dict) else None, answer.share_left)


async def _one(github: GitHub, delivery_id: int) -> Answer:
    answer = await github.ask_as_app(f"{_PATH}/{delivery_id:d}")
    if answer.status not in {200, 404, 410, 422}:
        raise answer.error()
    return answer


def _mapping(answer: Answer) -> dict[str, Any]:
    """Its body; nothing if it was cut at the most that is read."""
    try:
        return answer.mapping()
    except GitHubAnswered:
        return {}


async def heard(github: GitHub, delivery_id: int) -> str | None:
    """The body that GitHub was answered to this attempt; None: it does not tell.

    Raises:
        GitHubAnswered: any status but 200, 404, 410 and 422.
        GitHubError: as `GitHub.ask_as_app`.

    Source: https://docs.github.com/rest/apps/webhooks#get-a-delivery-for-an-app-webhook
    """
    told = _mapping(await _one(github, delivery_id)).get("response")
    found = told.get("payload") if isinstance(told, dict) else None
    return found if isinstance(found, str) else None


async def send_again(github: GitHub, delivery_id: int) -> None:
    """Let GitHub make another attempt, with the same GUID, within some seconds.

    Raises:
        GitHubAnswered: any status but 202.
        GitHubError: as `GitHub.ask_as_app`.

    Source: https://docs.github.com/rest/apps/webhooks#redeliver-a-delivery-for-an-app-webhook
    """
    answer = await github.ask_as_app(f"{_PATH}/{delivery_id:d}/attempts", "POST")
    if answer.status != 202:
        raise answer.error()


def _cursor(answer: Answer) -> str | None:
    """Only the cursor of the link is taken: the App's token goes to no address that it names."""
    link = _NEXT.search(answer.headers.get("link", ""))
    query = parse_qs(urlsplit(link.group(1)).query) if link else {}
    return query["cursor"][0] if query.get("cursor") else None


def _delivery(told: Any) -> HookDelivery | None:
    if not isinstance(told, dict):
        return None
    number, guid, event = told.get("id"), told.get("guid"), told.get("event")
    at, repository_id = told.get("delivered_at"), told.get("repository_id")
    if not (isinstance(number, int) and isinstance(guid, str) and isinstance(event, str)):
        return None
    try:
        delivered_at = datetime.fromisoformat(str(at)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    known = repository_id if isinstance(repository_id, int) else None
    status, outcome = told.get("status_code"), told.get("status")
    return HookDelivery(
        number,
        guid,
        event,
        delivered_at,
        known,
        status if isinstance(status, int) else None,
        " ".join(outcome.split())[:100] if isinstance(outcome, str) else "",
        told.get("redelivery") is True,
    )
