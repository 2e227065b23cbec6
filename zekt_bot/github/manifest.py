"""The Apps' manifests, `app.yml`: what GitHub is asked for.

Source: https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from zekt_bot.config import App

# GitHub sends them to every App, whether it asks or not.
ALWAYS_SENT = frozenset(
    {"github_app_authorization", "installation", "installation_repositories", "ping"}
)
LONGEST_NAME = 34
_PLACEHOLDER = "{public_url}"


def manifest_file() -> Path:
    """`app.yml` in a checkout, else the copy inside the wheel."""
    package = Path(__file__).parents[1]
    checkout = package.parent / "app.yml"
    beside = (package.parent / "pyproject.toml").is_file() and checkout.is_file()
    return checkout if beside else package / "app.yml"


def manifest(app: App, public_url: str) -> dict[str, Any]:
    """An App's manifest for a server that is reached at `public_url`."""
    found: dict[str, Any] = _filled(_read()[app], public_url.rstrip("/"))
    return found


def hook_url(app: App, public_url: str) -> str:
    """Where this server takes an App's webhooks."""
    return str(manifest(app, public_url)["hook_attributes"]["url"])


@cache  # it belongs to this version, and reading it takes milliseconds of every page
def _read() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(manifest_file().read_text(encoding="utf-8"))
    return found


def _filled(value: Any, public_url: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, public_url) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, public_url) for each in value]
    return value.replace(_PLACEHOLDER, public_url) if isinstance(value, str) else value


def subscribed_events() -> frozenset[str]:
    """The events that the orchestration App is sent."""
    return ALWAYS_SENT | frozenset(manifest("orchestrator", "")["default_events"])
