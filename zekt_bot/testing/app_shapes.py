"""GitHub's JSON for Apps, their installations and tokens.

Source: https://docs.github.com/rest/apps/apps
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.testing import shapes
from zekt_bot.testing.model import node_id
from zekt_bot.testing.shapes import GITHUB_COM, Json, Urls, iso

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zekt_bot.testing.model import App, Installation, InstallationRequest, Repository, Token


def installation(found: Installation, urls: Urls = GITHUB_COM) -> Json:
    """An installation, its times as text.

    Source: https://docs.github.com/rest/apps/apps#get-an-installation-for-the-authenticated-app
    """
    account = found.account
    settings = (
        f"organizations/{account.login}/settings" if account.kind == "Organization" else "settings"
    )
    return {
        "id": found.id,
        "client_id": found.app.client_id,
        "account": shapes.simple_user(account, urls),
        "repository_selection": found.repository_selection,
        "access_tokens_url": f"{urls.api}/app/installations/{found.id}/access_tokens",
        "repositories_url": f"{urls.api}/installation/repositories",
        "html_url": f"{urls.web}/{settings}/installations/{found.id}",
        "app_id": found.app.id,
        "app_slug": found.app.slug,
        "target_id": account.id,
        "target_type": account.kind,
        "permissions": dict(sorted(found.permissions.items())),
        "events": _listed(found),
        "created_at": iso(found.created_at),
        "updated_at": iso(found.updated_at),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": found.suspended_by and shapes.simple_user(found.suspended_by, urls),
        "suspended_at": iso(found.suspended_at),
    }


def _listed(found: Installation) -> list[str]:
    hidden = set(found.app.events) - set(found.app.listed_events)
    return sorted(set(found.events) - hidden)


def installation_request(found: InstallationRequest, urls: Urls = GITHUB_COM) -> Json:
    """That somebody asked for an App.

    Source: https://docs.github.com/rest/apps/apps#list-installation-requests-for-the-authenticated-app
    """
    return {
        "id": found.id,
        "node_id": node_id("IR", found.id),
        "account": shapes.simple_user(found.account, urls),
        "requester": shapes.simple_user(found.requester, urls),
        "created_at": iso(found.created_at),
    }


def installation_reference(found: Installation) -> Json:
    """The `installation` part of every other webhook."""
    return {"id": found.id, "node_id": node_id("I", found.id)}


def app(found: App, urls: Urls = GITHUB_COM, installations: int = 0) -> Json:
    """What `GET /app` answers.

    Source: https://docs.github.com/rest/apps/apps#get-the-authenticated-app
    """
    return {
        "id": found.id,
        "client_id": found.client_id,
        "slug": found.slug,
        "node_id": node_id("A", found.id),
        "owner": shapes.simple_user(found.owner, urls),
        "name": found.name,
        "description": "",
        "external_url": "https://zekt.example",
        "html_url": f"{urls.web}/apps/{found.slug}",
        "created_at": iso(found.created_at),
        "updated_at": iso(found.created_at),
        "permissions": dict(sorted(found.permissions.items())),
        "events": found.listed_events,
        "installations_count": installations,
    }


def token(made: Token, repositories: Iterable[Repository], urls: Urls = GITHUB_COM) -> Json:
    """What minting an installation token answers; repositories only where it was narrowed.

    Source: https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app
    """
    narrowed = made.repositories is not None
    answer: Json = {
        "token": made.value,
        "expires_at": iso(made.expires_at),
        "permissions": dict(sorted(made.permissions.items())),
        "repository_selection": (
            "selected" if narrowed else made.installation.repository_selection
        ),
    }
    if narrowed:
        answer["repositories"] = [shapes.granted_repository(one, urls) for one in repositories]
    return answer
