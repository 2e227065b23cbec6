from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.github.server import INSTALLATION, START, public_key
from zekt_bot.config import AppCredentials
from zekt_bot.errors import AppRejected, ConfigurationError
from zekt_bot.github.octo import EventRouter, app_config, plugin_router
from zekt_bot.testing.world import private_key

if TYPE_CHECKING:
    from tests.github.server import FakeGitHub, FixedCredentials, TestClock
    from zekt_bot.github.client import GitHub


def elliptic_pem() -> str:
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


@pytest.mark.parametrize(
    "shape",
    [
        lambda pem: pem,
        lambda pem: pem.replace("\n", "\\n"),
        lambda pem: f'"{pem.replace(chr(10), chr(92) + "n")}"',
        lambda pem: pem.replace("\n", "\r\n"),
        lambda pem: base64.b64encode(pem.encode()).decode(),
        lambda pem: base64.encodebytes(pem.encode()).decode(),
    ],
)
def test_a_key_is_taken_in_every_shape_that_platforms_make_of_it(shape: Any) -> None:
    config = app_config(AppCredentials(app_id="12", private_key=shape(private_key(0))))
    assert config.app_id == "12"


@pytest.mark.parametrize(
    "text",
    [
        "hunter2hunter2",
        "hunter2 é",
        base64.b64encode(b"hunter2 is no key").decode(),
        base64.b64encode(b"\xff\xfe").decode(),
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",
        private_key(0)[:400],
        elliptic_pem(),
    ],
)
def test_a_bad_key_names_the_variable_and_shows_nothing_of_it(text: str) -> None:
    with pytest.raises(ConfigurationError, match="ZEKT_ORCHESTRATOR_PRIVATE_KEY") as caught:
        app_config(AppCredentials(app_id="12", private_key=text))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("credentials", "name"),
    [
        (AppCredentials(private_key="x"), "ZEKT_ORCHESTRATOR_APP_ID"),
        (AppCredentials(app_id="12"), "ZEKT_ORCHESTRATOR_PRIVATE_KEY"),
    ],
)
def test_missing_credentials_are_named(credentials: AppCredentials, name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        app_config(credentials)


async def test_the_jwt_lives_by_our_clock_and_is_kept_seven_minutes(
    github: GitHub, clock: TestClock
) -> None:
    app = await github.app()
    first = str(app.gh_jwt)
    claims = jwt.decode(
        first,
        public_key(0),
        algorithms=["RS256"],
        options={"verify_exp": False, "verify_iat": False},
    )
    now = START.timestamp()
    assert claims == {"iss": "12", "iat": now - 60, "exp": now + 540}
    clock.pass_(minutes=6, seconds=59)
    assert str(app.gh_jwt) == first
    clock.pass_(seconds=1)
    assert str(app.gh_jwt) != first
    second = str(app.gh_jwt)
    clock.pass_(hours=-1)
    assert str(app.gh_jwt) != second, "a clock set back must not keep a token of the future"


async def test_the_app_knows_an_installation_without_asking(
    github: GitHub, fake: FakeGitHub
) -> None:
    app = await github.app()
    event = type("Event", (), {"payload": {"installation": {"id": INSTALLATION}}})()
    installation = await app.get_installation(event)  # type: ignore[no-untyped-call]
    assert installation is await app.get_installation_by_id(INSTALLATION)
    assert installation.api_client is installation.api_client
    assert app.api_client is app.api_client
    assert fake.seen == []


async def test_octomachinerys_own_ways_use_our_base_url_and_the_read_token(
    github: GitHub, fake: FakeGitHub
) -> None:
    app = await github.app()
    installation = app.installation(INSTALLATION)
    found = await installation.api_client.getitem(
        "/repos/{owner}/{repo}", {"owner": "octo", "repo": "consumer"}
    )
    assert found["full_name"] == "octo/consumer"
    assert fake.mints == [{"permissions": {"actions": "read", "metadata": "read"}}]
    assert (await app.api_client.getitem("/app/installations/77"))["id"] == INSTALLATION
    assert (await installation.get_token()).token in fake.minted
    await installation.api_client.ask("GET", "/repositories/1001")
    assert len(fake.mints) == 1


async def test_a_client_remembers_its_rate_limit_and_bears_senseless_headers(
    github: GitHub, fake: FakeGitHub
) -> None:
    client = (await github.app()).installation(INSTALLATION).api_client
    limit = {"X_RateLimit_Limit": "5000", "X_RateLimit_Reset": "1782910800"}
    fake.script("GET", "/x", 200, {}, X_RateLimit_Remaining="41", **limit)
    fake.script("GET", "/x", 200, {}, X_RateLimit_Remaining="many", **limit)
    await client.ask("GET", "/x")
    await client.ask("GET", "x")
    assert client.rate_limit is not None
    assert client.rate_limit.remaining == 41


async def test_no_secret_stands_in_a_repr(github: GitHub, fake: FakeGitHub) -> None:
    app = await github.app()
    installation = app.installation(INSTALLATION)
    await installation.tokens.read()
    token, octo_token = next(iter(fake.minted)), await installation.get_token()
    for thing in (app, app.gh_jwt, app.api_client, installation, installation.api_client):
        assert str(app.gh_jwt) not in repr(thing)
        assert token not in repr(thing)
    assert token not in repr(octo_token)
    assert token not in repr(await installation.mint({"metadata": "read"}, None))
    assert "PRIVATE" not in repr(app._config)
    assert app == app
    assert len({app, installation}) == 2


async def test_other_credentials_are_another_app(
    github: GitHub, credentials: FixedCredentials, fake: FakeGitHub
) -> None:
    first = await github.app()
    assert await github.app() is first
    credentials.found = AppCredentials("12", private_key(1), version="2")
    second = await github.app()
    assert second is not first
    assert second.installation(INSTALLATION) is not first.installation(INSTALLATION)
    with pytest.raises(AppRejected):
        await github.installation(INSTALLATION)
    fake.keys = {1}
    assert await github.installation(INSTALLATION)


def test_a_router_matches_event_and_action_once() -> None:
    router: EventRouter[str] = EventRouter()
    router.add("all", "workflow_run")
    router.add("done", "workflow_run", "completed")
    router.add("all", "workflow_run", "completed")
    assert router.match("workflow_run", {"action": "completed"}) == ["all", "done"]
    assert router.match("workflow_run", {"action": "requested"}) == ["all"]
    assert router.match("workflow_run", {}) == ["all"]
    assert router.match("ping", {"action": "completed"}) == []


@pytest.mark.parametrize("action", [None, [], {}, ["completed"], 7, 1.5, True])
def test_a_router_bears_every_action(action: Any) -> None:
    router: EventRouter[str] = EventRouter()
    router.add("done", "workflow_run", "completed")
    assert router.match("workflow_run", {"action": action}) == []


def test_the_plugins_router_is_octomachinerys() -> None:
    from octomachinery.routing import process_event_actions  # type: ignore[attr-defined]

    @process_event_actions("zekt_test", {"made"})  # type: ignore[untyped-decorator,no-untyped-call]
    async def handler(event: Any) -> None: ...

    assert len(plugin_router().match("zekt_test", {"action": "made"})) == 1
    assert plugin_router().match("zekt_test", {"action": {}}) == []
