"""The badge "Verified organization": GitHub verified that it has its domain.

It helps people to trust a name, and gives nobody anything.

Source: https://docs.github.com/organizations/managing-organization-settings/verifying-or-approving-a-domain-for-your-organization
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from zekt_bot.db import badges
from zekt_bot.db.badges import Badge
from zekt_bot.errors import GitHubError, GitHubUnreachable
from zekt_bot.github import installations as at_github

if TYPE_CHECKING:
    from collections.abc import Callable

    from zekt_bot.db.badges import Unasked
    from zekt_bot.operations.broker import Broker

_EVERY = timedelta(days=1)
_AT_ONCE = 10  # a minute: nobody waits for a badge, and deliveries do for the processor


async def look(broker: Broker, stopped: Callable[[], bool] = lambda: False) -> int:
    """Ask GitHub of organizations, new ones first, each once a day; answers how many.

    Raises:
        StorageUnavailable.
    """
    before = broker.now() - _EVERY
    found = await broker.database.query(badges.unasked, before, _AT_ONCE)
    for number, each in enumerate(found):
        if stopped():
            return number
        try:
            verified = await _verified(broker, each)
        except GitHubUnreachable:
            return number  # nor would it answer about the others
        except GitHubError:
            verified = None
        await broker.database.write(badges.put, Badge(each.account_id, verified, broker.now()))
    return len(found)


async def _verified(broker: Broker, one: Unasked) -> bool | None:
    """None: another account has the login by now."""
    told = await at_github.organization(broker.github, one.installation_id, one.login)
    if told is None or told.get("id") != one.account_id:
        return None
    return told.get("is_verified") is True
