"""Which claims name a run: each one missing, ill-formed or of somebody else is refused by name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.domain.events import RunKey
from zekt_bot.domain.run_tokens import Expected, VerifiedRun, check_claims
from zekt_bot.errors import RunTokenRefused

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
AT = int(NOW.timestamp())
ISSUER = "https://token.actions.githubusercontent.com"
EXPECTED = Expected(ISSUER, frozenset({"api://zekt", "https://zekt.example"}))
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "api://zekt",
    "exp": AT + 300,
    "nbf": AT - 300,
    "iat": AT,
    "repository": "octo/api",
    "repository_id": "7",
    "run_id": "100",
    "run_attempt": "2",
    "workflow_ref": "octo/api/.github/workflows/release.yml@refs/heads/main",
    "sub": "whatever the owner likes",
}
REQUIRED = ("iss", "aud", "exp", "iat", *list(CLAIMS)[5:10])
RUN = VerifiedRun(RunKey(7, 100, 2), "octo/api", ".github/workflows/release.yml")


def check(**changed: Any) -> VerifiedRun:
    return check_claims({**CLAIMS, **changed}, EXPECTED, NOW)


def refusal(**changed: Any) -> str:
    with pytest.raises(RunTokenRefused) as caught:
        check(**changed)
    return str(caught.value)


def test_a_run_is_its_ids() -> None:
    assert check() == RUN
    assert check(aud="https://zekt.example", nbf=None) == RUN
    assert check_claims({k: v for k, v in CLAIMS.items() if k != "nbf"}, EXPECTED, NOW) == RUN


@pytest.mark.parametrize("name", REQUIRED)
def test_a_required_claim_is_named_when_it_is_missing(name: str) -> None:
    claims = {key: value for key, value in CLAIMS.items() if key != name}
    with pytest.raises(RunTokenRefused, match=f"lacks the claim {name}"):
        check_claims(claims, EXPECTED, NOW)
    assert f"lacks the claim {name}" in refusal(**{name: None})


@pytest.mark.parametrize("name", ["repository_id", "run_id", "run_attempt"])
@pytest.mark.parametrize(
    "value", [7, "", "0", "07", "-7", "+7", "7.0", " 7", "\u0667", "9" * 19, "1" * 20, True, ["7"]]
)
def test_an_id_is_a_string_of_digits_that_every_database_holds(name: str, value: Any) -> None:
    assert f"claim {name} is not what GitHub writes" in refusal(**{name: value})


@pytest.mark.parametrize("value", [2**63 - 1, 1])
def test_the_greatest_id(value: int) -> None:
    assert check(run_id=str(value)).key.run_id == value


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["1", 1.5, True, -1, 2**62, float("nan"), [1]])
def test_a_time_is_a_number_of_seconds(name: str, value: Any) -> None:
    assert f"claim {name} is not what GitHub writes" in refusal(**{name: value})


@pytest.mark.parametrize(
    "issuer",
    [
        "https://token.actions.githubusercontent.com/",
        "https://token.actions.githubusercontent.com/a/b",
        "https://token.actions.githubusercontent.com/../x",
        "https://token.actions.githubusercontent.com/x?y",
        "https://token.actions.githubusercontent.com.evil.example",
        "http://token.actions.githubusercontent.com",
        "https://evil.example/https://token.actions.githubusercontent.com/acme",
        "https://ghes.example/_services/token",
        ["https://token.actions.githubusercontent.com"],
    ],
)
def test_another_issuer(issuer: Any) -> None:
    refusal(iss=issuer)


def test_an_enterprise_may_append_its_name() -> None:
    assert check(iss=f"{ISSUER}/acme-corp_2") == RUN


@pytest.mark.parametrize(
    "audience",
    ["https://github.com/octo", "https://zekt.example/", "api://zekt/", ["api://zekt"], ""],
)
def test_another_audience(audience: Any) -> None:
    refusal(aud=audience)


def test_who_is_asked_for_another_audience_is_told_which() -> None:
    assert "api://zekt or https://zekt.example" in refusal(aud="other")


def test_thirty_seconds_of_leeway_each_way() -> None:
    assert check(exp=AT - 29) == RUN
    assert "expired" in refusal(exp=AT - 30)
    assert check(iat=AT + 30, nbf=AT + 30) == RUN
    assert "future" in refusal(iat=AT + 31)
    assert "future" in refusal(nbf=AT + 31)


@pytest.mark.parametrize("name", ["octo", "octo/", "/api", "octo/a/b", "octo/..", "o o/api", 7])
def test_a_repository_has_an_owner_and_a_name(name: Any) -> None:
    assert "claim repository is not" in refusal(repository=name)


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        ("octo/api/.github/workflows/a@b.yaml@refs/tags/v1", ".github/workflows/a@b.yaml"),
        ("Octo/API/.github/workflows/a.yml@refs/heads/x@y", ".github/workflows/a.yml"),
        ("octo/required/.github/workflows/release.yml@refs/heads/main", None),
        ("octo2/api/.github/workflows/release.yml@refs/heads/main", None),
    ],
)
def test_a_path_counts_only_in_the_repository_itself(ref: str, path: str | None) -> None:
    assert check(workflow_ref=ref) == replace(RUN, workflow_path=path)


@pytest.mark.parametrize(
    "ref", ["", "a.yml@main", "octo/api", "octo/api/a.yml", "//a.yml@m", "octo//a.yml@m", 5]
)
def test_an_ill_formed_workflow(ref: Any) -> None:
    assert "workflow_ref" in refusal(workflow_ref=ref)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from(list(CLAIMS)), _values), st.timedeltas(timedelta(-9)))
def test_whatever_claims_say_it_is_a_run_or_a_refusal(
    changed: dict[str, Any], later: timedelta
) -> None:
    try:
        run = check_claims({**CLAIMS, **changed}, EXPECTED, NOW + min(later, timedelta(9)))
    except RunTokenRefused:
        return
    assert isinstance(run, VerifiedRun)
    assert all(0 < part < 2**63 for part in run.key)
