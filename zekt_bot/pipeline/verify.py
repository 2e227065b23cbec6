"""Is this request a webhook of ours? Bytes and headers in, a verified webhook out; no I/O.

Refusals come cheapest first, and who does not know the secret learns nothing beyond 401. Source:
https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import orjson

from zekt_bot.domain.events import RunKey
from zekt_bot.domain.webhooks import FromGitHubApi, VerifiedWebhook, Webhook
from zekt_bot.errors import WebhookRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zekt_bot.domain.webhooks import WebhookApp

W = TypeVar("W", bound=Webhook)
MOST_BYTES = 26_214_400
TOO_LARGE = f"The body is larger than {MOST_BYTES} bytes (25 MB), the most that GitHub sends."
_SIGNATURE = re.compile(r"sha256=([0-9a-fA-F]{64})")
_GUID = re.compile(r"[A-Za-z0-9-]{1,100}")
_EVENT = re.compile(r"[a-z_]{1,64}")
_MOST_ID = 2**63 - 1

# Every event that a step handles, and what its body must have.
HANDLED: dict[str, tuple[str, ...]] = {
    "workflow_run": ("repository", "run", "installation"),
    "workflow_job": ("repository", "run", "installation"),
    "installation": ("installation", "account"),
    "installation_repositories": ("installation",),
    "repository": ("repository",),
    "installation_target": ("account",),
}


class Headers(Protocol):
    """A request's headers, as `multidict.CIMultiDict` has them."""

    def getall(self, key: str, default: Sequence[str], /) -> Sequence[str]:
        """Each value of a header, whose name is written in any case."""
        ...


def check_head(headers: Headers, content_length: int | None) -> bytes:
    """The signature's 32 bytes, before the body is read.

    Raises:
        WebhookRefused: 413 the announced body is too large; 401 no signature, or not one.
    """
    if content_length is not None and content_length > MOST_BYTES:
        raise WebhookRefused(413, TOO_LARGE)
    found = headers.getall("X-Hub-Signature-256", ())
    match = _SIGNATURE.fullmatch(found[0].strip()) if len(found) == 1 else None
    if match is None:
        raise WebhookRefused(
            401,
            "X-Hub-Signature-256 is missing, repeated or not `sha256=` and 64 hex digits: set "
            "the App's webhook secret at GitHub to the one that this server has.",
        )
    return bytes.fromhex(match[1])


def read(
    app: WebhookApp, secrets: Sequence[bytes], headers: Headers, body: bytes
) -> VerifiedWebhook:
    """A webhook whose body one of the secrets has signed.

    Raises:
        WebhookRefused: as `check_head`; 401 no secret makes this signature; 415 not JSON in UTF-8;
            400 event headers or body are not what GitHub sends.
    """
    if not _is_signed(secrets, check_head(headers, len(body)), body):
        raise WebhookRefused(
            401,
            "The signature does not fit the body: the App's webhook secret at GitHub and "
            "this server's differ, or something on the way changed the body.",
        )
    _check_content(headers)
    guid = _header(headers, "X-GitHub-Delivery", _GUID)
    event = _header(headers, "X-GitHub-Event", _EVENT)
    return _webhook(VerifiedWebhook, app, (guid, event), body)


def sender(webhook: VerifiedWebhook) -> int | None:
    """The id of who caused it; None if the body names nobody."""
    return _id(_part(_parse(webhook.raw), "sender"), "id")


def from_api(app: WebhookApp, guid: str, event: str, payload: Mapping[str, Any]) -> FromGitHubApi:
    """A webhook as GitHub keeps it in the list of its deliveries; nothing of it is signed.

    Raises:
        WebhookRefused: 400, no webhook of GitHub's looks like that.
    """
    if not _GUID.fullmatch(guid) or not _EVENT.fullmatch(event):
        raise WebhookRefused(400, "The delivery's GUID or event is ill-formed.")
    return _webhook(FromGitHubApi, app, (guid, event), json.dumps(payload).encode())


def _is_signed(secrets: Sequence[bytes], signature: bytes, body: bytes) -> bool:
    return any(
        hmac.compare_digest(hmac.digest(secret, body, hashlib.sha256), signature)
        for secret in secrets
    )


def _check_content(headers: Headers) -> None:
    types = headers.getall("Content-Type", ())
    encodings = headers.getall("Content-Encoding", ())
    if len(types) > 1 or len(encodings) > 1:
        raise WebhookRefused(400, "Content-Type or Content-Encoding is repeated: send it once.")
    if not types or not _is_json(types[0]):
        raise WebhookRefused(
            415,
            "The content type is not application/json in UTF-8: set the webhook's content type "
            "to application/json in the App's settings at GitHub.",
        )
    if encodings and encodings[0].strip().lower() not in {"", "identity"}:
        raise WebhookRefused(415, "Content-Encoding is not taken: send the body as it is.")


@lru_cache(64)  # only those who know a secret come here, and GitHub writes it one way
def _is_json(content_type: str) -> bool:
    kind, *parameters = [part.strip() for part in content_type.lower().split(";")]
    charsets = [each[8:].strip('"') for each in parameters if each.startswith("charset=")]
    return kind == "application/json" and {"utf-8"}.issuperset(charsets)


def _header(headers: Headers, name: str, form: re.Pattern[str]) -> str:
    found = headers.getall(name, ())
    value = found[0].strip() if len(found) == 1 else ""
    if not form.fullmatch(value):
        raise WebhookRefused(
            400, f"{name} is missing, repeated or ill-formed: it must be {form.pattern}."
        )
    return value


def _parse(body: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError):
        raise WebhookRefused(400, "The body is not JSON: send what GitHub sent.") from None
    if not isinstance(parsed, dict):
        raise WebhookRefused(400, "The body is not a JSON object: send what GitHub sent.")
    return parsed


def _webhook(kind: type[W], app: WebhookApp, named: tuple[str, str], raw: bytes) -> W:
    body, (guid, event) = _parse(raw), named
    installation, repository = _part(body, "installation"), _part(body, "repository")
    run = _part(body, event)
    # Whose installation, repository or account it is.
    account = _part(installation, "account") or _part(repository, "owner") or _part(body, "account")
    action, login, run_event = body.get("action"), account.get("login"), run.get("event")
    installation_id, account_id = _id(installation, "id"), _id(account, "id")
    repository_id = _id(repository, "id")
    key = _run_key(repository_id, event, run)
    there = {
        "installation": installation_id,
        "account": account_id,
        "repository": repository_id,
        "run": key,
    }
    missing = [part for part in HANDLED.get(event, ()) if there[part] is None]
    return kind(
        app=app,
        guid=guid,
        event=event,
        action=action if isinstance(action, str) else None,
        installation_id=installation_id,
        account_id=account_id,
        account_login=login if isinstance(login, str) else None,
        repository_id=repository_id,
        run_key=key,
        run_event=run_event if isinstance(run_event, str) else None,
        malformed=f"no usable id of its {' and '.join(missing)}" if missing else None,
        raw=raw,
    )


def _part(body: dict[str, Any], name: str) -> dict[str, Any]:
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def _id(part: dict[str, Any], name: str) -> int | None:
    found = part.get(name)
    return found if type(found) is int and 0 < found <= _MOST_ID else None  # True is no id


def _run_key(repository_id: int | None, event: str, part: dict[str, Any]) -> RunKey | None:
    if event not in {"workflow_run", "workflow_job"}:
        return None
    run_id = _id(part, "run_id" if event == "workflow_job" else "id")
    attempt = _id(part, "run_attempt")
    if repository_id is None or run_id is None or attempt is None:
        return None
    return RunKey(repository_id, run_id, attempt)
