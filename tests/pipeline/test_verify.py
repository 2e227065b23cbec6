"""Verification without I/O: what is refused, in which order, and what is read out of a body."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from zekt_bot.domain.events import RunKey
from zekt_bot.errors import WebhookRefused
from zekt_bot.pipeline.verify import HANDLED, MOST_BYTES, check_head, read

if TYPE_CHECKING:
    from collections.abc import Sequence


def headers(
    body: bytes = b"{}", secret: bytes = b"s", /, **changed: str | None
) -> CIMultiDict[str]:
    """GitHub's headers of `body`, some of them changed or (None) left out."""
    made = {
        "x-hub-signature-256": " sha256=" + hmac.digest(secret, body, hashlib.sha256).hex(),
        "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "x-github-event": "workflow_run",
        "content-type": "application/json",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    return CIMultiDict((name, value) for name, value in made.items() if value is not None)


def refusal(
    sent: CIMultiDict[str], body: bytes = b"{}", secrets: Sequence[bytes] = (b"s",)
) -> int | None:
    """The status of the refusal; None: it is taken."""
    try:
        read("orchestrator", secrets, sent, body)
    except WebhookRefused as error:
        return error.status
    return None


@given(body=st.binary(max_size=200), secrets=st.lists(st.binary(min_size=1), min_size=1))
def test_a_signature_fits_exactly_the_secrets_that_made_it(
    body: bytes, secrets: list[bytes]
) -> None:
    sent = headers(body, secrets[-1])
    others = [secret + b"." for secret in secrets]
    assert refusal(sent, body, secrets) != 401
    assert refusal(sent, body, others) == 401
    assert refusal(sent, body + b" ", secrets) == 401
    assert refusal(sent, body, []) == 401


@given(value=st.text(st.characters(), max_size=80))
@example("sha256=" + "0" * 63)
@example("sha1=" + "0" * 40)
@example("sha256=" + "\xe9" * 64)
@example("sha256=" + "\u0660" * 64)  # a digit, not of ours
@example("sha256=" + "\udcff" * 64)  # as a byte is read that is no UTF-8
def test_only_a_well_formed_signature_passes_the_head(value: str) -> None:
    try:
        assert len(check_head(CIMultiDict({"X-Hub-Signature-256": value}), 0)) == 32
    except WebhookRefused as error:
        assert error.status == 401  # noqa: PT017


def test_the_announced_size_is_refused_before_the_missing_signature() -> None:
    with pytest.raises(WebhookRefused) as caught:
        check_head(CIMultiDict(), MOST_BYTES + 1)
    assert caught.value.status == 413
    with pytest.raises(WebhookRefused) as caught:
        check_head(CIMultiDict(), MOST_BYTES)
    assert caught.value.status == 401
    twice = headers()
    twice.extend(headers())
    with pytest.raises(WebhookRefused) as caught:
        check_head(twice, 2)
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"content_type": None}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": "application/json; charset=latin-1"}, 415),
        ({"content_encoding": "gzip"}, 415),
        ({"x_github_event": None}, 400),
        ({"x_github_event": "Workflow Run"}, 400),
        ({"x_github_event": "e" * 65}, 400),
        ({"x_github_delivery": None}, 400),
        ({"x_github_delivery": "a b"}, 400),
        ({"x_github_delivery": "a" * 101}, 400),
        ({"x_github_delivery": "é"}, 400),
    ],
)
def test_headers_that_github_does_not_send(changed: dict[str, str | None], status: int) -> None:
    assert refusal(headers(**changed)) == status


@pytest.mark.parametrize("name", ["x-github-event", "x-github-delivery", "content-type"])
def test_a_repeated_header(name: str) -> None:
    sent = headers()
    sent.add(name, sent[name])
    assert refusal(sent) == 400


@pytest.mark.parametrize("kind", ["Application/JSON", "application/json; charset=UTF-8; x=y"])
def test_content_types_that_are_json(kind: str) -> None:
    assert read("orchestrator", [b"s"], headers(content_type=kind), b"{}").event == "workflow_run"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b'{"a": NaN}', b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"[" * 5000],
)
def test_bodies_that_are_no_json_object(body: bytes) -> None:
    assert refusal(headers(body), body) == 400


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
_PARTS = st.sampled_from(["id", "run_id", "run_attempt", "owner", "account", "login", "event"])


@given(
    event=st.sampled_from(sorted(HANDLED)),
    body=st.dictionaries(
        st.sampled_from(["installation", "repository", "account", "action", *HANDLED]),
        st.dictionaries(_PARTS, _VALUES, max_size=4) | _VALUES,
    ),
)
def test_any_object_of_a_handled_event_is_taken(event: str, body: dict[str, Any]) -> None:
    raw = orjson.dumps(body)
    webhook = read("orchestrator", [b"s"], headers(raw, x_github_event=event), raw)
    ids = (webhook.installation_id, webhook.account_id, webhook.repository_id)
    assert all(one is None or 0 < one < 2**63 for one in ids)
    there = {
        "installation": webhook.installation_id,
        "account": webhook.account_id,
        "repository": webhook.repository_id,
        "run": webhook.run_key,
    }
    lacks = [part for part in HANDLED[event] if there[part] is None]
    assert (webhook.malformed is not None) == bool(lacks)


@given(raw=st.binary(max_size=50))
def test_any_bytes_are_taken_or_refused(raw: bytes) -> None:
    try:
        assert read("orchestrator", [b"s"], headers(raw), raw).raw == raw
    except WebhookRefused as error:
        assert error.status == 400  # noqa: PT017


def test_what_is_read_out_of_a_run_and_a_job() -> None:
    repository = {"id": 5, "owner": {"id": 6, "login": "acme"}}
    run = {"id": 7, "run_attempt": 2, "event": "push"}
    body = {"action": "completed", "repository": repository, "installation": {"id": 8}}
    raw = orjson.dumps({**body, "workflow_run": run})
    webhook = read("orchestrator", [b"s"], headers(raw), raw)
    assert webhook.run_key == RunKey(5, 7, 2)
    assert (webhook.account_id, webhook.account_login) == (6, "acme")
    assert (webhook.action, webhook.run_event, webhook.malformed) == ("completed", "push", None)
    job = {"id": 9, "run_id": 7, "run_attempt": 2}
    raw = orjson.dumps({**body, "workflow_job": job})
    webhook = read("orchestrator", [b"s"], headers(raw, x_github_event="workflow_job"), raw)
    assert webhook.run_key == RunKey(5, 7, 2)
    assert "raw" not in repr(webhook)
