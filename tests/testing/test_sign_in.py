"""People sign in at the simulated GitHub, authorize an App, and its tokens act for them."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.testing.walker import Walker
from zekt_bot.testing.people import challenge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.testing.client import Client
    from tests.testing.conftest import Scene
    from zekt_bot.testing import Account, App, GitHubSimulator, ManualClock

CALLBACK = "http://127.0.0.1:9/auth/github/callback"
VERIFIER = "v" * 43


@pytest.fixture
def oauth(github: GitHubSimulator, scene: Scene) -> App:
    return github.app(
        "zekt-sign-in",
        permissions={"metadata": "read"},
        events=(),
        callback_urls=[CALLBACK],
        hook_url=scene.receiver.url,
    )


@pytest.fixture
def person(github: GitHubSimulator) -> Account:
    return github.account("maja-lind", "User")


@pytest.fixture
async def walker(github: GitHubSimulator) -> AsyncIterator[Walker]:
    async with Walker(github.web_url) as walker:
        yield walker


def asking(app: App, **changed: str) -> dict[str, str]:
    asked = {
        "client_id": app.client_id,
        "redirect_uri": CALLBACK,
        "state": "of this browser",
        "code_challenge": challenge(VERIFIER),
        "code_challenge_method": "S256",
    }
    return {**asked, **changed}


async def code_of(walker: Walker, app: App, **changed: str) -> str:
    back = await walker.authorize(asking(app, **changed), "maja-lind")
    told = dict(parse_qsl(urlsplit(back).query))
    assert back.startswith(CALLBACK + "?")
    assert told["state"] == "of this browser"
    return told["code"]


async def exchange(client: Client, app: App, **told: str) -> dict[str, object]:
    body = {"client_id": app.client_id, "client_secret": app.client_secret, **told}
    answer = await client.ask(
        "POST",
        client.github.web_url + "/login/oauth/access_token",
        body=body,
        headers={"Content-Type": "application/json", "Accept": "application/json"},
    )
    assert answer.status == 200
    found: dict[str, object] = answer.body
    return found


async def test_a_code_gives_a_pair_of_tokens_once(
    walker: Walker, client: Client, oauth: App, person: Account
) -> None:
    code = await code_of(walker, oauth)
    given = await exchange(client, oauth, code=code, code_verifier=VERIFIER, redirect_uri=CALLBACK)
    assert (given["expires_in"], given["refresh_token_expires_in"]) == (28800, 15897600)
    assert (str(given["access_token"])[:4], str(given["refresh_token"])[:4]) == ("ghu_", "ghr_")
    assert (given["token_type"], given["scope"]) == ("bearer", "")
    told = await client.ask("GET", "/user", str(given["access_token"]))
    assert (told.status, told.body["id"], told.body["login"]) == (200, person.id, "maja-lind")
    again = await exchange(client, oauth, code=code, code_verifier=VERIFIER)
    assert again["error"] == "bad_verification_code"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code": "0" * 20}, "bad_verification_code"),
        ({"code_verifier": "w" * 43}, "bad_verification_code"),
        ({"client_secret": "wrong"}, "incorrect_client_credentials"),
        ({"redirect_uri": CALLBACK + "/else"}, "redirect_uri_mismatch"),
        ({"grant_type": "refresh_token", "refresh_token": "ghr_x"}, "bad_refresh_token"),
    ],
)
async def test_a_refusal_has_status_200(
    walker: Walker, client: Client, oauth: App, person: Account, changed: dict[str, str], error: str
) -> None:
    told = {"code": await code_of(walker, oauth), "code_verifier": VERIFIER, **changed}
    refused = await exchange(client, oauth, **told)
    assert set(refused) == {"error", "error_description", "error_uri"}
    assert refused["error"] == error


async def test_tokens_come_as_a_form_unless_json_is_asked_for(
    walker: Walker, client: Client, oauth: App, person: Account
) -> None:
    shown = {"client_id": oauth.client_id, "client_secret": oauth.client_secret}
    for code in (await code_of(walker, oauth), "0" * 20):
        told = {**shown, "code": code, "code_verifier": VERIFIER}
        url = f"{client.github.web_url}/login/oauth/access_token"
        async with client.session.post(url, data=told) as answer:
            assert answer.status == 200
            assert answer.content_type == "application/x-www-form-urlencoded"
            given = dict(parse_qsl(await answer.text()))
        assert given.get("token_type", given.get("error")) in {"bearer", "bad_verification_code"}


async def test_a_classic_apps_token_lives_until_it_is_revoked(
    walker: Walker, client: Client, oauth: App, person: Account, clock: ManualClock
) -> None:
    oauth.is_classic = True
    code = await code_of(walker, oauth, scope="read:user repo")
    given = await exchange(client, oauth, code=code, code_verifier=VERIFIER)
    token = str(given.pop("access_token"))
    assert token.startswith("gho_")
    assert given == {"token_type": "bearer", "scope": "read:user,repo"}
    clock.advance(timedelta(days=365))
    assert (await client.ask("GET", "/user", token)).body["login"] == "maja-lind"
    listed = await client.ask("GET", "/user/installations", token)
    assert listed.status == 403
    assert listed.body["message"].startswith("You must authenticate with an access token authori")


async def test_an_installation_acts_for_no_person(scene: Scene, client: Client) -> None:
    token = await client.token(scene.installation)
    for path in ("/user", "/user/installations", "/user/orgs", "/user/repos"):
        answer = await client.ask("GET", path, token)
        assert answer.status == 403
        assert answer.body["message"] == "Resource not accessible by integration"


async def test_a_code_lives_ten_minutes(
    walker: Walker, client: Client, oauth: App, person: Account, clock: ManualClock
) -> None:
    code = await code_of(walker, oauth)
    clock.advance(timedelta(minutes=10))
    refused = await exchange(client, oauth, code=code, code_verifier=VERIFIER)
    assert refused["error"] == "bad_verification_code"


async def test_a_refresh_ends_the_former_pair(
    walker: Walker, client: Client, oauth: App, person: Account, clock: ManualClock
) -> None:
    code = await code_of(walker, oauth)
    first = await exchange(client, oauth, code=code, code_verifier=VERIFIER)
    told = {"grant_type": "refresh_token", "refresh_token": str(first["refresh_token"])}
    second = await exchange(client, oauth, **told)
    assert (await client.ask("GET", "/user", str(first["access_token"]))).status == 401
    assert (await client.ask("GET", "/user", str(second["access_token"]))).status == 200
    assert (await exchange(client, oauth, **told))["error"] == "bad_refresh_token"
    clock.advance(timedelta(hours=8))
    assert (await client.ask("GET", "/user", str(second["access_token"]))).status == 401


async def test_who_cancels_is_sent_back_with_the_reason(
    walker: Walker, oauth: App, person: Account
) -> None:
    back = await walker.authorize(asking(oauth), "maja-lind", decision="0")
    told = dict(parse_qsl(urlsplit(back).query))
    assert (told["error"], told["state"]) == ("access_denied", "of this browser")
    assert "code" not in told


async def test_a_strangers_address_gets_nothing(
    walker: Walker, oauth: App, person: Account
) -> None:
    back = await walker.authorize(asking(oauth, redirect_uri="https://evil.example/"), "maja-lind")
    assert back.startswith(CALLBACK + "?error=redirect_uri_mismatch")


async def test_a_second_factor_is_asked_for(
    walker: Walker, oauth: App, person: Account, github: GitHubSimulator
) -> None:
    github.require_code(person, "123456")
    page = await walker.get("/login/oauth/authorize", asking(oauth))
    page = await walker.send(page, login="maja-lind", password="x")
    assert "Two-factor authentication" in page.text
    page = await walker.send(page, otp="000000")
    assert "Two-factor authentication failed." in page.text
    page = await walker.send(page, otp="123456")
    assert "Authorize zekt-sign-in" in page.text


async def test_who_is_nobody_does_not_sign_in(walker: Walker, oauth: App) -> None:
    page = await walker.get("/login/oauth/authorize", asking(oauth))
    page = await walker.send(page, login="nobody", password="x")
    assert "Incorrect username or password." in page.text


async def test_a_persons_list_is_what_both_may_see(
    walker: Walker, client: Client, oauth: App, person: Account, scene: Scene
) -> None:
    scene.api.roles[person.id] = "maintain"
    scene.github.repository(scene.org, "not-theirs", private=True)
    elsewhere = await scene.github.install(oauth, scene.github.account("kestrel-bank"))
    installed = await scene.github.install(oauth, scene.org)
    code = await code_of(walker, oauth)
    token = str((await exchange(client, oauth, code=code, code_verifier=VERIFIER))["access_token"])

    listed = await client.ask("GET", "/user/installations", token)
    assert [one["id"] for one in listed.body["installations"]] == [installed.id]
    path = f"/user/installations/{installed.id}/repositories"
    (one,) = (await client.ask("GET", path, token)).body["repositories"]
    assert (one["id"], one["permissions"]) == (
        scene.api.id,
        {"admin": False, "maintain": True, "push": True, "triage": True, "pull": True},
    )
    hidden = await client.ask("GET", f"/user/installations/{elsewhere.id}/repositories", token)
    assert hidden.status == 404
    await scene.github.suspend(installed)
    assert (await client.ask("GET", path, token)).status == 403


@pytest.mark.parametrize("classic", [False, True])
async def test_a_person_sees_a_repository_where_their_app_is_and_they_may(
    walker: Walker, client: Client, oauth: App, person: Account, scene: Scene, classic: bool
) -> None:
    oauth.is_classic = classic
    scene.api.roles[person.id] = "maintain"
    hidden = scene.github.repository(scene.org, "not-theirs", private=True)
    code = await code_of(walker, oauth)
    token = str((await exchange(client, oauth, code=code, code_verifier=VERIFIER))["access_token"])

    async def seen(path: str) -> tuple[int, bool]:
        answer = await client.ask("GET", path, token)
        may = answer.body.get("permissions", {})
        return answer.status, may.get("maintain", False)

    mine = f"/repos/{scene.api.full_name}"
    assert await seen(mine) == ((200, True) if classic else (404, False))
    await scene.github.install(oauth, scene.org)
    assert await seen(mine) == (200, True)
    assert await seen(f"/repos/{hidden.full_name}") == (404, False)
    assert await seen(f"/repos/{scene.docs.full_name}") == (200, False)
    assert await seen(f"/orgs/{scene.org.login}") == (200, False)
    assert await seen(f"{mine}/actions/runs") == ((200, False) if classic else (403, False))


async def test_what_was_authorized_can_be_taken_back(
    walker: Walker, client: Client, oauth: App, person: Account, scene: Scene
) -> None:
    code = await code_of(walker, oauth)
    token = str((await exchange(client, oauth, code=code, code_verifier=VERIFIER))["access_token"])
    scene.receiver.hooks.clear()

    page = await walker.get("/settings/apps/authorizations", {})
    page = await walker.send(page)
    assert scene.receiver.names == ["github_app_authorization.revoked"]
    assert scene.receiver.hooks[0].body["sender"]["id"] == person.id
    assert (await client.ask("GET", "/user", token)).status == 401


@pytest.mark.parametrize(("what", "left"), [("token", 1), ("grant", 0)])
async def test_an_app_gives_a_token_or_all_of_them_back(
    walker: Walker, client: Client, oauth: App, person: Account, what: str, left: int
) -> None:
    tokens = []
    for _ in range(2):
        code = await code_of(walker, oauth)
        given = await exchange(client, oauth, code=code, code_verifier=VERIFIER)
        tokens.append(str(given["access_token"]))
    path = f"/applications/{oauth.client_id}/{what}"
    basic = base64.b64encode(f"{oauth.client_id}:{oauth.client_secret}".encode()).decode()
    wrong = base64.b64encode(f"{oauth.client_id}:wrong".encode()).decode()
    body = {"access_token": tokens[0]}

    async def delete(credential: str) -> int:
        sent = {"Authorization": f"Basic {credential}"}
        return (await client.ask("DELETE", path, body=body, headers=sent)).status

    assert [await delete(one) for one in ("", wrong, basic, basic)] == [401, 404, 204, 404]
    body = {"token": tokens[0]}
    assert await delete(basic) == 422
    alive = [(await client.ask("GET", "/user", one)).status == 200 for one in tokens]
    assert alive.count(True) == left
