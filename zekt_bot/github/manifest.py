"""The Apps' manifests, `app.yml`: what GitHub is asked for.

Source: https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

from pathlib import Path

import yaml

# GitHub sends them to every App, whether it asks or not.
ALWAYS_SENT = frozenset(
    {"github_app_authorization", "installation", "installation_repositories", "ping"}
)


def manifest_file() -> Path:
    """`app.yml` in a checkout, else the copy inside the wheel."""
    package = Path(__file__).parents[1]
    checkout = package.parent / "app.yml"
    beside = (package.parent / "pyproject.toml").is_file() and checkout.is_file()
    return checkout if beside else package / "app.yml"


def subscribed_events() -> frozenset[str]:
    """The events that the orchestration App is sent."""
    manifest = yaml.safe_load(manifest_file().read_text(encoding="utf-8"))
    return ALWAYS_SENT | frozenset(manifest["orchestrator"]["default_events"])
