"""What GitHub asks of every request, and how much of them is left."""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.testing.conftest import Scene
    from zekt_bot.testing import ManualClock


async def test_a_version_that_is_not_supported_is_refused(scene: Scene) -> None:
    answer = await scene.client.ask("GET", "/meta", headers={"X-GitHub-Api-Version": "1999-01-01"})
    assert answer.status == 400
    assert "X-GitHub-Api-Version-Selected" not in answer.headers
    assert answer.body == {
        "message": "Bad Request",
        "errors": (
            'The version you specified in the "X-GitHub-API-Version" request header, "1999-01-01", '
            "is not a supported version. The following versions are currently supported: "
            '"2026-03-10" (most recent) and "2022-11-28".'
        ),
        "documentation_url": "https://docs.github.com/rest",
        "status": "400",
    }


@pytest.mark.parametrize("asked", ["2022-11-28", "2026-03-10", None])
async def test_the_version_is_told(scene: Scene, asked: str | None) -> None:
    headers = {"X-GitHub-Api-Version": asked} if asked else {}
    answer = await scene.client.ask("GET", "/meta", headers=headers)
    assert answer.headers["X-GitHub-Api-Version-Selected"] == (asked or "2022-11-28")


async def test_without_a_user_agent_nothing_is_answered(scene: Scene) -> None:
    answer = await scene.client.ask("GET", "/meta", headers={"User-Agent": ""})
    assert (answer.status, answer.headers["Content-Type"].split(";")[0]) == (403, "text/html")
    assert answer.body.strip().startswith("Request forbidden by administrative rules. Please make")


async def test_head_is_get_without_its_body(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    for path in (f"/repos/{scene.api.full_name}", "/app", "/repos/nobody/nothing"):
        got = await scene.client.ask("GET", path, token)
        head = await scene.client.ask("HEAD", path, token)
        assert (head.status, head.body) == (got.status, None)
        assert head.headers["Content-Length"] == got.headers["Content-Length"]


async def test_the_rate_limit_tells_what_is_left_and_does_not_count(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    for _ in range(2):
        told = (await scene.client.ask("GET", "/rate_limit", token)).body
        assert told["resources"]["core"] == told["rate"]
        assert (told["rate"]["limit"], told["rate"]["used"], told["rate"]["remaining"]) == (
            5000,
            0,
            5000,
        )
    await scene.client.ask("GET", f"/repos/{scene.api.full_name}", token)
    assert (await scene.client.ask("GET", "/rate_limit", token)).body["rate"]["used"] == 1
    assert (await scene.client.as_app(scene.app, "/rate_limit")).body["rate"]["limit"] == 5000
    assert (await scene.client.ask("GET", "/rate_limit")).body["rate"]["limit"] == 60
    assert (await scene.client.ask("GET", "/rate_limit", "ghs_nobody")).status == 401


async def test_what_is_known_already_is_not_sent_again_and_not_counted(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    path = f"/repos/{scene.api.full_name}/actions/runs"
    tag = (await scene.client.ask("GET", path, token)).headers["ETag"]
    known = {"If-None-Match": tag}
    answer = await scene.client.ask("GET", path, token, headers=known)
    assert (answer.status, answer.body, answer.headers["ETag"]) == (304, None, tag)
    assert answer.headers["X-RateLimit-Used"] == "1"
    await scene.github.start_run(scene.api, "ci.yml")
    answer = await scene.client.ask("GET", path, token, headers=known)
    assert (answer.status, answer.body["total_count"]) == (200, 1)
    assert answer.headers["X-RateLimit-Used"] == "2"


async def test_the_time_of_an_answer_is_the_clocks(scene: Scene, clock: ManualClock) -> None:
    scene.github.fail("GET", "/meta", status=502)
    for _ in range(2):
        clock.advance(timedelta(hours=1))
        told = (await scene.client.ask("GET", "/meta")).headers["Date"]
        assert parsedate_to_datetime(told) == clock.now()


async def test_what_is_used_up_still_tells_the_rate_limit(scene: Scene) -> None:
    scene.github.limit_anonymous(0)
    refused = await scene.client.ask("GET", "/meta")
    assert refused.status == 403
    assert refused.body["message"].startswith("API rate limit exceeded for 127.0.0.1. (But here's")
    assert (await scene.client.ask("GET", "/rate_limit")).body["rate"]["remaining"] == 0


async def test_an_internal_repository_is_private_too(scene: Scene) -> None:
    inner = scene.github.repository(scene.org, "inner", internal=True)
    assert (await scene.client.ask("GET", "/repos/aurora-labs/inner")).status == 404
    token = await scene.client.token(scene.installation)
    told = (await scene.client.ask("GET", "/repos/aurora-labs/inner", token)).body
    assert (told["visibility"], told["private"]) == ("internal", True)
    await scene.github.publicize(inner)
    assert (inner.visibility, inner.private) == ("public", False)


async def test_no_number_is_too_long_to_be_answered(scene: Scene) -> None:
    token, long = await scene.client.token(scene.installation), "9" * 5000
    for path in (f"/app/installations/{long}", f"/app/hook/deliveries/{long}"):
        assert (await scene.client.as_app(scene.app, path)).status == 404
    cursor = f"/app/hook/deliveries?cursor=v1_{long}"
    assert (await scene.client.as_app(scene.app, cursor)).status == 422
    for path in (f"/repositories/{long}", f"/user/{long}"):
        assert (await scene.client.ask("GET", path, token)).status == 404
    for name in ("per_page", "page"):
        path = f"/installation/repositories?{name}={long}"
        assert len((await scene.client.ask("GET", path, token)).body["repositories"]) == 2
