"""The channel `repository_dispatch` over real HTTP: what each answer of GitHub makes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.github.server import CONSUMER, INSTALLATION
from tests.plugins.sending import APP, MINT, POST, RENAMED, REPOSITORY, REQUEST, over_http
from zekt_bot import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.github.server import FakeGitHub
    from tests.plugins.sending import Send
    from zekt_bot.github.client import GitHub


async def test_a_204_is_dispatched_and_the_body_went_out_as_it_was(
    send: Send, fake: FakeGitHub
) -> None:
    assert await send() == Outcome("dispatched", status=204, request_id="AB:12")
    (seen,) = (one for one in fake.seen if one.path == POST)
    assert (seen.method, seen.body) == ("POST", REQUEST.body)
    assert seen.headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_but_the_new_name_is_looked_up(
    send: Send, fake: FakeGitHub, status: int
) -> None:
    fake.repositories[CONSUMER]["full_name"] = "octo/renamed"
    fake.script("POST", POST, status, location="/elsewhere")
    outcome = await send()
    assert (outcome.kind, outcome.status, outcome.renamed_to) == (
        "dispatched",
        204,
        "octo/renamed",
    )
    paths = [one.path for one in fake.seen if one.path != MINT]
    assert paths == [POST, REPOSITORY, RENAMED], "and never /elsewhere"


async def test_a_second_redirect_is_tried_again_later(send: Send, fake: FakeGitHub) -> None:
    fake.script("POST", POST, 307, {"message": "Moved"}, location="/elsewhere")
    fake.script("POST", POST, 301, {"message": "Moved"}, location="/elsewhere")
    outcome = await send()
    assert (outcome.kind, outcome.status, outcome.renamed_to) == ("retry", 301, None)
    assert fake.count("POST", POST) == 2


async def test_a_name_that_somebody_else_bears_now_is_looked_up(
    send: Send, fake: FakeGitHub
) -> None:
    """GitHub redirects no more from a name that was taken: a 404 then says nothing."""
    fake.repositories[CONSUMER]["full_name"] = "octo/renamed"
    outcome = await send()
    assert (outcome.kind, outcome.renamed_to) == ("dispatched", "octo/renamed")


async def test_a_redirect_of_a_repository_that_is_gone_is_blocked(
    send: Send, fake: FakeGitHub
) -> None:
    fake.script("POST", POST, 301)
    fake.repositories.clear()
    outcome = await send()
    assert (outcome.kind, outcome.status) == ("blocked", 301)
    assert (outcome.error or "").startswith("repository_not_granted: ")


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, None), (301, None), (200, b"no json"), (200, []), (200, {}), (200, {"full_name": "x"})],
)
async def test_a_name_that_cannot_be_learned_is_tried_again_later(
    send: Send, fake: FakeGitHub, status: int, body: Any
) -> None:
    fake.script("POST", POST, 307)
    fake.script("GET", REPOSITORY, status, body)
    outcome = await send()
    assert (outcome.kind, outcome.status) == ("retry", status)
    assert fake.count("POST", POST) == 1


async def test_a_refused_token_is_replaced_once(send: Send, fake: FakeGitHub) -> None:
    await send()
    fake.revoked |= set(fake.minted)
    assert (await send()).kind == "dispatched"
    assert len(fake.mints) == 2
    fake.script("POST", POST, 401, {"message": "Bad credentials"})
    fake.script("POST", POST, 401, {"message": "Bad credentials"})
    outcome = await send()
    assert (outcome.kind, outcome.status) == ("retry", 401)
    assert fake.count("POST", POST) == 5


SECONDARY = {"message": "You have exceeded a secondary rate limit."}
EXHAUSTED = {"x_ratelimit_remaining": "0"}


@pytest.mark.parametrize(
    ("status", "body", "headers", "seconds"),
    [
        (429, None, {"retry_after": "30"}, 30),
        (403, None, {"retry_after": "30"}, 30),
        (403, None, {**EXHAUSTED, "retry_after": "30"}, 30),
        (403, None, {**EXHAUSTED, "x_ratelimit_reset": "+90"}, 90),
        (429, None, {**EXHAUSTED, "x_ratelimit_reset": "+90"}, 90),
        (403, None, {**EXHAUSTED, "x_ratelimit_reset": "-90"}, 60),
        (403, None, EXHAUSTED, 60),
        (403, SECONDARY, {}, 60),
        (403, {"message": "You have triggered an abuse detection mechanism"}, {}, 60),
        (429, None, {}, 60),
        (429, None, {"x_ratelimit_remaining": "5", "x_ratelimit_reset": "+90"}, 60),
        (429, None, {"retry_after": "soon"}, 60),
        (429, None, {"retry_after": "nan"}, 60),
        (429, None, {"retry_after": "-5"}, 60),
        (429, None, {"retry_after": "0"}, 1),
        (429, None, {"retry_after": "9999999"}, 86400),
    ],
)
async def test_a_limit_closes_the_lane_until_github_opens_it(
    send: Send, fake: FakeGitHub, status: int, body: Any, headers: dict[str, str], seconds: int
) -> None:
    now = fake.clock.now()
    if "x_ratelimit_reset" in headers:
        reset = int(now.timestamp()) + int(headers["x_ratelimit_reset"])
        headers = {**headers, "x_ratelimit_reset": str(reset)}
    fake.script("POST", POST, status, body, **headers)
    outcome = await send()
    assert (outcome.kind, outcome.status, outcome.closes_lane) == ("retry", status, True)
    assert outcome.not_before == now + timedelta(seconds=seconds)
    assert fake.count("GET", APP) == 0, "a limit says nothing about access"


async def test_limits_without_a_time_double_the_wait_up_to_an_hour(
    send: Send, fake: FakeGitHub
) -> None:
    waits = []
    for attempt in (0, 1, 2, 3, 6, 7, 100):
        fake.script("POST", POST, 429)
        outcome = await send(attempt=attempt)
        assert outcome.not_before
        waits.append((outcome.not_before - fake.clock.now()).total_seconds())
    assert waits == [60, 60, 120, 240, 1920, 3600, 3600]


words = st.text("0123456789-+.eanif", max_size=12)


@over_http
@given(retry_after=st.none() | words, reset=st.none() | words, attempt=st.integers(0, 10**6))
async def test_no_header_keeps_a_lane_closed_for_more_than_a_day(
    send: Send, fake: FakeGitHub, retry_after: str | None, reset: str | None, attempt: int
) -> None:
    given_ = {"retry_after": retry_after, "x_ratelimit_reset": reset, **EXHAUSTED}
    lines = {name: value for name, value in given_.items() if value is not None}
    fake.script("POST", POST, 429, **lines)
    outcome = await send(attempt=attempt)
    assert outcome.not_before
    wait = outcome.not_before - fake.clock.now()
    assert timedelta(seconds=1) <= wait <= timedelta(days=1)


def suspend(fake: FakeGitHub) -> None:
    assert fake.installation
    fake.installation["suspended_at"] = "2026-07-01T00:00:00Z"


def remove_app(fake: FakeGitHub) -> None:
    fake.installation = None


def forbid_writing(fake: FakeGitHub) -> None:
    assert fake.installation
    fake.installation["permissions"]["contents"] = "read"


LOST: dict[str, Callable[[FakeGitHub], Any]] = {
    "installation_gone": remove_app,
    "installation_suspended": suspend,
    "permission_missing": forbid_writing,
    "repository_not_granted": lambda fake: fake.repositories.clear(),
    "repository_archived": lambda fake: fake.repositories[CONSUMER].update(archived=True),
}


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("reason", LOST)
async def test_what_github_hides_is_looked_up_and_blocks(
    send: Send, fake: FakeGitHub, github: GitHub, reason: str, status: int
) -> None:
    api = github.installation_api(INSTALLATION, CONSUMER)
    await send()
    await api.get(REPOSITORY)  # both tokens are kept, so that what is lost is not met by minting
    LOST[reason](fake)
    fake.script("POST", POST, status, {"message": "Not Found"})
    outcome = await send()
    assert (outcome.kind, outcome.status) == ("blocked", status)
    assert outcome.error == f"{reason}: GitHub answered {status}: Not Found"


@pytest.mark.parametrize("status", [403, 404])
async def test_a_refusal_of_what_is_still_granted_is_tried_again(
    send: Send, fake: FakeGitHub, status: int
) -> None:
    fake.script("POST", POST, status, {"message": "Not Found"})
    outcome = await send()
    assert (outcome.kind, outcome.status, outcome.closes_lane) == ("retry", status, False)
    assert (fake.count("GET", APP), fake.count("GET", REPOSITORY)) == (1, 1)


@pytest.mark.parametrize(("status", "body"), [(500, None), (200, b"no json"), (200, [])])
@pytest.mark.parametrize("path", [APP, REPOSITORY])
async def test_a_look_that_shows_nothing_blocks_nothing(
    send: Send, fake: FakeGitHub, path: str, status: int, body: Any
) -> None:
    fake.script("POST", POST, 404)
    fake.script("GET", path, status, body)
    assert (await send()).kind == "retry"


async def test_what_github_cannot_take_is_dead(send: Send, fake: FakeGitHub) -> None:
    fake.script("POST", POST, 422, {"message": "No more than 10 properties are allowed"})
    outcome = await send()
    assert (outcome.kind, outcome.status) == ("dead", 422)
    assert outcome.error == "GitHub answered 422: No more than 10 properties are allowed"


@pytest.mark.parametrize("status", [200, 201, 202, 400, 409, 410, 451, 500, 502, 503, 504, 520])
async def test_every_other_status_is_tried_again(send: Send, fake: FakeGitHub, status: int) -> None:
    fake.script("POST", POST, status, b"<html>", x_github_request_id="CD:34")
    outcome = await send()
    assert outcome == Outcome(
        "retry", status=status, request_id="CD:34", error=f"GitHub answered {status}"
    )


@pytest.mark.parametrize("status", [401, 500, 503])
@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("600", 600), ("0", 1), ("9999999", 86400), ("soon", None), ("-1", None)],
)
async def test_a_time_that_any_answer_names_is_kept(
    send: Send, fake: FakeGitHub, status: int, retry_after: str, seconds: int | None
) -> None:
    for _ in range(2):
        fake.script("POST", POST, status, retry_after=retry_after)
    outcome = await send()
    assert (outcome.kind, outcome.closes_lane) == ("retry", False)
    wait = outcome.not_before and (outcome.not_before - fake.clock.now()).total_seconds()
    assert wait == seconds


@pytest.mark.parametrize(
    ("left", "reset", "closes"), [(0, 30, True), (1, 30, False), (0, -5, False)]
)
async def test_the_last_dispatch_that_the_limit_had_room_for_closes_the_lane(
    send: Send, fake: FakeGitHub, left: int, reset: int, closes: bool
) -> None:
    at = int(fake.clock.now().timestamp()) + reset
    limits = {"x_ratelimit_remaining": str(left), "x_ratelimit_reset": str(at)}
    fake.script("POST", POST, 204, b"", **limits)
    outcome = await send()
    assert (outcome.kind, outcome.closes_lane) == ("dispatched", closes)
    assert outcome.not_before == (datetime.fromtimestamp(at, UTC) if closes else None)


@pytest.mark.parametrize(
    ("left", "reset", "pace"),
    [(1249, 1800, 1249 / 30), (1250, 1800, None), (0, 1800, None), (100, -5, None)],
)
async def test_the_last_quarter_of_an_hours_requests_is_spread_over_what_is_left_of_it(
    send: Send, fake: FakeGitHub, left: int, reset: int, pace: float | None
) -> None:
    at = int(fake.clock.now().timestamp()) + reset
    limits = {"remaining": str(left), "limit": "5000", "reset": str(at)}
    fake.script("POST", POST, 204, b"", **{f"x_ratelimit_{k}": v for k, v in limits.items()})
    assert (await send()).at_most_a_minute == (pace and pytest.approx(pace))


@pytest.mark.parametrize(("limit", "left"), [("0", "0"), ("-1", "-5"), ("0", "inf")])
async def test_a_limit_that_makes_no_sense_sets_no_pace(
    send: Send, fake: FakeGitHub, limit: str, left: str
) -> None:
    at = int(fake.clock.now().timestamp()) + 1800
    limits = {"remaining": left, "limit": limit, "reset": str(at)}
    fake.script("POST", POST, 204, b"", **{f"x_ratelimit_{k}": v for k, v in limits.items()})
    outcome = await send()
    assert (outcome.kind, outcome.at_most_a_minute) == ("dispatched", None)


async def test_a_reset_and_a_timeout_are_tried_again(
    send: Send, fake: FakeGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send()
    fake.broken = True
    outcome = await send()
    assert (outcome.kind, outcome.status) == ("retry", None)
    assert "ServerDisconnectedError" in (outcome.error or "")
    fake.broken, fake.delay = False, 0.3
    monkeypatch.setattr("zekt_bot.github.http.TIMEOUT", aiohttp.ClientTimeout(total=0.05))
    outcome = await send()
    assert (outcome.kind, outcome.status) == ("retry", None)
    assert "TimeoutError" in (outcome.error or "")


@over_http
@given(
    said=st.text(st.characters(), max_size=700),
    token=st.from_regex(r"gh[opsu]_[A-Za-z0-9]{36}", fullmatch=True),
)
async def test_an_error_is_one_short_line_without_a_token(
    send: Send, fake: FakeGitHub, said: str, token: str
) -> None:
    fake.script("POST", POST, 422, {"message": f"{token} {said} {token}"})
    error = (await send()).error or ""
    assert token not in error
    assert len(error) <= 500
    assert len(error.splitlines()) == 1
    assert error.encode(), "it can be stored"


async def test_a_body_that_nests_too_deep_is_only_a_body(send: Send, fake: FakeGitHub) -> None:
    fake.script("POST", POST, 422, b"[" * 200_000)
    assert await send() == Outcome("dead", status=422, error="GitHub answered 422")
