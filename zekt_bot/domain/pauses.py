"""What an operator may put on hold: everything, an account, a service or a subscription.

Events go on coming in and being matched; their deliveries wait. A subscription that its consumer
paused is another thing: that one makes no deliveries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from collections.abc import Collection

Subject = NewType("Subject", str)
EVERYTHING = Subject("all")


def account(account_id: int) -> Subject:
    """All that leaves an account's repositories or goes to them."""
    return Subject(f"account:{account_id}")


def service(service_id: str) -> Subject:
    """All that a service sends."""
    return Subject(f"service:{service_id}")


def subscription(subscription_id: str) -> Subject:
    """All that one subscription receives."""
    return Subject(f"subscription:{subscription_id}")


def holding(
    accounts: tuple[int, int], service_id: str | None, cause_id: str, active: Collection[Subject]
) -> Subject | None:
    """Which of the `active` pauses holds a delivery between these accounts, if one does."""
    if not active:
        return None
    subjects = [EVERYTHING, *(account(each) for each in accounts)]
    subjects += [service(service_id)] if service_id else []
    subjects.append(subscription(cause_id))
    return next((subject for subject in subjects if subject in active), None)
