"""What is asked of GitHub: with which token, what of redirects, what a refusal becomes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.github.server import CONSUMER, INSTALLATION
from zekt_bot.config import AppCredentials
from zekt_bot.errors import (
    AppRejected,
    ConfigurationError,
    GitHubAnswered,
    GitHubUnreachable,
    InstallationSuspended,
    RepositoryNotGranted,
)
from zekt_bot.testing.world import private_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.github.server import FakeGitHub, FixedCredentials, Seen, TestClock
    from zekt_bot.config import Settings
    from zekt_bot.errors import GitHubError
    from zekt_bot.github.client import GitHub

    Ask = Callable[[GitHub], Awaitable[Any]]

APP = f"/app/installations/{INSTALLATION}"
MINT = f"{APP}/access_tokens"
REPOSITORY = f"/repositories/{CONSUMER}"
POST = "/repos/octo/consumer/dispatches"
SECOND = AppCredentials(app_id="12", private_key=private_key(1), version="2")
# Each call that answers a mapping or None, and the path it asks for.
CALLS: dict[str, tuple[str, Ask]] = {
    "installation": (APP, lambda github: github.installation(INSTALLATION)),
    "repository_installation": (
        "/repos/octo/consumer/installation",
        lambda github: github.repository_installation("octo/consumer"),
    ),
    "repository by id": (
        REPOSITORY,
        lambda github: github.repository(INSTALLATION, repository_id=CONSUMER),
    ),
    "repository by name": (
        "/repos/octo/consumer",
        lambda github: github.repository(INSTALLATION, full_name="octo/consumer"),
    ),
}
REDIRECTED = ["repository_installation", "repository by id", "repository by name"]
each_call = pytest.mark.parametrize(("path", "ask"), CALLS.values(), ids=CALLS)


def last(fake: FakeGitHub, path: str) -> Seen:
    return [seen for seen in fake.seen if seen.path == path][-1]


def bearer(seen: Seen) -> str:
    return seen.headers.get("authorization", "").partition(" ")[2]


@each_call
async def test_what_is_found_is_a_mapping(github: GitHub, path: str, ask: Ask) -> None:
    assert isinstance((await ask(github))["id"], int)


@each_call
async def test_what_is_not_found_is_none(
    github: GitHub, fake: FakeGitHub, path: str, ask: Ask
) -> None:
    fake.script("GET", path, 404, {"message": "Not Found"})
    assert await ask(github) is None


@pytest.mark.parametrize(
    ("status", "body"), [(403, {"message": "no"}), (500, b""), (200, b"no"), (200, [])]
)
@each_call
async def test_any_other_answer_is_an_error_with_its_status(
    github: GitHub, fake: FakeGitHub, path: str, ask: Ask, status: int, body: Any
) -> None:
    fake.script("GET", path, status, body)
    with pytest.raises(GitHubAnswered) as caught:
        await ask(github)
    assert caught.value.status == status


@each_call
async def test_no_answer_is_unreachable(
    github: GitHub, fake: FakeGitHub, path: str, ask: Ask
) -> None:
    fake.broken = True
    with pytest.raises(GitHubUnreachable):
        await ask(github)


@each_call
async def test_every_request_names_its_version_and_who_asks(
    github: GitHub, fake: FakeGitHub, path: str, ask: Ask
) -> None:
    await ask(github)
    for seen in fake.seen:
        assert seen.headers["accept"] == "application/vnd.github+json"
        assert seen.headers["x-github-api-version"] == "2022-11-28"
        assert seen.headers["user-agent"].startswith("zekt/")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("name", REDIRECTED)
async def test_a_renamed_repository_is_found_where_the_api_says(
    github: GitHub, fake: FakeGitHub, settings: Settings, name: str, status: int
) -> None:
    path, ask = CALLS[name]
    location = f"{settings.github_api_url}/repositories/7/installation"
    fake.script("GET", path, status, location=location)
    fake.script("GET", "/repositories/7/installation", 200, {"id": 7})
    assert await ask(github) == {"id": 7}


@pytest.mark.parametrize(
    "location", ["", "/repositories/7", "https://evil.example/", "{base}.evil.example/", "{base}1/"]
)
@pytest.mark.parametrize("name", REDIRECTED)
async def test_no_token_follows_a_redirect_to_another_place(
    github: GitHub, fake: FakeGitHub, settings: Settings, name: str, location: str
) -> None:
    path, ask = CALLS[name]
    fake.script("GET", path, 301, location=location.format(base=settings.github_api_url))
    with pytest.raises(GitHubAnswered, match="another place"):
        await ask(github)
    assert fake.seen[-1].path == path


@pytest.mark.parametrize("name", REDIRECTED)
async def test_only_one_redirect_is_followed(
    github: GitHub, fake: FakeGitHub, settings: Settings, name: str
) -> None:
    path, ask = CALLS[name]
    for _ in range(3):
        fake.script("GET", path, 301, location=f"{settings.github_api_url}{path}")
    with pytest.raises(GitHubAnswered, match="301"):
        await ask(github)
    assert fake.count("GET", path) == 2


async def test_each_question_is_asked_with_the_narrowest_right(
    github: GitHub, fake: FakeGitHub
) -> None:
    for _, ask in CALLS.values():
        await ask(github)
    (mint,) = fake.mints
    assert mint == {"permissions": {"actions": "read", "metadata": "read"}}
    (token,) = fake.minted
    for name in ("repository by id", "repository by name"):
        assert bearer(last(fake, CALLS[name][0])) == token
    for name in ("installation", "repository_installation"):
        assert bearer(last(fake, CALLS[name][0])).startswith("eyJ")
    await github.ask_as_nobody("/users/mona")
    assert "authorization" not in last(fake, "/users/mona").headers


@pytest.mark.parametrize("name", ["a/../../user", "octo/a b?c#d", "octo/%2e%2e"])
async def test_a_name_cannot_leave_its_place_in_the_path(
    github: GitHub, fake: FakeGitHub, name: str
) -> None:
    assert await github.repository(INSTALLATION, full_name=name) is None
    assert last(fake, f"/repos/{name}")


async def test_a_read_token_that_is_refused_is_replaced_once(
    github: GitHub, fake: FakeGitHub
) -> None:
    await github.repository(INSTALLATION, repository_id=CONSUMER)
    fake.revoked |= set(fake.minted)
    assert await github.repository(INSTALLATION, repository_id=CONSUMER)
    assert len(fake.mints) == 2
    fake.script("GET", REPOSITORY, 401)
    fake.script("GET", REPOSITORY, 401)
    with pytest.raises(GitHubAnswered, match="401"):
        await github.repository(INSTALLATION, repository_id=CONSUMER)
    assert len(fake.mints) == 3


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("Sorry. This installation owned by octo suspended your access", InstallationSuspended),
        ("Resource not accessible by integration", GitHubAnswered),
        ("You have exceeded a secondary rate limit", GitHubAnswered),
    ],
)
async def test_a_token_that_outlives_a_suspension_says_so(
    github: GitHub, fake: FakeGitHub, said: str, error: type[GitHubError]
) -> None:
    assert await github.repository(INSTALLATION, repository_id=CONSUMER)
    fake.script("GET", REPOSITORY, 403, {"message": said})
    with pytest.raises(error) as caught:
        await github.repository(INSTALLATION, repository_id=CONSUMER)
    assert type(caught.value) is error
    assert await github.repository(INSTALLATION, repository_id=CONSUMER)


async def test_whether_it_is_suspended_is_asked_once_a_minute(
    github: GitHub, fake: FakeGitHub, clock: TestClock
) -> None:
    """A refusal that does not say so, as of an IP allow list, comes again at each question."""

    async def refused(times: int) -> list[type[GitHubError]]:
        seen = []
        for _ in range(times):
            fake.script("GET", REPOSITORY, 403, {"message": "no"})
            with pytest.raises((GitHubAnswered, InstallationSuspended)) as caught:
                await github.repository(INSTALLATION, repository_id=CONSUMER)
            seen.append(caught.type)
        return seen

    assert (await refused(3), fake.count("GET", APP)) == ([GitHubAnswered] * 3, 1)
    fake.installation = {"id": INSTALLATION, "suspended_at": "2026-07-01T12:00:00Z"}
    clock.pass_(seconds=60)
    assert (await refused(2), fake.count("GET", APP)) == ([InstallationSuspended] * 2, 3)


async def test_the_app_lasts_as_long_as_its_credentials(
    github: GitHub, credentials: FixedCredentials
) -> None:
    first, same = await asyncio.gather(github.app(), github.app())
    assert first is same is await github.app()
    credentials.found = SECOND
    assert await github.app() is not first


async def test_without_credentials_there_is_no_app_and_every_call_says_so(
    github: GitHub, credentials: FixedCredentials
) -> None:
    credentials.found = AppCredentials()
    with pytest.raises(ConfigurationError, match="ZEKT_ORCHESTRATOR_APP_ID"):
        await github.app()
    for _, ask in CALLS.values():
        with pytest.raises(AppRejected, match="ZEKT_ORCHESTRATOR_APP_ID"):
            await ask(github)


async def test_a_refused_key_is_exchanged_for_newer_credentials_at_once(
    github: GitHub, fake: FakeGitHub, credentials: FixedCredentials
) -> None:
    fake.keys = {1}
    with pytest.raises(AppRejected, match="could not be decoded"):
        await github.installation(INSTALLATION)
    credentials.hidden = SECOND
    assert await github.installation(INSTALLATION)


async def test_newer_credentials_that_are_refused_too_are_tried_only_once(
    github: GitHub, fake: FakeGitHub, credentials: FixedCredentials
) -> None:
    fake.keys, credentials.hidden = set(), SECOND
    with pytest.raises(AppRejected):
        await github.installation(INSTALLATION)
    assert fake.count("GET", APP) == 4, "each key twice, the second time with a new JWT"
    credentials.hidden = replace(SECOND, private_key="none", version="3")
    with pytest.raises(AppRejected, match="ZEKT_ORCHESTRATOR_PRIVATE_KEY"):
        await github.installation(INSTALLATION)


async def test_a_channel_posts_with_one_right_and_reads_with_another(
    github: GitHub, fake: FakeGitHub
) -> None:
    api = github.installation_api(INSTALLATION, CONSUMER)
    assert (await api.post(POST, b"{}")).status == 204
    assert (await api.get(REPOSITORY)).status == 200
    assert (await api.installation()).status == 200
    assert api.now() == fake.clock.now()
    minted = fake.minted[bearer(last(fake, POST))]
    assert minted.permissions == {"contents": "write", "metadata": "read"}
    assert minted.repositories == frozenset({CONSUMER})
    assert "contents" not in fake.minted[bearer(last(fake, REPOSITORY))].permissions
    assert bearer(last(fake, APP)).startswith("eyJ")


async def test_attempts_that_meet_one_refused_token_share_the_fresh_one(
    github: GitHub, fake: FakeGitHub
) -> None:
    first, second = (github.installation_api(INSTALLATION, CONSUMER) for _ in range(2))
    await first.post(POST, b"{}")
    fake.revoked |= set(fake.minted)
    assert {(await api.post(POST, b"{}")).status for api in (first, second)} == {401}
    for api in (first, second):
        assert (await api.post(POST, b"{}", fresh_token=True)).status == 204
    assert len(fake.mints) == 2


async def test_a_fresh_token_is_fresh_though_nothing_was_posted_before(
    github: GitHub, fake: FakeGitHub
) -> None:
    await github.installation_api(INSTALLATION, CONSUMER).post(POST, b"{}")
    api = github.installation_api(INSTALLATION, CONSUMER)
    await api.post(POST, b"{}", fresh_token=True)
    assert len(fake.mints) == 2


@pytest.mark.parametrize(
    ("status", "headers", "doubted"),
    [(404, {}, True), (403, {}, True), (403, {"retry_after": "5"}, False), (500, {}, False)],
)
async def test_after_a_refusal_the_grant_is_asked_for_anew(
    github: GitHub, fake: FakeGitHub, status: int, headers: dict[str, str], doubted: bool
) -> None:
    api = github.installation_api(INSTALLATION, CONSUMER)
    fake.script("POST", POST, status, **headers)
    assert (await api.post(POST, b"{}")).status == status
    fake.granted.clear()
    if doubted:
        with pytest.raises(RepositoryNotGranted):
            await api.post(POST, b"{}")
    else:
        await api.post(POST, b"{}")
    assert len(fake.mints) == 1 + doubted


@pytest.mark.parametrize("value", ["a\nb", "a\r\nx-evil: 1", "tökén", "", "a\x00b"])
async def test_a_token_that_no_header_can_hold_is_an_error_of_github(
    github: GitHub, fake: FakeGitHub, value: str
) -> None:
    fake.script("POST", MINT, 201, {"token": value, "expires_at": "2026-07-01T13:00:00Z"})
    with pytest.raises(GitHubAnswered, match="no token"):
        await github.installation_api(INSTALLATION, CONSUMER).post(POST, b"{}")
    assert fake.count("POST", POST) == 0
