"""Who may sign in, how long a session lives, where one is led, and what a browser calls itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.domain.access import Person
from zekt_bot.domain.sessions import Admission, Session, device, local_path

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
MAJA = Person(7, "Maja-Lind")
SMALL = frozenset({"maja-lind"})
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("rule", "operator", "reaches", "enters"),
    [
        (Admission(), False, [], True),
        (Admission(operators=frozenset({"ada"})), False, [], True),
        (Admission(logins=SMALL), False, [], True),
        (Admission(logins=frozenset({"ada"})), False, ["aurora-labs"], False),
        (Admission(logins=frozenset({"ada"})), True, [], True),
        (Admission(logins=frozenset({"ada"}), operators=SMALL), False, [], True),
        (Admission(accounts=frozenset({"aurora-labs"})), False, ["aurora-labs"], True),
        (Admission(accounts=frozenset({"aurora-labs"})), False, ["kestrel-bank"], False),
        (Admission(accounts=frozenset({"aurora-labs"})), False, [], False),
        (Admission(logins=SMALL, accounts=frozenset({"aurora-labs"})), False, [], True),
    ],
)
def test_either_list_lets_in(
    rule: Admission, operator: bool, reaches: list[str], enters: bool
) -> None:
    assert rule.admits(SMALL, operator=operator, reaches=reaches) is enters


@given(st.sets(st.sampled_from(["maja-lind", "ada"])), st.booleans())
def test_nobody_who_is_blocked_is_let_in(names: set[str], operator: bool) -> None:
    for rule in (Admission(), Admission(operators=SMALL, logins=SMALL, accounts=SMALL)):
        assert not rule.admits(names, operator=operator, reaches=names, blocked=True)


def test_a_login_alone_is_nobody() -> None:
    rule = Admission(operators=SMALL, logins=frozenset({"ada"}), accounts=frozenset({"aurora"}))
    assert rule.listed == {"maja-lind", "ada", "aurora"}
    assert not rule.admits(frozenset(), operator=False)
    assert not rule.is_operator(frozenset())


@pytest.mark.parametrize(
    ("seen", "expires", "alive"),
    [(0.5, 1, True), (1, 1, False), (0.5, 0, False), (0.999, 0.001, True)],
)
def test_a_session_lives_until_it_is_idle_or_old(seen: float, expires: float, alive: bool) -> None:
    session = Session("h", MAJA, "", NOW - 9 * HOUR, NOW - seen * HOUR, NOW + expires * HOUR, None)
    assert session.lives(NOW, HOUR) is alive


@given(st.text(st.sampled_from("/\\\t\n\r:.@?#%ab \x00é") | st.characters(), max_size=12))
def test_nobody_is_led_to_another_host(text: str) -> None:
    path = local_path(text)
    as_browsers_do = "".join(c for c in path if c not in "\t\n\r").replace("\\", "/")
    assert urlsplit(urljoin("https://zekt.example/login", as_browsers_do)).netloc == "zekt.example"
    assert path in {text, "/"}


def test_a_path_of_ours_stays() -> None:
    assert local_path("/repositories?q=a&state=x#top") == "/repositories?q=a&state=x#top"
    assert local_path("/" + "x" * 2000) == "/"


@pytest.mark.parametrize(
    ("agent", "shown"),
    [
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Firefox on Linux",
        ),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 16) Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14) Version/19.0 Safari/605.1", "Safari on macOS"),
        ("<script>", "A browser"),
    ],
)
def test_a_browser_is_named_in_few_words(agent: str, shown: str) -> None:
    assert device(agent) == shown
