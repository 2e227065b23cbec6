"""Tokens of runs, from a real issuer on a socket: each bad one is bad in exactly one way."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.config import Settings
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.run_tokens import VerifiedRun
from zekt_bot.errors import KeysUnavailable, RunTokenRefused
from zekt_bot.github.oidc import RunTokens, _key_id, issuer_of
from zekt_bot.testing import GitHubSimulator, ManualClock
from zekt_bot.testing.world import private_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from zekt_bot.testing import WorkflowRun

OURS = "https://zekt.example"
KEYS = "/_services/token/.well-known/jwks"
CONFIGURATION = "/_services/token/.well-known/openid-configuration"


@pytest.fixture
async def hub(clock: ManualClock) -> AsyncIterator[GitHubSimulator]:
    async with GitHubSimulator(clock) as simulator:
        yield simulator


@pytest.fixture
async def run(hub: GitHubSimulator) -> WorkflowRun:
    repository = hub.repository(hub.account("octo"), "api")
    return await hub.start_run(repository, "release.yml")


@pytest.fixture
async def tokens(
    hub: GitHubSimulator, clock: ManualClock, session: aiohttp.ClientSession
) -> RunTokens:
    return verifier(hub, clock, session)


def verifier(
    hub: GitHubSimulator, clock: ManualClock, session: aiohttp.ClientSession, **changed: Any
) -> RunTokens:
    settings = Settings(public_url=OURS, github_url=hub.web_url, github_api_url=hub.api_url)
    return RunTokens(replace(settings, **changed), clock, session)


def asked(hub: GitHubSimulator, path: str = KEYS) -> int:
    return sum(seen.path == path for seen in hub.requests)


async def refused(tokens: RunTokens, token: str) -> str:
    with pytest.raises(RunTokenRefused) as caught:
        await tokens.verify(token)
    assert not token or token not in str(caught.value)
    return str(caught.value)


async def test_a_run_is_known_by_its_token_and_the_token_may_come_again(
    hub: GitHubSimulator, tokens: RunTokens, run: WorkflowRun
) -> None:
    token = hub.oidc.token(run, "api://zekt")
    for _ in range(3):
        verified = await tokens.verify(token)
    assert verified.key == RunKey(run.repository.id, run.id, 1)
    assert (verified.repository, verified.workflow_path) == (
        "octo/api",
        ".github/workflows/release.yml",
    )
    assert (asked(hub), asked(hub, CONFIGURATION)) == (1, 1)


async def test_a_runner_asks_for_a_token_of_any_audience(
    hub: GitHubSimulator, tokens: RunTokens, run: WorkflowRun, session: aiohttp.ClientSession
) -> None:
    given = hub.oidc.environment(run)
    headers = {"Authorization": f"Bearer {given['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"}
    url = f"{given['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={OURS}"
    async with session.get(url, headers=headers) as answer:
        told = await answer.json()
    assert (await tokens.verify(told["value"])).key.run_id == run.id
    async with session.get(given["ACTIONS_ID_TOKEN_REQUEST_URL"], headers=headers) as answer:
        assert "audience" in await refused(tokens, (await answer.json())["value"])
    async with session.get(url) as answer:
        assert answer.status == 401
    async with session.get(url.replace(str(run.id), "1"), headers=headers) as answer:
        assert answer.status == 404


def signed(claims: dict[str, Any], *, key: Any, alg: str = "RS256", **header: Any) -> str:
    return jwt.encode(claims, key, alg, headers=header)


def by_hand(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


async def test_forged_tokens(hub: GitHubSimulator, tokens: RunTokens, run: WorkflowRun) -> None:
    claims, kid = hub.oidc.claims(run, "api://zekt"), hub.oidc.key_id
    own, other = hub.oidc.signing_key, private_key(0)
    public = serialization.load_pem_private_key(own.encode(), None).public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    good = hub.oidc.token(run, "api://zekt")
    head, body, signature = good.split(".")
    changed = base64.urlsafe_b64encode(json.dumps({**claims, "run_id": "1"}).encode()).decode()
    hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    unsigned = by_hand({"alg": "HS256", "kid": kid, "typ": "JWT"}, claims)
    with_public_key = hmac.sign(unsigned[:-1].encode(), pem)
    bad = {
        "alg none": by_hand({"alg": "none", "kid": kid}, claims),
        "alg none in capitals": by_hand({"alg": "NONE", "kid": kid}, claims),
        "no alg": by_hand({"kid": kid}, claims, b"x"),
        "HS256 with the public key": by_hand(
            {"alg": "HS256", "kid": kid, "typ": "JWT"}, claims, with_public_key
        ),
        "RS512": signed(claims, key=own, alg="RS512", kid=kid),
        "PS256": signed(claims, key=own, alg="PS256", kid=kid),
        "another key": signed(claims, key=other, kid=kid),
        "no kid": signed(claims, key=own),
        "crit": signed(claims, key=own, kid=kid, crit=["exp"]),
        "a key of its own": signed(
            claims, key=other, kid="evil", jwk={"kty": "RSA"}, x5c=["x"], jku="http://127.0.0.1:9/"
        ),
        "changed claims": f"{head}.{changed.rstrip('=')}.{signature}",
        "no signature": f"{head}.{body}.",
        "a fourth part": f"{good}.{signature}",
        "another part before": f"{head}.{good}",
        "padded": f"{good}==",
        "a line break in it": f"{head}.{body}\n.{signature}",
        "the other alphabet": f"{head}.{body}.{signature[:-4]}+/+/",
        "claims of its own beside it": signed(claims, key=own, kid=kid, b64=False),
        "cut": good[:-10],
        "no claims": signed({}, key=own, kid=kid),
        "a list of claims": jwt.PyJWS().encode(b"[]", own, "RS256", headers={"kid": kid}),
        "no JSON": jwt.PyJWS().encode(b"{", own, "RS256", headers={"kid": kid}),
        "nothing": "",
        "words": "not a token",
        "too long": good + "A" * 20_000,
        "deep": by_hand({"alg": "RS256", "kid": kid}, claims).replace(head, "WwBb" * 2000),
    }
    for what, token in bad.items():
        assert await refused(tokens, token), what
    assert (await tokens.verify(good)).key.run_id == run.id


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"iss": "https://token.actions.githubusercontent.com"}, "issuer"),
        ({"aud": "https://github.com/octo"}, "audience"),
        ({"exp": 1_700_000_000}, "expired"),
        ({"iat": 1_900_000_000}, "future"),
        ({"nbf": 1_900_000_000}, "future"),
        ({"run_id": None}, "lacks the claim run_id"),
        ({"repository_id": 7}, "repository_id"),
    ],
)
async def test_a_signed_token_that_is_bad_in_one_way(
    hub: GitHubSimulator, tokens: RunTokens, run: WorkflowRun, changed: dict[str, Any], said: str
) -> None:
    token = hub.oidc.token(run, "api://zekt", **changed)
    assert said in await refused(tokens, token)


async def test_the_shared_audience_can_be_switched_off(
    hub: GitHubSimulator, clock: ManualClock, session: aiohttp.ClientSession, run: WorkflowRun
) -> None:
    strict = verifier(hub, clock, session, oidc_shared_audience=False)
    assert OURS in await refused(strict, hub.oidc.token(run, "api://zekt"))
    assert (await strict.verify(hub.oidc.token(run, OURS))).key.run_id == run.id


async def test_an_enterprise_of_the_same_host(
    hub: GitHubSimulator, tokens: RunTokens, run: WorkflowRun
) -> None:
    hub.oidc.enterprise = "acme"
    assert (await tokens.verify(hub.oidc.token(run, OURS))).key.run_id == run.id


async def test_a_new_key_is_taken_at_once_and_asked_for_at_most_once_a_minute(
    hub: GitHubSimulator, tokens: RunTokens, run: WorkflowRun, clock: ManualClock
) -> None:
    await tokens.verify(hub.oidc.token(run, OURS))
    hub.oidc.rotate()
    assert (await tokens.verify(hub.oidc.token(run, OURS))).key.run_id == run.id
    assert asked(hub) == 2
    hub.oidc.rotate()
    for left in (60, 59, 58):
        with pytest.raises(KeysUnavailable) as caught:
            await tokens.verify(hub.oidc.token(run, OURS))
        assert caught.value.data == {"retry_after": left}
        clock.advance(timedelta(seconds=1))
    assert asked(hub) == 2
    clock.advance(timedelta(seconds=57))
    assert (await tokens.verify(hub.oidc.token(run, OURS))).key.run_id == run.id
    assert asked(hub) == 3


async def test_an_unknown_key_is_refused_only_if_it_was_just_asked_for(
    hub: GitHubSimulator, tokens: RunTokens, run: WorkflowRun, clock: ManualClock
) -> None:
    await tokens.verify(hub.oidc.token(run, OURS))
    junk = [signed({}, key=private_key(0), kid=f"unknown-{number}") for number in range(5)]
    assert "forged" in await refused(tokens, junk[0])
    hub.oidc.rotate()
    for token in (*junk, hub.oidc.token(run, OURS)):
        with pytest.raises(KeysUnavailable):
            await tokens.verify(token)
    assert asked(hub) == 2
    clock.advance(timedelta(seconds=60))
    assert (await tokens.verify(hub.oidc.token(run, OURS))).key.run_id == run.id
    clock.advance(timedelta(seconds=60))
    await refused(tokens, junk[0])


async def test_who_comes_together_with_a_new_key_asks_once(
    hub: GitHubSimulator, tokens: RunTokens, run: WorkflowRun
) -> None:
    await tokens.verify(hub.oidc.token(run, OURS))
    hub.oidc.rotate()
    token = hub.oidc.token(run, OURS)
    await asyncio.gather(*(tokens.verify(token) for _ in range(20)))
    assert asked(hub) == 2


@pytest.mark.parametrize("known", [False, True], ids=["first keys", "known keys"])
async def test_who_waits_for_the_keys_is_judged_by_them(
    hub: GitHubSimulator, tokens: RunTokens, run: WorkflowRun, known: bool
) -> None:
    if known:
        await tokens.verify(hub.oidc.token(run, OURS))
        hub.oidc.rotate()
    junk = [signed({}, key=private_key(0), kid=f"unknown-{number}") for number in range(3)]
    good = hub.oidc.token(run, OURS)
    told = await asyncio.gather(
        *(tokens.verify(token) for token in (junk[0], good, *junk, good)), return_exceptions=True
    )
    kinds = [type(one) for one in told]
    assert kinds == [RunTokenRefused, VerifiedRun, *[RunTokenRefused] * 3, VerifiedRun]
    assert asked(hub) == 1 + known


async def test_who_waits_for_keys_that_do_not_come_may_try_again(
    hub: GitHubSimulator, tokens: RunTokens, run: WorkflowRun
) -> None:
    hub.fail("GET", CONFIGURATION, status=502)
    token = hub.oidc.token(run, OURS)
    told = await asyncio.gather(*(tokens.verify(token) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in told] == [KeysUnavailable] * 3
    assert asked(hub, CONFIGURATION) == 1


async def test_a_withdrawn_key_is_taken_for_an_hour_at_most(
    hub: GitHubSimulator, tokens: RunTokens, run: WorkflowRun, clock: ManualClock
) -> None:
    old = hub.oidc.token(run, OURS, exp=int(clock.now().timestamp()) + 7200)
    await tokens.verify(old)
    hub.oidc.rotate(withdraw=True)
    clock.advance(timedelta(minutes=59))
    await tokens.verify(old)
    clock.advance(timedelta(minutes=1))
    await refused(tokens, old)


async def test_who_comes_together_asks_once(
    hub: GitHubSimulator, tokens: RunTokens, run: WorkflowRun
) -> None:
    token = hub.oidc.token(run, OURS)
    await asyncio.gather(*(tokens.verify(token) for _ in range(20)))
    assert asked(hub) == 1


async def test_known_keys_outlive_an_outage_of_the_issuer(
    hub: GitHubSimulator, tokens: RunTokens, run: WorkflowRun, clock: ManualClock
) -> None:
    await tokens.verify(hub.oidc.token(run, OURS))
    hub.fail("GET", CONFIGURATION, reset=True, times=1000)
    for _ in range(3):
        clock.advance(timedelta(hours=5))
        assert (await tokens.verify(hub.oidc.token(run, OURS))).key.run_id == run.id
    hub.oidc.rotate()
    with pytest.raises(KeysUnavailable) as caught:
        await tokens.verify(hub.oidc.token(run, OURS))
    assert caught.value.data == {"retry_after": 60}
    hub.clear_faults()
    clock.advance(timedelta(seconds=60))
    assert (await tokens.verify(hub.oidc.token(run, OURS))).key.run_id == run.id


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CONFIGURATION, {"issuer": "https://evil.example", "jwks_uri": "http://127.0.0.1:9/"}),
        (CONFIGURATION, {"jwks_uri": "http://127.0.0.1:9/"}),
        (CONFIGURATION, {"issuer": "{issuer}"}),
        (CONFIGURATION, {"issuer": "{issuer}", "jwks_uri": "file:///etc/passwd"}),
        (CONFIGURATION, "no JSON"),
        (KEYS, {"keys": []}),
        (KEYS, {"keys": "none"}),
        (KEYS, {"keys": [7, {"kid": "a"}, {"kid": "a", "kty": "EC"}]}),
        (KEYS, {"keys": [{"kid": "a", "kty": "RSA", "n": 5, "e": "AQAB"}]}),
        (KEYS, {"keys": [{"kid": "a", "kty": "RSA", "n": "0vx7", "e": "AQAB"}]}),
        (KEYS, {"keys": [{"kid": "a", "kty": "RSA", "use": "enc"}]}),
        (KEYS, {"keys": [{"kid": "a", "kty": "RSA", "alg": "RS512"}]}),
    ],
)
async def test_an_issuer_that_answers_senselessly_gives_no_key(
    hub: GitHubSimulator, tokens: RunTokens, run: WorkflowRun, path: str, body: Any
) -> None:
    if isinstance(body, dict) and body.get("issuer") == "{issuer}":
        body = {**body, "issuer": hub.oidc.url}
    hub.fail("GET", path, status=200, body=body)
    with pytest.raises(KeysUnavailable):
        await tokens.verify(hub.oidc.token(run, OURS))


async def test_an_issuer_that_hangs_keeps_nobody_waiting(
    hub: GitHubSimulator,
    tokens: RunTokens,
    run: WorkflowRun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zekt_bot.github.oidc.IssuerKeys._SECONDS_TO_ANSWER", 0.05)
    hub.fail("GET", CONFIGURATION, hang=True)
    with pytest.raises(KeysUnavailable):
        await tokens.verify(hub.oidc.token(run, OURS))


@pytest.mark.parametrize(
    ("github", "issuer"),
    [
        ("https://github.com", "https://token.actions.githubusercontent.com"),
        ("https://octo.ghe.com", "https://token.actions.octo.ghe.com"),
        ("https://ghes.example/", "https://ghes.example/_services/token"),
    ],
)
def test_the_issuer_is_that_of_the_github_host(github: str, issuer: str) -> None:
    assert issuer_of(Settings(github_url=github)) == issuer
    assert issuer_of(Settings(github_url=github, oidc_issuer="https://x")) == "https://x"


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"))
def test_any_text_is_refused_and_nothing_else_is_raised(text: str) -> None:
    with pytest.raises(RunTokenRefused):
        _key_id(text)
