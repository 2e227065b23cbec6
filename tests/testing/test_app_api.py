"""What an App asks with its JSON Web Token."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from zekt_bot.testing import GitHubSimulator, ManualClock

if TYPE_CHECKING:
    from tests.testing.client import Client
    from tests.testing.conftest import Scene

FUTURE = (
    "'Expiration time' claim ('exp') must be a numeric value representing the future time at "
    "which the assertion expires"
)


async def test_the_app_is_described(scene: Scene) -> None:
    answer = await scene.client.as_app(scene.app, "/app")
    assert answer.status == 200
    assert answer.body["id"] == scene.app.app_id
    assert answer.body["client_id"] == scene.app.client_id
    assert answer.body["slug"] == "zekt-orchestrator-app"
    assert answer.body["permissions"]["contents"] == "write"
    assert answer.body["events"] == ["repository", "workflow_job", "workflow_run"]
    assert answer.body["installations_count"] == 1


async def test_an_answer_has_githubs_headers(scene: Scene) -> None:
    headers = (await scene.client.as_app(scene.app, "/app")).headers
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert re.fullmatch(r"([0-9A-F]{4,}:){4}[0-9A-F]+", headers["X-GitHub-Request-Id"])
    assert headers["X-RateLimit-Limit"] == "5000"
    assert headers["X-RateLimit-Remaining"] == "4999"
    assert headers["X-RateLimit-Resource"] == "core"
    assert headers["X-GitHub-Media-Type"] == "github.v3; format=json"


@pytest.mark.parametrize("issuer", ["client_id", "app_id", "number"])
async def test_the_issuer_is_the_client_id_or_the_app_id(scene: Scene, issuer: str) -> None:
    number = scene.app.app_id
    names = {"client_id": scene.app.client_id, "app_id": str(number), "number": number}
    token = signed(scene, iss=names[issuer])
    assert (await scene.client.ask("GET", "/app", token)).status == 200


def signed(scene: Scene, **claims: Any) -> str:
    """A JSON Web Token of the App with any claims, of any type."""
    now = int(scene.github.clock.now().timestamp())
    told = {"iat": now - 60, "exp": now + 540, "iss": scene.app.client_id, **claims}
    return jwt.PyJWS().encode(json.dumps(told).encode(), scene.app.private_key, "RS256")


@pytest.mark.parametrize("claims", [{"aud": "github"}, {"sub": 5}, {"jti": 7}])
async def test_claims_that_github_does_not_read_may_be_there(
    scene: Scene, claims: dict[str, Any]
) -> None:
    assert (await scene.client.ask("GET", "/app", signed(scene, **claims))).status == 200


async def test_the_apps_token_comes_after_bearer_alone(scene: Scene) -> None:
    value = scene.client.jwt(scene.app)
    for scheme, status in (("bearer", 200), ("Bearer", 200), ("token", 401)):
        sent = {"Authorization": f"{scheme} {value}"}
        assert (await scene.client.ask("GET", "/app", headers=sent)).status == status
    sent = {"Authorization": f"token {await scene.client.token(scene.installation)}"}
    assert (await scene.client.ask("GET", "/installation/repositories", headers=sent)).status == 200


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (601, "'Expiration time' claim ('exp') is too far in the future"),
        (0, FUTURE),
        (-5, FUTURE),
        (None, FUTURE),
        (float("nan"), FUTURE),
        pytest.param(
            10**400, "'Expiration time' claim ('exp') is too far in the future", id="absurd"
        ),
    ],
)
async def test_expiry_is_checked_by_the_clock(
    scene: Scene, seconds: float | None, message: str
) -> None:
    now = int(scene.github.clock.now().timestamp())
    expires = None if seconds is None else now + seconds
    answer = await scene.client.ask("GET", "/app", signed(scene, exp=expires))
    assert answer.status == 401
    assert answer.body["message"] == message
    assert answer.body["status"] == "401"
    assert answer.body["documentation_url"] == "https://docs.github.com/rest"


async def test_a_token_issued_in_the_future_is_refused(scene: Scene) -> None:
    now = int(scene.github.clock.now().timestamp())
    answer = await scene.client.ask("GET", "/app", scene.client.jwt(scene.app, iat=now + 30))
    assert answer.status == 401
    assert answer.body["message"].startswith("'Issued at' claim ('iat') must be an Integer")


async def test_when_a_token_was_issued_is_a_whole_number(scene: Scene) -> None:
    now = int(scene.github.clock.now().timestamp())
    for issued in (now - 60.0, str(now), True, None):
        claims = {"iss": scene.app.client_id, "exp": now + 60, "iat": issued}
        credential = jwt.encode(claims, scene.app.private_key, algorithm="RS256")
        answer = await scene.client.ask("GET", "/app", credential)
        assert answer.status == 401
        assert answer.body["message"].startswith("'Issued at' claim ('iat') must be an Integer")


async def test_what_is_not_signed_by_the_app_is_refused(scene: Scene) -> None:
    other = scene.github.app("other")
    forged = scene.client.jwt(other, iss=scene.app.client_id)
    shared = jwt.encode({"iss": scene.app.client_id, "exp": 9e9}, "s" * 32, algorithm="HS256")
    for credential in (None, "nonsense", forged, shared):
        answer = await scene.client.ask("GET", "/app", credential)
        assert answer.status == 401
        assert answer.body["message"] == "A JSON web token could not be decoded"
    unknown = scene.client.jwt(scene.app, iss="999")
    answer = await scene.client.ask("GET", "/app", unknown)
    assert (answer.status, answer.body["message"]) == (404, "Integration not found")


async def test_installations_come_in_pages(scene: Scene) -> None:
    for number in range(3):
        await scene.github.install(scene.app, scene.github.account(f"org-{number}"))
    first = await scene.client.as_app(scene.app, "/app/installations?per_page=3")
    assert len(first.body) == 3
    assert 'rel="next"' in first.headers["Link"]
    link = re.search(r'<([^>]+)>; rel="next"', first.headers["Link"])
    assert link is not None
    second = await scene.client.as_app(scene.app, link[1])
    assert [one["account"]["login"] for one in second.body] == ["org-2"]


async def test_an_installation_has_githubs_fields(scene: Scene) -> None:
    path = f"/app/installations/{scene.installation.id}"
    told = (await scene.client.as_app(scene.app, path)).body
    assert told["account"]["login"] == "aurora-labs"
    assert told["target_type"] == "Organization"
    assert told["repository_selection"] == "all"
    assert told["created_at"] == "2026-07-01T12:00:00Z"
    assert told["suspended_at"] is None
    assert told["events"] == ["repository", "workflow_job", "workflow_run"]


async def test_installations_are_found_by_repository_and_account(scene: Scene) -> None:
    for path in ("/repos/Aurora-Labs/docs", "/orgs/aurora-labs", "/users/aurora-labs"):
        answer = await scene.client.as_app(scene.app, f"{path}/installation")
        assert answer.body["id"] == scene.installation.id
    for path in ("/repos/aurora-labs/none", "/orgs/octocat", "/users/nobody"):
        assert (await scene.client.as_app(scene.app, f"{path}/installation")).status == 404


async def test_another_apps_installation_is_not_found(scene: Scene) -> None:
    other = scene.github.app("other")
    path = f"/app/installations/{scene.installation.id}"
    assert (await scene.client.as_app(other, path)).status == 404


async def test_the_hook_can_be_read_and_changed(scene: Scene) -> None:
    told = (await scene.client.as_app(scene.app, "/app/hook/config")).body
    assert told == {
        "content_type": "json",
        "insecure_ssl": "0",
        "secret": "********",
        "url": scene.receiver.url,
    }
    change = {"url": "http://127.0.0.1:1/x", "secret": "new"}
    await scene.client.as_app(scene.app, "/app/hook/config", "PATCH", change)
    assert (scene.app.hook_url, scene.app.webhook_secret) == ("http://127.0.0.1:1/x", "new")


async def test_deliveries_are_listed_and_redelivered(scene: Scene, clock: ManualClock) -> None:
    scene.receiver.status = 503
    await scene.github.start_run(scene.api, "ci.yml")
    scene.receiver.status = 202
    clock.advance(timedelta(hours=1))
    await scene.github.start_run(scene.api, "ci.yml")
    newest, failed, *_ = (await scene.client.as_app(scene.app, "/app/hook/deliveries")).body
    assert (newest["status"], newest["status_code"]) == ("OK", 202)
    assert failed["status"] == "Invalid HTTP Response: 503"
    assert (failed["event"], failed["action"]) == ("workflow_run", "requested")
    assert failed["repository_id"] == scene.api.id
    assert not failed["redelivery"]
    only = await scene.client.as_app(scene.app, "/app/hook/deliveries?status=failure")
    assert [one["id"] for one in only.body] == [failed["id"]]

    path = f"/app/hook/deliveries/{failed['id']}"
    detail = (await scene.client.as_app(scene.app, path)).body
    assert detail["request"]["headers"]["X-GitHub-Delivery"] == failed["guid"]
    assert detail["request"]["payload"]["action"] == "requested"
    again = await scene.client.as_app(scene.app, f"{path}/attempts", "POST")
    assert (again.status, again.body) == (202, {})
    await scene.github.settle()
    assert scene.receiver.hooks[-1].headers["X-GitHub-Delivery"] == failed["guid"]
    latest, *_ = (await scene.client.as_app(scene.app, "/app/hook/deliveries")).body
    assert latest["redelivery"]
    assert latest["id"] != failed["id"]


@pytest.mark.parametrize(
    ("status", "counts_as"),
    [(200, "success"), (302, "success"), (400, "failure"), (503, "failure")],
)
async def test_deliveries_are_filtered_by_status(scene: Scene, status: int, counts_as: str) -> None:
    scene.receiver.status = status
    await scene.github.start_run(scene.api, "ci.yml")
    answered = {}
    for which in ("success", "failure"):
        path = f"/app/hook/deliveries?per_page=1&status={which}"
        listed = (await scene.client.as_app(scene.app, path)).body
        answered[which] = [one["status_code"] for one in listed]
    assert answered[counts_as] == [status]
    assert status not in answered["failure" if counts_as == "success" else "success"]


async def test_deliveries_come_by_cursor_and_are_kept_three_days(
    scene: Scene, clock: ManualClock
) -> None:
    for _ in range(4):
        await scene.github.start_run(scene.api, "ci.yml")
    seen: list[int] = []
    path: str | None = "/app/hook/deliveries?per_page=2"
    while path:
        answer = await scene.client.as_app(scene.app, path)
        seen += [one["id"] for one in answer.body]
        link = re.search(r"<([^>]+)>", answer.headers.get("Link", ""))
        path = link[1] if link else None
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 5
    clock.advance(timedelta(days=3, seconds=1))
    assert (await scene.client.as_app(scene.app, "/app/hook/deliveries")).body == []


async def test_unknown_paths_and_methods_are_not_found(client: Client) -> None:
    for method, path in (("GET", "/nonsense"), ("DELETE", "/app"), ("POST", "/meta")):
        answer = await client.ask(method, path)
        assert answer.status == 404
        assert answer.body == {
            "message": "Not Found",
            "documentation_url": "https://docs.github.com/rest",
            "status": "404",
        }


async def test_people_and_the_host_are_public(scene: Scene) -> None:
    by_name: Any = (await scene.client.ask("GET", "/users/Aurora-Labs")).body
    by_id = (await scene.client.ask("GET", f"/user/{scene.org.id}")).body
    assert by_name == by_id
    assert (by_name["id"], by_name["type"]) == (scene.org.id, "Organization")
    bot = (await scene.client.ask("GET", f"/users/{scene.app.slug}%5Bbot%5D")).body
    assert bot["type"] == "Bot"
    assert "hooks" in (await scene.client.ask("GET", "/meta")).body


async def test_an_enterprise_servers_addresses() -> None:
    async with GitHubSimulator(ManualClock(), api_prefix="/api/v3") as github:
        assert github.api_url == f"{github.web_url}/api/v3"
