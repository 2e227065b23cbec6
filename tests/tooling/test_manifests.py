"""GitHub refuses a whole manifest for one wrong line, after the person has clicked: not here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

APP_YML = Path(__file__).parents[2] / "app.yml"
MANIFESTS: dict[str, dict[str, Any]] = yaml.safe_load(APP_YML.read_text(encoding="utf-8"))

FIELDS = {
    "name",
    "url",
    "hook_attributes",
    "redirect_url",
    "callback_urls",
    "setup_url",
    "setup_on_update",
    "public",
    "description",
    "request_oauth_on_install",
    "default_permissions",
    "default_events",
}
# Sent to every App: a manifest that lists one is refused.
SENT_ALWAYS = {"installation", "installation_repositories", "github_app_authorization", "ping"}
# What an event needs to be subscribed to; None: nothing.
NEEDS = {
    "workflow_run": "actions",
    "workflow_job": "actions",
    "repository": "metadata",
    "installation_target": None,
}


@pytest.fixture(params=sorted(MANIFESTS))
def manifest(request: pytest.FixtureRequest) -> dict[str, Any]:
    return MANIFESTS[request.param]


def urls(manifest: dict[str, Any]) -> list[str]:
    found = [manifest["url"], manifest["hook_attributes"]["url"], manifest["redirect_url"]]
    return [*found, manifest["setup_url"], *manifest.get("callback_urls", [])]


def test_the_two_apps_are_described() -> None:
    assert set(MANIFESTS) == {"orchestrator", "oauth"}


def test_fields_are_ones_that_github_knows(manifest: dict[str, Any]) -> None:
    assert set(manifest) <= FIELDS


def test_the_name_fits(manifest: dict[str, Any]) -> None:
    assert 1 <= len(manifest["name"]) <= 34


def test_others_can_install_it(manifest: dict[str, Any]) -> None:
    assert manifest["public"] is True


def test_events_that_always_come_are_not_listed(manifest: dict[str, Any]) -> None:
    assert not SENT_ALWAYS & set(manifest["default_events"])


def test_every_event_has_its_permission(manifest: dict[str, Any]) -> None:
    for event in manifest["default_events"]:
        needed = NEEDS[event]
        assert needed is None or needed in manifest["default_permissions"], event


def test_people_come_back_to_the_setup_page(manifest: dict[str, Any]) -> None:
    # GitHub ignores setup_url when this is true.
    assert manifest["request_oauth_on_install"] is False


def test_urls_hold_the_one_placeholder(manifest: dict[str, Any]) -> None:
    for url in urls(manifest):
        filled = urlsplit(url.replace("{public_url}", "https://zekt.example"))
        assert (filled.scheme, filled.netloc) == ("https", "zekt.example")
        assert "{" not in filled.path
    rest = json.dumps(manifest).count("{public_url}")
    assert rest == len(urls(manifest))


def test_each_app_has_a_hook_path_of_its_own() -> None:
    hooks = {name: manifest["hook_attributes"] for name, manifest in MANIFESTS.items()}
    assert hooks == {
        "orchestrator": {"url": "{public_url}/webhooks/github", "active": True},
        "oauth": {"url": "{public_url}/webhooks/github/oauth", "active": True},
    }


def test_permissions_are_the_least_that_do() -> None:
    assert MANIFESTS["orchestrator"]["default_permissions"] == {
        "actions": "read",
        "contents": "write",
        "metadata": "read",
    }
    assert MANIFESTS["oauth"]["default_permissions"] == {"metadata": "read"}


def test_each_permission_and_event_says_why() -> None:
    lines = APP_YML.read_text(encoding="utf-8").splitlines()
    wanted = {
        *(
            f"    {name}: {value}"
            for app in MANIFESTS.values()
            for name, value in app["default_permissions"].items()
        ),
        *(f"    - {event}" for app in MANIFESTS.values() for event in app["default_events"]),
    }
    asked = [number for number, line in enumerate(lines) if line in wanted]
    assert len(asked) == sum(
        len(app["default_permissions"]) + len(app["default_events"]) for app in MANIFESTS.values()
    )
    assert all(lines[number - 1].lstrip().startswith("#") for number in asked)
