"""Whether somebody has two-factor sign-in on at GitHub, where GitHub tells it at all.

Source: https://docs.github.com/rest/users/users#get-the-authenticated-user
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from zekt_bot.errors import GitHubError
from zekt_bot.operations import user_tokens
from zekt_bot.operations.sign_in import is_classic

if TYPE_CHECKING:
    from zekt_bot.domain.sessions import Session
    from zekt_bot.operations.broker import Broker

TwoFactor = Literal["on", "off", "unknown", "not told"]


async def of(broker: Broker, session: Session) -> TwoFactor:
    """As GitHub says now; to a GitHub App, as `app.yml` makes it, it is `not told`.

    Raises:
        SessionEnded, StorageUnavailable.
    """
    if not await is_classic(broker):
        return "not told"

    async def ask(token: str) -> object:
        answer = await broker.oauth.ask(token, "/user")
        if answer.status != 200:
            raise answer.error()
        return answer.mapping().get("two_factor_authentication")

    try:
        told = await user_tokens.with_token(broker, session, ask)
    except GitHubError:
        return "unknown"
    if not isinstance(told, bool):
        return "unknown"
    return "on" if told else "off"
