"""Sending again: what people ask for, and what keeps a delivery from being sent again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from zekt_bot.domain.deliveries import FINAL
from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from datetime import datetime

    from zekt_bot.domain.deliveries import DeliveryState

Hindrance = Literal["payload_gone", "refused", "unapproved", "paused"]

WHY: dict[Hindrance, str] = {
    "payload_gone": "its payload was deleted by age, and nothing is left to send",
    "refused": "its consumer lets no provider send again; its own people can",
    "unapproved": "its consumer was not approved when it came; its provider can send it",
    "paused": "its subscription is paused, and the consumer resumes it first",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Deliveries by name: a subscription (its id), or a service, a consumer repository, or both.

    None lets everything through. From `since`, and before `until`.
    """

    subscription: str | None = None
    service: str | None = None
    repository: str | None = None
    state: DeliveryState | None = None
    since: datetime | None = None
    until: datetime | None = None


def check(wanted: Wanted) -> Wanted:
    """Return `wanted`, or raise InvalidInput naming what is wrong with it."""
    beside = (wanted.service, wanted.repository)
    if wanted.subscription is not None and beside != (None, None):
        raise InvalidInput("A subscription has one service and one repository: name it alone.")
    if wanted.state is not None and wanted.state not in FINAL:
        raise InvalidInput(
            f"{wanted.state!r} is no state in which a delivery rests; there are "
            f"{', '.join(sorted(FINAL))}."
        )
    return wanted


def hindrance(
    *, payload_gone: bool, paused: bool, by_provider: bool, provider_may: bool, unapproved: bool
) -> Hindrance | None:
    """What keeps a delivery from being sent again, or None.

    `unapproved`: its consumer asks, who was not approved for it.
    """
    if by_provider and not provider_may:
        return "refused"
    if unapproved:
        return "unapproved"
    if payload_gone:
        return "payload_gone"
    return "paused" if paused else None
