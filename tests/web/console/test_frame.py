"""The frame: errors as pages, headers, cookies, forms, files, and times in the reader's zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.web.console.browsing import ORIGIN, Browser, browsing
from zekt_bot.errors import AccessDenied, Conflict, GitHubUnreachable, StorageUnavailable
from zekt_bot.web.console import problems, static, times
from zekt_bot.web.origins import origin


async def test_a_person_gets_a_page_and_a_machine_gets_json() -> None:
    async with browsing() as browser:
        page = await browser.get("/nowhere?q=<script>")
        assert (page.status, page.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert "Not here Nothing is at this address, or you may not see it." in page.words
        assert "script>" not in page.text.replace("</script>", "").replace("<!--", "")
        for path, accept in (("/nowhere", "*/*"), ("/webhooks/github", "text/html")):
            refused = await browser.get(path, Accept=accept)
            assert refused.headers["Content-Type"] == "application/json"


async def test_a_page_holds_nothing_of_others_and_no_script_or_style_of_its_own() -> None:
    async with browsing() as browser:
        page = await browser.get("/nowhere")
    assert page.headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert "Strict-Transport-Security" not in page.headers
    assert not re.search(
        r"<script(?! type=\"module\" src=\"/static/)|<style|style=|\son\w+=", page.text
    )
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page.text)


async def test_https_is_kept_and_an_open_page_is_sent_there() -> None:
    proxied: dict[str, Any] = {
        "public_url": "https://zekt.example",
        "trusted_proxies": (ip_network("127.0.0.0/8"),),
    }
    async with browsing(**proxied) as browser:
        page = await browser.get("/nowhere", X_Forwarded_Proto="https")
        assert page.headers["Strict-Transport-Security"] == "max-age=63072000"
        moved = await browser.get("/nowhere?x=1", X_Forwarded_Proto="http")
        assert (moved.status, moved.location) == (308, "https://zekt.example/nowhere?x=1")
    async with browsing(public_url="https://zekt.example") as browser:
        assert (await browser.get("/nowhere", X_Forwarded_Proto="http")).status == 404


@pytest.mark.parametrize(
    ("public_url", "name", "secure"),
    [
        ("https://zekt.example", "__Host-zekt-browser", True),
        ("http://zekt.example", "__Host-zekt-browser", True),
        ("http://localhost:8080", "zekt-browser", False),
        ("http://127.0.0.1:8080", "zekt-browser", False),
        ("http://[::1]:8080", "zekt-browser", False),
    ],
)
async def test_a_cookie_is_secure_everywhere_but_on_this_machine(
    public_url: str, name: str, secure: bool
) -> None:
    async with browsing(public_url=public_url) as browser:
        await browser.get("/nowhere")
        (line,) = browser.set_cookies
        await browser.get("/nowhere")
        assert browser.set_cookies == [line]
    value, *flags = line.split("; ")
    assert re.fullmatch(rf"{name}=[A-Za-z0-9_-]{{43}}", value)
    assert sorted(flags) == sorted(
        ["HttpOnly", "Path=/", "SameSite=Lax", *(["Secure"] if secure else [])]
    )


async def test_a_form_is_taken_only_from_a_page_of_ours_in_the_same_browser() -> None:
    async with browsing() as browser, browsing() as other:
        page, others = await browser.get("/nowhere"), await other.get("/nowhere")
        token = await _token(browser)
        sent = {"csrf": token, "theme": "dark"}

        assert (await browser.post("/preferences/theme", sent)).status == 303
        for fields, headers in (
            ({"theme": "dark"}, {}),
            ({**sent, "csrf": ""}, {}),
            ({**sent, "csrf": await _token(other)}, {}),
            (sent, {"Origin": "https://elsewhere.example"}),
            (sent, {"Origin": "null"}),
            (sent, {"Origin": f"{ORIGIN}.elsewhere.example"}),
        ):
            refused = await browser.post("/preferences/theme", fields, **headers)
            assert refused.status == 403
            assert "Nothing was done." in refused.words
        assert page.status == others.status == 404
        browser.cookies.clear()
        assert (await browser.post("/preferences/theme", sent)).status == 403


async def test_a_form_is_read_in_bounds() -> None:
    async with browsing() as browser:
        token = await _token(browser)
        many = {"csrf": token, **{f"f{number}": "" for number in range(300)}}
        large = {"csrf": token, "theme": "x" * 70_000}
        assert (await browser.post("/preferences/theme", many)).status == 400
        assert (await browser.post("/preferences/theme", large)).status == 413
        other = await browser.post("/preferences/theme", {"csrf": token}, Content_Type="text/plain")
        assert other.status == 415


async def test_a_theme_is_kept_and_one_stays_where_one_was() -> None:
    async with browsing() as browser:
        token = await _token(browser)
        back = await browser.post(
            "/preferences/theme",
            {"csrf": token, "theme": "dark"},
            Referer="https://evil.example//evil.example/x?y=1",
        )
        assert back.location == "/evil.example/x?y=1"
        for hostile in ("https://x.example/\\evil.example", "https://x.example", "nonsense"):
            sent = {"csrf": token, "theme": "dark"}
            back = await browser.post("/preferences/theme", sent, Referer=hostile)
            assert back.location in {"/", "/nonsense"}
        assert 'data-theme="dark"' in (await browser.get("/nowhere")).text
        await browser.post("/preferences/theme", {"csrf": token, "theme": "no such"})
        assert "data-theme" not in (await browser.get("/nowhere")).text


async def test_files_are_kept_for_ever_under_a_name_of_their_content() -> None:
    async with browsing() as browser:
        style = await browser.get(static.asset("zekt.css"))
        assert style.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert "Set-Cookie" not in style.headers
        for name in re.findall(r'url\("([^"]+)"\)', style.text):
            assert (await browser.get(name)).status == 200
        for path in ("/static/zekt.css", "/static/..%2Fgate.py", "/static/"):
            assert (await browser.get(path)).status == 404


async def test_a_method_that_is_not_taken_names_those_that_are() -> None:
    async with browsing() as browser:
        refused = await browser.get("/preferences/theme", Accept="*/*")
        assert (refused.status, refused.headers["Allow"]) == (405, "POST")


async def test_what_nobody_foresaw_is_a_number_and_nothing_else() -> None:
    problem = problems.unforeseen("7f3a9c")
    assert (problem.status, problems.of(RuntimeError("a secret"))) == (500, None)
    assert "7f3a9c" in str(problem)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (AccessDenied("No."), 403),
        (Conflict("It is gone."), 409),
        (StorageUnavailable(), 503),
        (GitHubUnreachable(), 503),
    ],
)
def test_each_error_has_a_page(error: Exception, status: int) -> None:
    problem = problems.of(error)
    assert problem is not None
    assert problem.status == status


async def test_the_zone_that_the_browser_told_is_used() -> None:
    async with browsing() as browser:
        assert "Times in UTC" in (await browser.get("/nowhere")).words
        browser.cookies[times.ZONE_COOKIE] = "Europe/Stockholm"
        assert "Times in Europe/Stockholm" in (await browser.get("/nowhere")).words
        for nonsense in ("../../etc/passwd", "No/Where", "/etc", "%00"):
            browser.cookies[times.ZONE_COOKIE] = nonsense
            assert "Times in UTC" in (await browser.get("/nowhere")).words


def test_times_are_exact_today_and_short_later() -> None:
    at = datetime(2026, 11, 21, 23, 30, 5, tzinfo=UTC)
    context = {"zone": ZoneInfo("Europe/Stockholm"), "now": datetime(2026, 11, 22, 9, tzinfo=UTC)}
    today = times.shown(context, at)  # type: ignore[arg-type]
    assert today == '<time datetime="2026-11-21T23:30:05Z">00:30:05</time>'
    context["zone"] = UTC
    assert ">21 Nov, 23:30<" in times.shown(context, at)  # type: ignore[arg-type]
    context["now"] = datetime(2027, 1, 1, tzinfo=UTC)
    assert ">21 Nov 2026, 23:30<" in times.shown(context, at)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://zekt.example/", "https://zekt.example"),
        ("https://ZEKT.example:443/x", "https://zekt.example"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:80/x", "http://[::1]"),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(url: str, found: str) -> None:
    assert origin(url) == found


async def _token(browser: Browser) -> str:
    from zekt_bot.web.console.forms import token

    await browser.get("/nowhere")
    return token(browser.cookies["zekt-browser"])
