"""A service as lists, pages and exports tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from zekt_bot.domain.catalog import Repository, Service


def service_facts(service: Service, repository: Repository | None) -> dict[str, Any]:
    """A service as a list shows it; with its repository: all of it."""
    profile = service.profile
    told: dict[str, Any] = {
        "id": service.id,
        "service": service.name,
        "title": profile.title,
        "description": profile.description,
        "tags": list(profile.tags),
        "event_types": list(profile.event_types),
        "visibility": profile.visibility,
        "hidden_source": profile.hidden_source,
        "one_per_type": profile.one_per_type,
        "secrets": profile.secrets,
        "shield": profile.shield,
        "message_schema": profile.message_schema and orjson.loads(profile.message_schema),
        "published": service.published,
    }
    if repository is None:
        return told
    return told | {
        "owner": service.owner,
        "slug": service.slug,
        "alias": profile.alias,
        "listed": profile.listed,
        "approves": list(profile.approves),
        "repository": repository.full_name,
        "workflow_path": service.workflow_path,
        "rests": service.rests or repository.obstacle,
    }
