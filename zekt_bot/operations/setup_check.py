"""The setup's last step: what is as it should be, and what would not work if it ended now."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zekt_bot.domain.access import decide
from zekt_bot.errors import Conflict
from zekt_bot.operations import app_check, setup, webhook_proof

if TYPE_CHECKING:
    from zekt_bot.config import App
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.app_check import AppReport
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.webhook_proof import WebhookProof

_DIFFERS = {
    "key": "Nothing can be asked of GitHub as this App.",
    "permissions": "GitHub refuses what needs a permission that is lacking.",
    "events": "What is lacking is never heard of.",
    "webhook": "Webhooks do not come as they should.",
}
_NOWHERE: dict[App, str] = {
    "orchestrator": "It is installed nowhere: nothing is received and nothing is sent.",
    "oauth": "It is installed nowhere: people sign in and see no repository.",
}
_UNPROVEN: dict[App, str] = {
    "orchestrator": "No webhook is known to come here rightly signed: runs may end unheard.",
    "oauth": (
        "No webhook is known to come here rightly signed: who withdraws their authorization is "
        "signed out only when GitHub refuses their token."
    ),
}


@dataclass(frozen=True, slots=True)
class Findings:
    """Both Apps, their webhooks, and `doubts`: what will not work, a sentence each."""

    reports: tuple[AppReport, ...]
    webhooks: tuple[WebhookProof, ...]
    doubts: tuple[str, ...]


async def look(broker: Broker, principal: Principal) -> Findings:
    """Ask GitHub how both Apps are.

    Raises:
        AccessDenied, StorageUnavailable.
    """
    decide(principal, "server:setup")
    reports, *proofs = await asyncio.gather(
        app_check.reports(broker, principal),
        webhook_proof.look(broker, principal, "orchestrator"),
        webhook_proof.look(broker, principal, "oauth"),
    )
    webhooks = tuple(one for one in proofs if one is not None)
    doubts = [said for one in reports for said in _of_report(one)]
    doubts += [f"{_name(one.app)}: {_UNPROVEN[one.app]}" for one in webhooks if not one.ok]
    return Findings(reports, webhooks, tuple(doubts))


def _of_report(report: AppReport) -> list[str]:
    said = [f"{point.said} {_DIFFERS[point.what]}" for point in report.points if not point.ok]
    if report.installations == 0:
        said.append(_NOWHERE[report.app])
    return [f"{_name(report.app)}: {one}" for one in said]


def _name(app: App) -> str:
    name = app_check.NAMES[app]
    return name[0].upper() + name[1:]


async def finish(broker: Broker, principal: Principal, *, anyway: bool = False) -> Findings | None:
    """End the setup. What stands against it is given instead, unless it is to end `anyway`.

    Raises:
        AccessDenied, StorageUnavailable.
        Conflict: a step that cannot be left out is not done, or it was over already.
    """
    decide(principal, "server:setup")
    so_far = await setup.progress(broker, principal)
    if so_far.finished:
        raise Conflict(setup.OVER)
    if so_far.lacking:
        raise Conflict(so_far.lacking)
    found = await look(broker, principal)
    if found.doubts and not anyway:
        return found
    await setup.finish(broker, principal, doubts=len(found.doubts))
    return None
