"""The Apps as they are at GitHub, compared with `app.yml`: each difference, and where to mend it.

Source: https://docs.github.com/rest/apps/apps#get-the-authenticated-app and
https://docs.github.com/rest/apps/webhooks#get-a-webhook-configuration-for-an-app
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.domain.access import decide
from zekt_bot.errors import GitHubError
from zekt_bot.github.manifest import manifest
from zekt_bot.operations.setup import unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.config import App, AppCredentials, Settings
    from zekt_bot.domain.access import Principal
    from zekt_bot.github.client import GitHub
    from zekt_bot.operations.broker import Broker

NAMES: dict[App, str] = {"orchestrator": "orchestration App", "oauth": "sign-in App"}
UNREADABLE = (
    "whether others may install it (it must be public)",
    "the callback address",
    "the setup address, and whether people come back to it after a change",
    "whether the webhook is active",
    "the event installation_target, which GitHub never lists",
)
_HIDDEN_EVENTS = {"installation_target", "meta"}  # they need no permission, and are never shown


@dataclass(frozen=True, slots=True)
class Point:
    """Something that was compared. `mend_at` is the page at GitHub that changes it."""

    what: str
    ok: bool
    said: str
    mend_at: str | None = None


@dataclass(frozen=True, slots=True)
class AppReport:
    """An App as GitHub knows it. `installations` is None where it could not be asked.

    `compared`: else its one point says why it was not.
    """

    app: App
    name: str
    html_url: str | None
    installations: int | None
    points: tuple[Point, ...]
    compared: bool = True

    @property
    def ok(self) -> bool:
        """Whether it was compared, and nothing differs."""
        return self.compared and all(point.ok for point in self.points)


async def reports(broker: Broker, principal: Principal) -> tuple[AppReport, AppReport]:
    """Compare both: the orchestration App's report, and the sign-in App's.

    Raises:
        AccessDenied, StorageUnavailable.
    """
    return await asyncio.gather(
        report(broker, principal, "orchestrator"), report(broker, principal, "oauth")
    )


async def report(broker: Broker, principal: Principal, app: App) -> AppReport:
    """Compare an App.

    Raises:
        AccessDenied, StorageUnavailable.
    """
    decide(principal, "server:setup")
    held = await broker.credentials.get(app)
    if not (held.app_id and held.private_key):
        # Signing in needs no key, and whoever came here has signed in: that is no fault.
        point = Point("key", app == "oauth", uncompared(app, held))
        return AppReport(app, NAMES[app], held.html_url, None, (point,), compared=False)
    try:
        return await compare(broker.github.beside(app), app, broker.settings)
    except GitHubError as error:
        return AppReport(app, NAMES[app], None, None, (Point("key", False, str(error)),))


def uncompared(app: App, held: AppCredentials) -> str:
    """Why nothing of an App is known; to sign people in, it needs no key."""
    if not (held.app_id or held.client_id):
        return "Not compared, because it is not made yet."
    if held.is_classic:
        return "Not compared, because GitHub tells nothing of a classic OAuth App's settings."
    name = f"ZEKT_{app.upper()}_PRIVATE_KEY"
    return f"Not compared, because it has no key here, and GitHub asks for one: set {name}."


async def compare(github: GitHub, app: App, settings: Settings) -> AppReport:
    """The report of an App whose key GitHub takes.

    Raises:
        GitHubError: it does not, or does not answer.
    """
    answer = await github.ask_as_app("/app")
    if answer.status != 200:
        raise answer.error()
    told, wanted = answer.mapping(), manifest(app, settings.public_url)
    proxied = unreachable(settings.public_url) is not None
    page = settings_page(told, settings.github_url)
    hook = await github.ask_as_app("/app/hook/config")
    points = [
        Point("key", True, f"GitHub accepts it; the App is {told.get('slug')}."),
        _permissions(told, wanted, page),
        _events(told, wanted, page),
        _hook(hook.mapping() if hook.status == 200 else {}, wanted, page, proxied),
    ]
    count, html_url = told.get("installations_count"), told.get("html_url")
    return AppReport(
        app,
        str(told.get("name") or NAMES[app]),
        html_url if isinstance(html_url, str) else None,
        count if isinstance(count, int) else None,
        tuple(points),
    )


def settings_page(told: Mapping[str, Any], github_url: str) -> str:
    """Where the owner of an App (`GET /app`) changes it."""
    owner = told.get("owner") or {}
    organization = owner.get("type") == "Organization"
    base = f"{github_url}/organizations/{owner.get('login')}" if organization else github_url
    return f"{base}/settings/apps/{told.get('slug')}"


def _permissions(told: Mapping[str, Any], wanted: Mapping[str, Any], page: str) -> Point:
    has = dict(told.get("permissions") or {})
    needs = {**wanted["default_permissions"], "metadata": "read"}
    lacking = [f"{name}: {level}" for name, level in needs.items() if has.get(name) != level]
    more = [f"{name}: {level}" for name, level in has.items() if name not in needs]
    said = _difference(lacking, more)
    return Point("permissions", not said, said or "They are app.yml's.", f"{page}/permissions")


def _events(told: Mapping[str, Any], wanted: Mapping[str, Any], page: str) -> Point:
    has = set(told.get("events") or ()) - _HIDDEN_EVENTS
    needs = set(wanted["default_events"]) - _HIDDEN_EVENTS
    said = _difference(sorted(needs - has), sorted(has - needs))
    return Point("events", not said, said or "They are app.yml's.", f"{page}/permissions")


def _difference(lacking: list[str], more: list[str]) -> str:
    parts = [f"Lacking: {', '.join(lacking)}."] if lacking else []
    return " ".join([*parts, *([f"Too many: {', '.join(more)}."] if more else [])])


def _hook(config: Mapping[str, Any], wanted: Mapping[str, Any], page: str, proxied: bool) -> Point:
    has, needs = config.get("url"), wanted["hook_attributes"]["url"]
    wrong = []
    if not has:
        wrong.append("GitHub has no address to send webhooks to.")
    elif has != needs and not proxied:
        wrong.append(f"GitHub sends webhooks to {has}, and not to {needs}.")
    if has and config.get("content_type") != "json":
        wrong.append("They are not sent as application/json.")
    if has and str(config.get("insecure_ssl", "0")) != "0":
        wrong.append("GitHub does not check this server's certificate.")
    if has and not config.get("secret"):
        wrong.append("They are not signed: set a secret.")
    if wrong:
        return Point("webhook", False, " ".join(wrong), page)
    elsewhere = f"GitHub sends them to {has}, from where a proxy must bring them to {needs}."
    said = "GitHub sends them to this server, signed." if has == needs else elsewhere
    return Point("webhook", True, said, page)
