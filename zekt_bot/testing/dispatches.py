"""`repository_dispatch`: what GitHub refuses, what it starts, and a run's name.

Source: https://docs.github.com/rest/repos/repos#create-a-repository-dispatch-event
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.testing import app_shapes, expressions, shapes
from zekt_bot.testing.answers import ApiRefusal, invalid, shown
from zekt_bot.testing.shapes import GITHUB_COM, Json, Urls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from zekt_bot.testing.model import App, Repository, Token, Workflow

DOCS = "repos/repos#create-a-repository-dispatch-event"
MOST_KEYS = 10
MOST_BYTES = 65535
MOST_CHARACTERS = 100


@dataclass(frozen=True)
class Dispatch:
    """An accepted dispatch. `raw` is the request's body as it came."""

    at: datetime
    repository: Repository
    event_type: str
    client_payload: Any
    raw: bytes = field(repr=False)
    token: Token = field(repr=False)
    urls: Urls = field(default=GITHUB_COM, repr=False)

    @property
    def app(self) -> App:
        """The App whose token was used."""
        return self.token.installation.app


def checked(body: Mapping[str, Any]) -> tuple[str, Any]:
    """Event type and client payload.

    Raises:
        ApiRefusal: 422 with GitHub's text, which names all that is wrong.
    """
    payload = body.get("client_payload")
    wrong = [*_unknown_keys(body), *_event_type_errors(body), *_payload_errors(payload)]
    if wrong:
        raise invalid("\n".join(wrong), DOCS)
    if len(orjson.dumps(payload)) > MOST_BYTES:
        raise ApiRefusal(422, "client_payload is too large.", DOCS)
    return body["event_type"], {} if payload is None else payload


def _unknown_keys(body: Mapping[str, Any]) -> Iterator[str]:
    unknown = sorted(set(body) - {"event_type", "client_payload"})
    if unknown:
        verb = "is not a permitted key" if len(unknown) == 1 else "are not permitted keys"
        yield f"{', '.join(orjson.dumps(key).decode() for key in unknown)} {verb}."


def _event_type_errors(body: Mapping[str, Any]) -> Iterator[str]:
    if "event_type" not in body:
        yield '"event_type" wasn\'t supplied.'
        return
    event_type = body["event_type"]
    if not isinstance(event_type, str):
        yield f"For 'properties/event_type', {_short(event_type)} is not a string."
    elif len(event_type) > MOST_CHARACTERS:
        yield f"Only {MOST_CHARACTERS} characters are allowed; {len(event_type)} were supplied."
    elif not event_type:
        yield "At least 1 character is required; only 0 were supplied."


def _payload_errors(payload: Any) -> Iterator[str]:
    if payload is not None and not isinstance(payload, dict):
        yield f"For 'properties/client_payload', {_short(payload)} is not an object."
    elif payload is not None and len(payload) > MOST_KEYS:
        yield f"No more than {MOST_KEYS} properties are allowed; {len(payload)} were supplied."


def _short(value: Any) -> str:
    return shown(value)[:80]


def run_title(workflow: Workflow, dispatch: Dispatch) -> str:
    """`display_title` of the run: `run-name` with its expressions filled in, else the type.

    Source: https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#run-name
    """
    if not workflow.run_name:
        return dispatch.event_type
    title = expressions.title(workflow.run_name, {"github": _context(workflow, dispatch)})
    return title.strip() or dispatch.event_type


def event(dispatch: Dispatch) -> Json:
    """`github.event` of the runs that it starts.

    Source: https://docs.github.com/webhooks/webhook-events-and-payloads#repository_dispatch
    """
    repository, urls = dispatch.repository, dispatch.urls
    return {
        "action": dispatch.event_type,
        "branch": repository.default_branch,
        "client_payload": dispatch.client_payload,
        "installation": app_shapes.installation_reference(dispatch.token.installation),
        "organization": shapes.organization(repository.owner, urls),
        "repository": shapes.repository(repository, urls),
        "sender": shapes.simple_user(dispatch.app.bot, urls),
    }


def _context(workflow: Workflow, dispatch: Dispatch) -> dict[str, Any]:
    """The `github` context of the run; `expressions.KNOWN` names its parts.

    Source: https://docs.github.com/actions/reference/workflows-and-actions/contexts#github-context
    """
    bot, repository, urls = dispatch.app.bot, dispatch.repository, dispatch.urls
    branch = repository.default_branch
    return {
        "actor": bot.login,
        "actor_id": str(bot.id),
        "api_url": urls.api,
        "event": event(dispatch),
        "event_name": "repository_dispatch",
        "ref": f"refs/heads/{branch}",
        "ref_name": branch,
        "ref_type": "branch",
        "repository": repository.full_name,
        "repository_id": str(repository.id),
        "repository_owner": repository.owner.login,
        "repository_owner_id": str(repository.owner.id),
        "run_attempt": "1",
        "run_number": str(workflow.runs + 1),
        "server_url": urls.web,
        "triggering_actor": bot.login,
        "workflow": workflow.name,
    }
