"""Who has a login at GitHub, which it tells everybody; some GitHubs only who shows a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from zekt_bot.db import installed
from zekt_bot.errors import GitHubAnswered, GitHubError
from zekt_bot.operations import user_tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.domain.sessions import Session
    from zekt_bot.github.http import Answer
    from zekt_bot.operations.broker import Broker

_SHY = {401, 403, 404, 429}  # who shows a token may be answered otherwise
_TRIED = 3  # installations: the first may be gone at GitHub already
_REFUSED = (
    "it tells nobody without a token who has a login. Sign in first, or install the orchestration "
    "App on an account"
)


async def account(
    broker: Broker, login: str, session: Session | None = None
) -> dict[str, Any] | None:
    """The public account with this login, or None.

    GitHub is asked without a token. Where that finds nobody or is refused (an Enterprise Server in
    private mode, GHE.com, too many questions in an hour) it is asked with the token of `session`,
    else with an installation's; the App's own key is no answer to this question.

    Raises:
        GitHubAnswered: it refuses, with every token that there is.
        GitHubError, StorageUnavailable.

    Source: https://docs.github.com/rest/users/users#get-a-user
    """
    path = f"/users/{quote(login, safe='')}"
    answer = await broker.github.ask_as_nobody(path)
    if answer.status in _SHY:
        async for other in _as_somebody(broker, path, session):
            if other.status in {200, 404}:
                answer = other
                break
    if answer.status == 404:
        return None
    if answer.status == 401:
        raise GitHubAnswered(401, _REFUSED)
    if answer.status != 200:
        raise answer.error()
    return answer.mapping()


async def _as_somebody(broker: Broker, path: str, session: Session | None) -> AsyncIterator[Answer]:
    """What each token there is gets for an answer."""
    if session is not None:
        yield await user_tokens.with_token(broker, session, lambda token: _ask(broker, token, path))
    for installation_id in await broker.database.query(installed.newest, _TRIED):
        try:
            yield await broker.github.ask_as_installation(installation_id, path)
        except GitHubError:
            continue  # it is gone or suspended, or the key is refused


async def _ask(broker: Broker, token: str, path: str) -> Answer:
    answer = await broker.oauth.ask(token, path)
    if answer.status == 401:
        raise answer.error()
    return answer
